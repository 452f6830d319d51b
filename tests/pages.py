"""Runs the code of a page of the documentation, top to bottom."""

import re
import sys
from pathlib import Path

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run_code(page: Path) -> dict[str, object]:
    """The names that the code of a page has made."""
    names: dict[str, object] = {"__name__": "__main__"}
    for block in BLOCK.finditer(page.read_text()):
        line = page.read_text()[: block.start()].count("\n") + 1
        exec(compile("\n" * line + block.group(1), str(page), "exec"), names)
    return names


if __name__ == "__main__":
    run_code(Path(sys.argv[1]))
