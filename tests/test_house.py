"""Who may import whom, and how large a file may grow."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ARROWS = {
    "models": {"models", "errors"},
    "hw": {"hw", "errors"},
    "sim": {"sim", "hw", "errors"},
    "flow": {"flow", "models", "hw", "sim", "errors", ""},
}
# Third-party packages that only some rooms may know.
OUTSIDE = {
    "hw": {"numpy"},
    "sim": {"numpy"},
}
# What stands for pynq on a PC is no part of the package: programs for a board find it in a Python of their own.
ELSEWHERE = ROOT / "sim" / "virtual_pynq"
SOURCES = [p for room in ARROWS for p in sorted((ROOT / room).rglob("*.py")) if ELSEWHERE not in p.parents]


def imports(path: Path) -> tuple[set[str], set[str]]:
    """(rooms, top-level packages) that a file imports."""
    rooms, packages = set(), set()
    parts = path.relative_to(ROOT).with_suffix("").parts
    package = parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            target = (*base, *(node.module or "").split(".")) if node.module else base
            if target:
                rooms.add(target[0])
            else:
                rooms.update(a.name if (ROOT / a.name).is_dir() else "" for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            packages.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Import):
            packages.update(a.name.split(".")[0] for a in node.names)
    return rooms, packages


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_follow_the_arrows(path):
    room = path.relative_to(ROOT).parts[0]
    rooms, packages = imports(path)
    assert rooms <= ARROWS[room], f"{room} must not import {rooms - ARROWS[room]}"
    assert "bitexpert" not in packages, "import relatively across rooms"
    if room in OUTSIDE:
        import sys

        foreign = packages - OUTSIDE[room] - set(sys.stdlib_module_names)
        assert not foreign, f"{room} must not import {foreign}"


def test_an_import_against_an_arrow_is_seen(tmp_path, monkeypatch):
    (tmp_path / "hw").mkdir()
    bad = tmp_path / "hw" / "bad.py"
    bad.write_text("from ..flow.build import build\nimport torch\n")
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    rooms, packages = imports(bad)
    assert rooms == {"flow"}
    assert packages == {"torch"}


def test_no_file_has_outgrown_its_room():
    rooms = [p for p in ROOT.iterdir() if p.is_dir() and p.name not in (".venv", ".git", "demo", "build")]
    kinds = (".py", ".sv", ".hpp", ".cpp", ".j2")
    files = [p for p in (*ROOT.iterdir(), *(p for room in rooms for p in room.rglob("*"))) if p.suffix in kinds]
    assert len(files) > 300
    long = {str(p.relative_to(ROOT)): n for p in files if (n := len(p.read_text().splitlines())) > 600}
    assert not long


def test_what_the_programs_read_is_in_the_package():
    """Files that are no modules of the package, but are needed where it is installed."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    shipped = {path for pattern in told["package-data"]["bitexpert"] for path in ROOT.glob(pattern) if path.is_file()}
    rooms = (
        "templates",
        "sim/virtual_pynq",
        "sim/cpp",
        "sim/netlist",
        "hw/rtl",
        "hw/hls",
        "hw/boards",
        "models/recipes",
    )
    needed = {p for room in rooms for p in (ROOT / room).rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    assert needed - shipped == set()
