"""Imports between the rooms of the package run one way, from upper floors to lower ones."""

import ast
import graphlib
import re
from pathlib import Path

import pytest

import spectrodiff
from tests.support.imports import imported

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "spectrodiff"

# From the ground up. A room may import rooms of lower floors.
FLOORS = (
    ("core",),
    ("music", "audio", "diffusion"),
    ("models",),
    ("inverter", "checkpoints"),
    ("synthesis",),
    ("data", "composer"),
    ("training", "evaluation"),
    ("report", "recipe", "player", "sharing"),
    ("commands",),
)
# Imports that are allowed within a floor.
SIDEWAYS = {
    ("music", "audio"),
    ("inverter", "checkpoints"),
    ("data", "composer"),
    ("sharing", "report"),
}

FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PUBLIC = {f"spectrodiff.{name}" for name in spectrodiff.__all__}
MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(path: Path) -> set[str]:
    """Modules of the package that a file imports, also within functions."""
    names = set(imported(path.read_text()))
    relative = {name for name in names if name.startswith(".")}
    assert not relative, f"{path} has relative imports: {relative}"
    # The public names are those of upper floors.
    public = {name for name in names if name in PUBLIC}
    assert not public, f"{path} imports from the top of the package: {public}"
    modules = {name if name in MODULES else name.rpartition(".")[0] for name in names}
    return modules & MODULES.keys()


def room_of(module: str) -> str | None:
    """The room of a module; None for the package itself and its entry point."""
    room = module.split(".")[1] if "." in module else None
    return None if room == "__main__" else room


def test_every_room_has_a_floor():
    assert {room_of(module) for module in MODULES} - {None} == set(FLOOR)


@pytest.mark.parametrize("room", FLOOR)
def test_imports_run_downwards(room):
    new = [
        f"{module} imports {lower}"
        for module, path in MODULES.items()
        if room_of(module) == room
        for lower in imports(path)
        if (other := room_of(lower)) not in (None, room)
        and (room, other) not in SIDEWAYS
        and FLOOR[other] >= FLOOR[room]
    ]
    assert not new


def test_no_module_imports_itself_in_a_circle():
    graph = {module: imports(path) - {"spectrodiff"} for module, path in MODULES.items()}
    try:
        tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(reversed(error.args[1]))}")


def test_rooms_and_files_are_of_a_readable_size():
    for folder in {path.parent for path in MODULES.values()}:
        files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= 15, f"{folder.relative_to(ROOT)} has {len(files)} files"
    for path in [*MODULES.values(), *(ROOT / "tests").rglob("*.py")]:
        lines = len(path.read_text().splitlines())
        assert lines <= 400, f"{path.relative_to(ROOT)} has {lines} lines"


# The importer of T5X checkpoints parses their gin file, without configuring anything.
GIN_FILES = "spectrodiff.checkpoints.layouts.gin_file", "gin.config_parser"


def test_only_commands_know_gin_and_the_command_line():
    for module, path in MODULES.items():
        if room_of(module) not in ("commands", None):
            used = set(imported(path.read_text()))
            found = {
                name
                for name in used
                if name.split(".")[0] in ("argparse", "gin") and (module, name) != GIN_FILES
            }
            assert not found, f"{module} imports {found}"


# A first line that begins so needs the name beside it to mean something.
FRAGMENTS = {"What", "How", "Where", "Whether", "Which", "From", "Of", "By", "So", "Those", "That"}


def test_docstrings_begin_with_a_line_that_stands_alone():
    fragments = []
    others = [path for room in ("benchmarks", "tests") for path in (ROOT / room).rglob("*.py")]
    for path in [*MODULES.values(), *others]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                first = text.strip().partition("\n")[0] if text is not None else "None."
                if not first or re.split(r"\W", first)[0].capitalize() in FRAGMENTS:
                    fragments.append(f"{path.relative_to(ROOT)}: {first or 'an empty docstring'}")
    assert not fragments
