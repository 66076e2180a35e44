"""Print what the pipeline's steps need, one requirement a line: a project's dependencies and its extra `pipeline`."""

import sys
import tomllib
from pathlib import Path

if __name__ == "__main__":
    project = tomllib.loads(Path(sys.argv[1]).read_text())["project"]
    sys.stdout.write("\n".join([*project["dependencies"], *project["optional-dependencies"]["pipeline"], ""]))
