"""Makes the helpers of this folder importable from every test, and one tiny network for the tests of the way."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
# Tests run side by side: torch's threads would wait for each other, and take many times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@dataclass(frozen=True)
class Tiny:
    """A frozen random network of an ES layer and an expert layer, and what is made of it. Not to be written to."""

    checkpoint: Path
    model: Path
    #: Frames a second that its smallest folding reaches with 576 cycles at 100 MHz.
    fps: float = 100_000.0


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Tiny:
    """Checkpoint and QONNX file of a 4x4 network with 4 experts and 3 classes."""
    from bitexpert.flow.export import export
    from bitexpert.models.checkpoint import save_checkpoint
    from flownets import vgg

    folder = tmp_path_factory.mktemp("tiny")
    blocks = [{"width": 4, "tau": 2}, {"kind": "expert", "width": 4, "experts": 4}]
    network = vgg({"height": 4, "width": 4, "class_names": ["a", "b", "c"], "blocks": blocks})
    return Tiny(save_checkpoint(network, folder / "model.pt"), export(network, folder / "model.onnx"))


@pytest.fixture(scope="session")
def tiny_build(tiny, tmp_path_factory) -> Path:
    """A finished build of it. Not to be written to: copy it."""
    from bitexpert.flow.build import build
    from bitexpert.flow.config import BuildConfig

    folder = tmp_path_factory.mktemp("tiny_build") / "build"
    build(tiny.model, folder, BuildConfig(target_fps=tiny.fps, checkpoint=tiny.checkpoint))
    return folder


@pytest.fixture
def own_build(tiny_build, tmp_path) -> Path:
    """A copy of it, to be written to."""
    return Path(shutil.copytree(tiny_build, tmp_path / "own_build"))
