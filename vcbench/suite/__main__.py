"""`python -m vcbench.suite`: print the JSON Schema of suite files, for editors."""

import json

from vcbench.suite.json_schema import json_schema

if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
