"""The package can be installed, its notebook runs, and pynq finds it."""

import json
import subprocess
import sys
import zipfile

import pytest
from boards import make_board
from emitnets import folded_net


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    return make_board(folded_net(), folder), folder / "deploy"


def test_the_notebook_runs_and_every_result_is_right(made):
    board, folder = made
    book = json.loads((folder / "bitexpert_accelerator" / "notebooks" / "accelerator.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]
    assert not any(cell.get("outputs") for cell in book["cells"])
    text = "\n".join(cells).replace("%matplotlib inline", "import matplotlib; matplotlib.use('Agg')")
    shown = "plt.show = lambda: (plt.savefig(f'picture-{plt.gcf().number}.png'), print('shown'))\n"
    (folder / "notebook.py").write_text(text.replace("import numpy as np\n", "import numpy as np\n" + shown, 1))
    done = board.run(folder, ["notebook.py"], timeout=100)
    assert done.returncode == 0, done.stderr
    assert "20 frames of (6, 4, 2), uint3 in, int8 out" in done.stdout
    assert "0 of 1080 elements differ from the network's" in done.stdout
    assert done.stdout.count("shown") == 2


def test_installed_it_holds_everything_and_pynq_finds_its_notebooks(made, tmp_path):
    _, folder = made
    build = [sys.executable, "setup.py", "--quiet", "bdist_wheel", "--dist-dir", str(tmp_path)]
    done = subprocess.run(build, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (points,) = [archive.read(name).decode() for name in names if name.endswith("entry_points.txt")]
    inside = {name for name in names if name.startswith("bitexpert_accelerator/")}
    package = folder / "bitexpert_accelerator"
    there = {str(p.relative_to(folder)) for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    assert inside == there
    assert {"accelerator.bit", "accelerator.hwh", "shell.json"} <= {p.name for p in package.iterdir()}
    assert points.split() == ["[pynq.notebooks]", "bitexpert_accelerator", "=", "bitexpert_accelerator.notebooks"]
