"""`python -m vcbench.testing.fresh_process JSON`: imports and builds plugins, says what it saw.

The other end is the check import-and-spawn.
"""

from __future__ import annotations

import json
import sys

from vcbench.testing.citizenship import look

if __name__ == "__main__":
    # In a line of its own at the end: a plugin may print.
    print("\n" + json.dumps([look(description) for description in json.loads(sys.argv[1])]))
