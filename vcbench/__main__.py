"""`python -m vcbench` is the same as `vcbench`."""

import sys

from vcbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
