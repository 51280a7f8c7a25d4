"""The examples run as they are."""

import importlib.util
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_own_network(tmp_path, capsys):
    assert load("own_network").main(tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"rtl        8 samples, {lines[-1].split()[3]} streams, 0 mismatches"
    assert int(lines[-1].split()[3]) > 20
