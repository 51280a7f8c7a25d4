import copy
import io
import json
import pickle
import time
import zipfile

import numpy as np
import pytest
import torch
from bitexpert.models.binary import BinaryWeights
from bitexpert.models.block import BinaryBlock
from bitexpert.models.layers import use_real_weights
from bitexpert.models.networks import build_network
from bitexpert.models.zoo.pack import MAX_BYTES, VERSION, ZooError, pack, unpack
from flownets import scramble, vgg

NETWORKS = {
    "expanding and shrinking with groups": [
        {"width": 8, "tau": 2, "es_groups": 2},
        {"width": 16, "tau": 2, "es_groups": 2, "pool": 2},
    ],
    "both gates, padding of both kinds": [
        {"width": 4, "tau": 2},
        {"width": 8, "pad_mode": "minus_one"},
        {"kind": "expert", "width": 8, "experts": 3, "gate": "pre_sign", "pad_mode": "minus_one"},
        {"kind": "expert", "width": 8, "experts": 4, "expansion": 2, "gate": "sign", "pad_mode": "zero", "pool": 2},
    ],
    "odd sizes, no padding": [
        {"width": 3, "padding": 0, "pad_mode": "none"},
        {"width": 5, "kernel": 1, "padding": 0, "pad_mode": "none"},
        {"kind": "expert", "width": 7, "experts": 2, "gate_bits": 12, "padding": 0, "pad_mode": "none"},
    ],
}


def pixels(count: int = 40) -> torch.Tensor:
    return torch.randint(0, 256, (count, 1, 8, 8), generator=torch.Generator().manual_seed(3)).float()


def state(model) -> dict[str, torch.Tensor]:
    """All numbers that a frozen network computes with: signs of weights, not what lies behind them."""
    signs = {name: layer.binary_weight() for name, layer in model.named_modules() if isinstance(layer, BinaryWeights)}
    rest = {k: v for k, v in model.state_dict().items() if "gate.linear" not in k and "num_batches" not in k}
    return {k: signs.get(k.removesuffix(".weight"), v) for k, v in rest.items()}


@pytest.fixture(scope="module")
def network():
    return vgg({"blocks": NETWORKS["both gates, padding of both kinds"]})


@pytest.fixture(scope="module")
def content(network):
    return pack(network)


def rewritten(content: bytes, compress: bool = False, **changes) -> bytes:
    """The file with other arrays; None takes one away."""
    with np.load(io.BytesIO(content)) as archive:
        arrays = {**archive, **{k.replace("__", "."): v for k, v in changes.items()}}
    file = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(file, **{k: v for k, v in arrays.items() if v is not None})
    return file.getvalue()


def header(content: bytes, **changes) -> bytes:
    """The file with another header."""
    with np.load(io.BytesIO(content)) as archive:
        text = json.dumps({**json.loads(archive["header"].tobytes()), **changes}).encode()
    return rewritten(content, header=np.frombuffer(text, np.uint8))


@pytest.mark.parametrize("blocks", NETWORKS.values(), ids=NETWORKS)
def test_round_trip(blocks):
    model = vgg({"blocks": blocks})
    again = unpack(pack(model), "x")
    assert not again.training
    assert again.frozen
    assert again.config == model.config
    expected, found = state(model), state(again)
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        assert torch.equal(value, found[key]), key
    with torch.no_grad():
        scores = model(pixels())
        assert len(scores.unique()) > 5
        assert torch.equal(again(pixels()), scores)
        assert torch.equal(again.freeze()(pixels()), scores)  # nothing is left to freeze
    assert pack(again) == pack(model)


def test_constant_channels_are_among_them():
    torch.manual_seed(0)
    model = build_network("vgg", {"blocks": NETWORKS["both gates, padding of both kinds"]}).eval()
    scramble(model, pixels(), 0)
    slopes = torch.cat([b.bn.weight for b in model.modules() if isinstance(b, BinaryBlock)])
    assert (slopes == 0).any()
    assert (slopes > 0).any()
    assert (slopes < 0).any()
    model.freeze()
    with torch.no_grad():
        assert torch.equal(unpack(pack(model), "x")(pixels()), model(pixels()))


def test_a_preset_of_vgg():
    torch.manual_seed(1)
    model = build_network("es-eb-cnv").eval()
    x = torch.randint(0, 256, (3, 3, 32, 32)).float()
    scramble(model, x, 1)
    content = pack(model.freeze())
    assert len(content) < 1.2 * model.cost().as_dict()["binary_parameters"] / 8
    with torch.no_grad():
        assert torch.equal(unpack(content, "x")(x), model(x))


RESIDUALS = {
    "Expert Binary Network": ("1111-0.25-2:1:1:1", {"experts": 3}),
    "ResNet": ("es-resnet-20", {"blocks": (1, 1), "base_width": 4, "experts": 2, "gate": "sign"}),
    "learned shortcuts": ("es-resnet-20", {"blocks": (1, 1), "base_width": 4, "shortcut": "conv"}),
}


def residual(name, config):
    torch.manual_seed(2)
    model = build_network(name, {"height": 16, "width": 16, "stem": "cifar", "stream": "integer", **config})
    x = torch.randint(0, 256, (8, 3, 16, 16)).float()
    with torch.no_grad():
        for _ in range(10):
            model(x)
    return model, x


@pytest.mark.parametrize(("name", "config"), RESIDUALS.values(), ids=RESIDUALS)
def test_streams_of_integers(name, config):
    model, x = residual(name, config)
    content = pack(model.freeze())
    again = unpack(content, "x")
    assert pack(again) == content
    assert pack(again.freeze()) == content  # nothing is left to freeze
    with torch.no_grad():
        assert len(model(x).unique()) > 5
        assert torch.equal(again(x), model(x))


def test_a_stream_that_is_not_frozen_is_refused():
    model, _ = residual(*RESIDUALS["learned shortcuts"])
    with pytest.raises(ZooError, match=r"stages.0.0.bn: its slope isn't rounded for good; call model.freeze\(\)"):
        pack(model.eval())


def test_real_numbers_that_are_not_finite_are_refused():
    model, _ = residual(*RESIDUALS["Expert Binary Network"])
    content = pack(model.freeze())
    with np.load(io.BytesIO(content)) as archive:
        key = next(k for k in archive if k.endswith("running_var"))
        broken = np.full_like(archive[key], np.nan)
    with pytest.raises(ZooError, match=f"the array '{key}' is wrong: it has values that aren't finite"):
        unpack(rewritten(content, **{key.replace(".", "__"): broken}), "x")
    with torch.no_grad():
        model.get_buffer(key)[0] = float("inf")
    with pytest.raises(ZooError, match=f"{key} can't be packed: it has values that aren't finite; train again"):
        pack(model)


def test_the_same_network_gives_the_same_bytes(network, content, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 2e9)
    assert pack(network) == content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert {part.date_time for part in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {part.compress_type for part in archive.infolist()} == {zipfile.ZIP_STORED}


def test_what_training_alone_needs_is_not_in_the_file(network, content):
    for layer in (layer for _, layer in network.experts()):
        with torch.no_grad():
            layer.weight.mul_(0.5)
            layer.gate.linear.weight.mul_(0.5)
    assert pack(network) == content


def test_two_readings_of_a_file_are_equal_in_all_they_hold(content):
    torch.manual_seed(1)
    once = unpack(content, "x").state_dict()
    torch.manual_seed(2)
    twice = unpack(content, "x").state_dict()
    assert all(torch.equal(value, twice[key]) for key, value in once.items())


def test_integers_take_the_smallest_type(content):
    with np.load(io.BytesIO(content)) as archive:
        assert archive["blocks.0.bn.threshold"].dtype == np.int16  # sums of pixels
        assert archive["blocks.1.bn.threshold"].dtype == np.int8
        assert archive["blocks.2.conv.gate.weight"].dtype == np.int8
        assert archive["head.weight"].shape == (-(-10 * 16 * 16 // 8),)


def test_unpacking_leaves_the_random_generator_alone(content):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    unpack(content, "x")
    assert torch.equal(torch.rand(3), expected)


# -- refused by pack ---------------------------------------------------------------------------------
def test_what_is_not_frozen_is_refused():
    model = vgg({"blocks": NETWORKS["both gates, padding of both kinds"]}, snap=False)
    with pytest.raises(ZooError, match=r"blocks.0.bn: this isn't a threshold .* call model.freeze\(\)"):
        pack(model)
    for block in model.blocks:
        block.snap()
    with pytest.raises(ZooError, match=r"blocks.2.conv.gate: this gate is still real-valued; call model.freeze\(\)"):
        pack(model)


@pytest.mark.parametrize("name", ["1111-0.25-1:1:1:1", "es-resnet-20"])
def test_real_layers_are_refused(name):
    with pytest.raises(ZooError, match=r"stem.*: a packed network is made of signs.*real-valued part"):
        pack(build_network(name, {"height": 32, "width": 32, "stem": "cifar"}).freeze())


def test_weights_that_are_no_signs_are_refused():
    model = vgg({"blocks": [{"width": 4}]})
    use_real_weights(model, True)
    with pytest.raises(ZooError, match=r"blocks.0.conv.weight: its weights aren't all \+1 or -1"):
        pack(model)
    use_real_weights(model, False)
    with torch.no_grad():
        model.head.weight[1, 2] = float("nan")
    with pytest.raises(ZooError, match=r"head.weight: its weights aren't all"):
        pack(model)


def test_thresholds_out_of_reach_are_refused():
    model = vgg({"blocks": [{"width": 4}]})
    model.blocks[0].bn.running_mean[0] = 1e5 + 0.5
    with pytest.raises(ZooError, match=r"blocks.0.bn.threshold can't be packed: its values are from"):
        pack(model)


def test_a_foreign_model_is_refused():
    with pytest.raises(ZooError, match=r"only networks of the registry.*build_network"):
        pack(torch.nn.Linear(2, 2))


# -- refused by unpack -------------------------------------------------------------------------------
@pytest.mark.parametrize("keep", [0.0, 0.001, 0.1, 0.5, 0.99])
def test_truncated(content, keep):
    with pytest.raises(ZooError, match=r"d.npz: this is no packed network, or it is damaged; get the file again"):
        unpack(content[: int(len(content) * keep)], "d.npz")


@pytest.mark.parametrize("data", [b"hello", b"PK\x03\x04rest", bytes(range(256)), pickle.dumps({"a": 1})])
def test_garbage(data):
    with pytest.raises(ZooError, match="x: this is no packed network"):
        unpack(data, "x")


def test_flipped_bits_never_give_another_network(content):
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.integers(0, len(content), 300):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        try:
            assert pack(unpack(bytes(damaged), "x")) == content, place
        except ZooError:
            refused += 1
    assert refused > 200


def test_pickles_are_not_read(content, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "evil"), "w"))

    with pytest.raises(ZooError, match="no packed network"):
        unpack(rewritten(content, head__weight=np.array([Evil()], dtype=object)), "x")
    assert not (tmp_path / "evil").exists()


def test_files_that_unfold_are_refused(content):
    bomb = rewritten(content, compress=True, more=np.zeros(10**7, np.uint8))
    assert len(bomb) < 10**6
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a") as archive:  # many entries of the directory, one part
        archive.filelist += [copy.copy(archive.getinfo("head.weight.npy")) for _ in range(1000)]
        archive.writestr("more.npy", b"")  # so that the directory is written
    small = io.BytesIO(rewritten(content, compress=True))
    with zipfile.ZipFile(small, "a") as archive:
        archive.comment = bytes(60_000)  # so that the file is larger than all that is in it
    for data in (bomb, file.getvalue(), small.getvalue()):
        with pytest.raises(ZooError, match="its parts are compressed or lie over each other"):
            unpack(data, "x")
    with pytest.raises(ZooError, match="too many for a packed network"):
        unpack(bytes(MAX_BYTES + 1), "x")


def test_an_array_that_claims_to_be_huge(content):
    array = io.BytesIO()
    np.lib.format.write_array_header_1_0(array, {"descr": "|u1", "fortran_order": False, "shape": (2**60,)})
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("huge.npy", array.getvalue())
    with pytest.raises(ZooError, match="no packed network, or it is damaged"):
        unpack(file.getvalue(), "x")


def test_a_config_that_claims_to_be_huge(content):
    blocks = [{"width": 4096, "kernel": 15, "padding": 7}] * 9
    with pytest.raises(ZooError, match=r"the array 'blocks\..*' "):
        unpack(header(content, config={"blocks": blocks, "height": 1024, "width": 1024}), "x")
    deep = np.frombuffer(b"[" * 60_000, np.uint8)
    with pytest.raises(ZooError, match="its header is damaged"):
        unpack(rewritten(content, header=deep), "x")


def test_other_numpy_files():
    single, other = io.BytesIO(), io.BytesIO()
    np.save(single, np.zeros(3))
    np.savez(other, weights=np.zeros(3))
    for data in (single.getvalue(), single.getvalue() + other.getvalue()):  # the second is a zip archive, too
        with pytest.raises(ZooError, match="this is no packed network"):
            unpack(data, "x")
    with pytest.raises(ZooError, match="no header of a packed network; make one with `bitexpert zoo add`"):
        unpack(other.getvalue(), "x")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "other"}, "this is no packed network"),
        ({"version": VERSION + 1}, f"format version {VERSION + 1}, but this bitexpert reads version {VERSION}"),
        ({"network": "resnet-19"}, "'resnet-19' is unknown"),
        ({"network": 3}, "its header lacks the network or its config"),
        ({"config": {"colour": 1}}, "colour: this key is unknown"),
        ({"config": [1]}, "its header lacks the network or its config"),
        ({"config": {}}, "is missing|has no place in the network|is wrong"),
    ],
)
def test_wrong_headers(content, changes, words):
    with pytest.raises(ZooError, match=f"^n.npz: .*({words})"):
        unpack(header(content, **changes), "n.npz")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"head__weight": None}, "'head.weight' is missing"),
        ({"more": np.zeros(2)}, "'more' has no place in the network"),
        ({"head__weight": np.zeros(3, np.uint8)}, r"'head.weight' is wrong: its shape is \(3,\)"),
        ({"head__weight": np.zeros(320)}, "'head.weight' is wrong: it isn't an array of uint8"),
        ({"blocks__0__bn__threshold": np.zeros(8, np.int64)}, "isn't an array of int8 or int16 or int32"),
        ({"blocks__1__bn__threshold": np.full(8, 100, np.int8)}, r"from 100 to 100, and must lie in -73\.\.72"),
        ({"blocks__2__conv__gate__weight": np.full((3, 8), -128, np.int8)}, r"must lie in -127\.\.127"),
        ({"blocks__2__conv__gate__bias": np.full(3, 2**24 + 1, np.int32)}, "float32, in which"),
    ],
)
def test_wrong_arrays(content, changes, words):
    with pytest.raises(ZooError, match=rf"^n.npz: the array .*{words}.*; get the file again"):
        unpack(rewritten(content, **changes), "n.npz")
