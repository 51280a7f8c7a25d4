"""The programs of the package, as a user runs them, on the virtual board."""

import json
from dataclasses import replace

import numpy as np
import pytest
from bitexpert.sim.board import PACKAGE, BoardFault
from boards import make_board
from emitnets import folded_net, samples

GRAPH = folded_net()


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")
    return make_board(GRAPH, folder), folder / "deploy"


def run(board, program, *arguments, **changes):
    the_board, folder = board
    return replace(the_board, **changes).run(folder, ["-m", f"{PACKAGE}.{program}", *arguments], timeout=100)


def test_the_package_is_right(board):
    done = run(board, "validate", "--json", "found.json", "--batch-size", "7")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "golden samples: 20 frames, 0 elements differ\n"
    assert json.loads((board[1] / "found.json").read_text()) == {
        "golden_frames": 20,
        "mismatches": 0,
        "first_difference": None,
        "faults": [],
    }


def test_a_difference_is_found_and_its_place_told(board, tmp_path):
    golden = board[1] / PACKAGE / "golden"
    for name in ("input", "output"):
        np.save(tmp_path / f"{name}.npy", np.load(golden / f"{name}.npy"))
    wrong = np.load(tmp_path / "output.npy")
    right = wrong[3, 1, 0, 5]
    wrong[3, 1, 0, 5] += 1
    wrong[7] += 1
    np.save(tmp_path / "output.npy", wrong)
    done = run(board, "validate", "--golden", str(tmp_path))
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"golden samples: 20 frames, {1 + wrong[7].size} elements differ",
        f"first difference: frame 3, row 1, column 0, channel 5, expected {right + 1}, found {right}",
    ]


def test_accuracy_on_labelled_images(board, tmp_path):
    x = samples(GRAPH, 30)
    scores = GRAPH.run(x)[GRAPH.outputs[0]].reshape(30, -1)
    labels = scores.argmax(1)
    labels[:6] += 1
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", labels)
    done = run(board, "validate", "--images", str(tmp_path / "x.npy"), "--labels", str(tmp_path / "y.npy"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "accuracy: 80.00 % of 30 images"


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        (["validate", "--images", "x.npy"], {}, "--images and --labels go together"),
        (["validate", "--golden", "nowhere"], {}, "error: [Errno 2] No such file or directory: 'nowhere/input.npy'"),
        (
            ["validate", "--bitfile", "nowhere/other.bit"],
            {},
            "shell.json is missing; copy it from the package",
        ),
        (["validate"], {"fault": BoardFault.WRONG_HASH}, "error: the bitfile is of another design"),
        (["throughput", "--timeout", "0.5"], {"fault": BoardFault.DEAF}, "isn't finished after 0.5 s"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(board, arguments, changes, message):
    done = run(board, *arguments, **changes)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_throughput(board):
    done = run(board, "throughput", "--batch-size", "16", "--latencies", "10", "--json", "t.json", "--fclk-mhz", "100")
    assert done.returncode == 0, done.stderr
    told = json.loads((board[1] / "t.json").read_text())
    assert told["batch_size"] == 16
    assert told["fclk[mhz]"] == 100.0
    assert told["counters"]["frames_out"] == 16
    assert told["latency_p50[ms]"] <= told["latency_p90[ms]"] <= told["latency_p99[ms]"]
    assert "throughput[images/s]" in done.stdout
    assert f"interval_min                   {told['counters']['interval_min']}" in done.stdout


def test_experts(board):
    done = run(board, "experts", "--json", "e.json")
    assert done.returncode == 0, done.stderr
    x = np.load(board[1] / PACKAGE / "golden" / "input.npy")
    counts = np.bincount(GRAPH.run(x)["gate_0_out"].reshape(-1), minlength=3)
    assert json.loads((board[1] / "e.json").read_text()) == {"gate_0": counts.tolist()}
    assert done.stdout.splitlines()[0] == "20 frames; of each expert layer, the share that each expert got:"
    assert f"{100 * counts[0] / 20:5.1f} %" in done.stdout
