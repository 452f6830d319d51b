"""Checks that no file imports from a higher floor: run by `make check`, and by the tests."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
FLOORS = [
    {"announce", "extras", "threads", "version"},
    {"mixing"},
    {"data", "schedule", "balance"},
    {"reading"},
    {"generators", "augment"},
    {"budget", "collate", "matching", "checks", "sidestream", "testing"},
    {"manifest", "preview", "state"},
    {"loader"},
    {"wrapping"},
    {"evidence"},
    {"__init__"},
    {"demo"},
    {"cli"},
    {"__main__"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def room_of(module: str) -> str:
    """The room of a module, `onthefly` itself being its `__init__`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """The line and the module of every import of ours, wherever in the file it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            # `from onthefly import augment` imports a room, `from onthefly.data.spec import Spec` a module
            names = [f"onthefly.{alias.name}" for alias in node.names] if node.module == "onthefly" else [node.module]
        elif isinstance(node, ast.ImportFrom):
            names = ["onthefly"]
        yield from ((node.lineno, name) for name in names if name.split(".")[0] == "onthefly")


def violations(package: Path) -> Iterator[str]:
    """One line for every import that goes up, or across to another room of the same floor."""
    for path in sorted(package.rglob("*.py")):
        relative = path.relative_to(package)
        room = relative.parts[0].removesuffix(".py")
        for line, module in imports(path):
            other = room_of(module)
            if other not in FLOOR or room not in FLOOR:
                lost = other if other not in FLOOR else room
                yield f"{relative}:{line}: {lost} has no floor; add it to tests/floors.py"
            elif other != room and FLOOR[other] >= FLOOR[room]:
                yield f"{relative}:{line}: {room} (floor {FLOOR[room]}) imports {module} (floor {FLOOR[other]})"


if __name__ == "__main__":
    found = list(violations(ROOT / "onthefly"))
    sys.exit("\n".join(found) if found else 0)
