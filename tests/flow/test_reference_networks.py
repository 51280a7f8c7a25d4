"""The networks of brevitas_examples.bnn_pynq, from each form of their file to the reference, HLS and RTL."""

import pytest
from brevitas_nets import NAMES, Form, export_network, network
from wholeway import accelerator, in_hardware, in_the_fast_engine

SMALL = [("tfc_1w1a", Form(dynamo=False)), ("tfc_2w2a", Form(dynamo=True, opset=18))]
FORMS = [
    *(Form(dynamo=False, opset=opset) for opset in (11, 13, 16, 20)),
    *(Form(dynamo=True, opset=opset, external=external) for opset, external in ((18, False), (20, True))),
    Form(dynamo=False, batch="dynamic"),
    Form(dynamo=True, opset=18, batch="dynamic"),
    Form(dynamo=False, stripped=True, batch="edited"),
    Form(dynamo=False, cleaned=True),
    Form(dynamo=True, opset=18, cleaned=True, stripped=True),
]


def made(name, form, folder):
    return export_network(name, network(name), folder / "model.onnx", form)


@pytest.mark.parametrize(("name", "form"), SMALL, ids=str)
def test_to_hardware(name, form, tmp_path):
    graph, frames = accelerator(made(name, form, tmp_path))
    in_hardware(graph, frames[:3], target_fps=5000)


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_every_form_of_the_file(name, tmp_path):
    model = network(name)
    few = FORMS if not name.startswith(("cnv", "lfc")) else FORMS[1::4]
    for number, form in enumerate(few):
        folder = tmp_path / str(number)
        folder.mkdir()
        accelerator(export_network(name, model, folder / "model.onnx", form), frames=8)


@pytest.mark.full
@pytest.mark.parametrize("name", [n for n in NAMES if not n.startswith("tfc")])
def test_large_ones_to_hardware(name, tmp_path):
    graph, frames = accelerator(made(name, FORMS[1], tmp_path), frames=8)
    in_the_fast_engine(graph, frames)
    in_hardware(graph, frames[:2], target_fps=400 if name.startswith("cnv") else 3000, stalls=(0,))
