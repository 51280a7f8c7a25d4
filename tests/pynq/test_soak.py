"""Long runs of the digits network on the virtual board."""

import numpy as np
import pytest
from bitexpert.flow.build import build, open_build
from bitexpert.flow.config import BuildConfig
from bitexpert.flow.zoo import zoo_get
from bitexpert.models.datasets import load_dataset
from bitexpert.sim.board import VirtualBoard, build_board

FRAMES, RESETS = 10_000, 100
PROGRAM = f"""
import random
import numpy as np
from bitexpert_accelerator import Accelerator

x, y = np.load("x.npy"), np.load("y.npy")
rng, wrong, right, resets = random.Random(1), 0, 0, 0
with Accelerator(batch_size=64, timeout_s=60) as accelerator:
    while right < {FRAMES} or resets < {RESETS}:
        rows = [rng.randrange(len(x)) for _ in range(rng.choice([1, 2, 30, 64, 130, 200]))]
        if resets < {RESETS} and rng.random() < 0.6:
            count = min(len(rows), 64)
            accelerator.copy_input_data_to_device(accelerator.pack_input(accelerator.fold_input(x[rows[:count]])))
            accelerator.execute_on_buffers(asynch=True, batch_size=count)
            for _ in range(rng.randrange(60)):
                accelerator.register("FRAMES_OUT")  # time passes
            accelerator.reset()
            resets += 1
        found = accelerator.execute(x[rows])
        differs = (found != y[rows]).reshape(len(rows), -1).any(1)
        wrong, right = wrong + int(differs.sum()), right + int((~differs).sum())
    print(wrong, resets, right >= {FRAMES}, accelerator.faults())
"""


@pytest.mark.full
@pytest.mark.parametrize("stall", [0, 40])
def test_ten_thousand_frames_with_pauses_and_resets(stall, tmp_path):
    zoo_get("digits", tmp_path / "digits.onnx")
    build(tmp_path / "digits.onnx", tmp_path / "build", BuildConfig())
    made = open_build(tmp_path / "build")
    images = load_dataset("digits").test_x
    graph, folder = made.graph, made.folder
    board = VirtualBoard(
        build_board(folder / "rtl", folder / "shell", tmp_path / "work"), folder / "rtl", stall=stall, seed=7
    )
    deploy = folder / "deploy"
    board.prepare(deploy)
    np.save(deploy / "x.npy", images)
    np.save(deploy / "y.npy", graph.run(images)[graph.outputs[0]])
    (deploy / "soak.py").write_text(PROGRAM)
    done = board.run(deploy, ["soak.py"], timeout=1800)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"0 {RESETS} True []\n"
