"""The driver's own files on the virtual board: results, counters, and every promised error."""

from dataclasses import replace

import numpy as np
import pytest
from bitexpert.sim.board import BoardFault
from boards import make_board, on_board
from emitnets import folded_net, samples

GRAPH = folded_net()
COUNT = 37


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("board")


@pytest.fixture(scope="module")
def board(folder):
    return make_board(GRAPH, folder)


@pytest.fixture(scope="module")
def frames():
    x = samples(GRAPH, COUNT)
    values = GRAPH.run(x)
    return x, values[GRAPH.outputs[0]], values["gate_0_out"]


def run(board, folder, script, **arrays):
    return on_board(board, folder / "deploy", script, **arrays)


@pytest.mark.parametrize("stall", [0, 30, 80])
@pytest.mark.parametrize("batch", [1, 5, 64])
def test_results_are_the_networks(batch, stall, board, folder, frames):
    script = f"""
with Accelerator(batch_size={batch}) as accelerator:
    parts = [slice(0, None), slice(0, 1), slice(3, 10), slice(0, 0), slice(0, None)]
    told["wrong"] = sum(int((accelerator.execute(x[part]) != y[part]).sum()) for part in parts)
    told["faults"] = accelerator.faults()
    told["frames"] = accelerator.counters()["frames_out"]
"""
    x, y, _ = frames
    told = run(replace(board, stall=stall), folder, script, x=x, y=y)
    assert told == {"wrong": 0, "faults": [], "frames": 2 * COUNT + 1 + 7}


def test_counters_and_experts(board, folder, frames):
    x, _, choices = frames
    script = """
with Accelerator(batch_size=16) as accelerator:
    accelerator.execute(x)
    told["counters"], told["use"] = accelerator.counters(), accelerator.expert_use()
    told["test"] = accelerator.throughput_test()
"""
    told = run(board, folder, script, x=x)
    assert told["use"] == {"gate_0": np.bincount(choices.reshape(-1), minlength=3).tolist()}
    counters = told["counters"]
    assert counters["frames_in"] == counters["frames_out"] == COUNT
    assert 0 < counters["interval_min"] <= counters["interval"] <= counters["interval_max"]
    assert counters["latency_min"] <= counters["latency_max"] < counters["cycles_busy"] < counters["cycles"]
    test = told["test"]
    assert test["batch_size"] == 16
    assert test["counters"]["frames_out"] == 16
    seconds = test["runtime[ms]"] / 1000
    assert test["throughput[images/s]"] == pytest.approx(16 / seconds)
    assert test["DRAM_in_bandwidth[MB/s]"] == pytest.approx(16 * 48 / seconds / 1e6)


def test_finns_steps_one_by_one(board, folder, frames):
    x, y, _ = frames
    script = """
with Accelerator(batch_size=len(x)) as a:
    told["shapes"] = [a.ishape_normal(), a.ishape_folded(), a.ishape_packed(),
                      a.oshape_normal(), a.oshape_folded(), a.oshape_packed()]
    told["types"] = [a.idt(), a.odt()]
    folded = a.fold_input(x)
    packed = a.pack_input(folded)
    told["seen"] = [folded.shape, packed.shape]
    a.copy_input_data_to_device(packed)
    a.execute_on_buffers(asynch=True)
    try:
        a.execute_on_buffers()
    except AcceleratorError as error:
        told["busy"] = str(error)
    a.wait_until_finished()
    back = a.unpack_output(a.copy_output_data_from_device())
    told["wrong"] = int((a.unfold_output(back) != y).sum())
"""
    told = run(board, folder, script, x=x, y=y)
    assert told["shapes"] == [
        [COUNT, 6, 4, 2], [COUNT, 48, 1], [COUNT, 48, 1], [COUNT, 3, 2, 9], [COUNT, 18, 3], [COUNT, 18, 3],
    ]  # fmt: skip
    assert told["types"] == ["uint3", "int8"]
    assert told["seen"] == told["shapes"][1:3]
    assert told["busy"] == "a batch is running; call wait_until_finished() first"
    assert told["wrong"] == 0


WRONG_INPUTS = {
    "x.astype(np.float32)": ("TypeError", "the accelerator takes integers (uint3), not float32"),
    "x.tolist()": ("TypeError", "the accelerator takes integers (uint3), not list"),
    "x[0]": ("ValueError", "the accelerator takes frames of shape (N, 6, 4, 2), not (6, 4, 2)"),
    "x.transpose(0, 3, 1, 2)": ("ValueError", "frames of shape (N, 6, 4, 2), not (37, 2, 6, 4)"),
    "x + 8": ("ValueError", "the accelerator takes values of 0..7, these are 8.."),
    "x - 1": ("ValueError", "the accelerator takes values of 0..7, these are -1.."),
}


def test_wrong_input_is_told_and_nothing_is_sent(board, folder, frames):
    x, _, _ = frames
    script = f"""
with Accelerator(batch_size=4) as accelerator:
    for text in {list(WRONG_INPUTS)!r}:
        try:
            accelerator.execute(eval(text))
        except Exception as error:
            told[text] = [type(error).__name__, str(error)]
    told["frames"] = accelerator.counters()["frames_in"]
    for value in (0, 1.5):
        try:
            accelerator.batch_size = value
        except ValueError as error:
            told[str(value)] = str(error)
    try:
        accelerator.copy_input_data_to_device(np.zeros(1000, np.uint8))
    except ValueError as error:
        told["room"] = str(error)
"""
    told = run(board, folder, script, x=x)
    for text, (kind, message) in WRONG_INPUTS.items():
        assert told[text][0] == kind
        assert message in told[text][1]
    assert told["frames"] == 0
    assert "at least 1, not 0" in told["0"]
    assert "not 1.5" in told["1.5"]
    assert told["room"] == "1000 bytes don't fit the input buffer of 192; set a larger batch_size"


def refused(board, folder, script):
    """The error with which a script ends that is to fail."""
    (folder / "deploy" / "fails.py").write_text("from bitexpert_accelerator import Accelerator\n" + script)
    done = board.run(folder / "deploy", ["fails.py"], timeout=100)
    assert done.returncode == 1
    assert "bitexpert_accelerator.driver.AcceleratorError" in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_another_design_is_refused(board, folder):
    other = replace(board, fault=BoardFault.WRONG_HASH)
    found = refused(other, folder, "Accelerator()")
    assert "the bitfile is of another design: its hash is" in found
    assert "build the bitfile again" in found


def test_a_missing_interface_is_told(board, folder):
    found = refused(board, folder, "Accelerator(interface='/nowhere/shell.json')")
    assert "/nowhere/shell.json is missing; copy it from the package" in found


FAILING = """
with Accelerator(batch_size=4, timeout_s=0.5) as accelerator:
    try:
        accelerator.execute(x)
    except AcceleratorError as error:
        told["error"] = str(error)
    told["after"] = accelerator.counters()["frames_in"]
"""


def test_a_dma_error_is_told_and_the_next_batch_is_right(board, folder, frames):
    x, y, _ = frames
    script = FAILING + "    told['wrong'] = int((accelerator.execute(x) != y).sum())\n"
    told = run(replace(board, fault=BoardFault.DMA_ERROR), folder, script, x=x, y=y)
    assert told["error"].startswith("the DMA from the accelerator: decode error: the address is no memory.")
    assert told["error"].endswith("The accelerator has been reset and can be used again")
    assert told["after"] == 0
    assert told["wrong"] == 0


def test_a_core_that_never_finishes_is_told_in_time(board, folder, frames):
    told = run(replace(board, fault=BoardFault.DEAF), folder, FAILING, x=frames[0])
    assert told["error"].startswith("a batch of 4 frames isn't finished after 0.5 s: 4 frames went in, ")


def test_a_packet_that_holds_no_whole_frames_is_told(board, folder, frames):
    script = """
with Accelerator(batch_size=4, timeout_s=0.5) as accelerator:
    accelerator.input.frame_bytes -= 1
    try:
        accelerator.execute_on_buffers()
    except AcceleratorError as error:
        told["error"] = str(error)
    accelerator.input.frame_bytes += 1
    told["wrong"] = int((accelerator.execute(x) != y).sum())
"""
    x, y, _ = frames
    told = run(board, folder, script, x=x, y=y)
    assert "the accelerator tells of PACKET_END" in told["error"]
    assert told["wrong"] == 0


def test_a_result_larger_than_its_buffer_is_told(board, folder, frames):
    script = """
with Accelerator(batch_size=4, timeout_s=0.5) as accelerator:
    accelerator.output.frame_bytes -= 1
    try:
        accelerator.execute_on_buffers()
    except AcceleratorError as error:
        told["error"] = str(error)
"""
    told = run(board, folder, script)
    assert told["error"].startswith(
        "the DMA from the accelerator: internal error: the buffer is smaller than the packet"
    )
