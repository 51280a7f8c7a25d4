import pytest
import torch
from bitexpert.models.checkpoint import VERSION, CheckpointError, load_checkpoint, save_checkpoint
from bitexpert.models.networks import build_network

SMALL = {"blocks": [{"width": 4}, {"kind": "expert", "width": 8, "experts": 2, "pool": 2}]}


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model = build_network("vgg", SMALL)
    model(torch.randint(0, 256, (16, 1, 8, 8)).float())
    return model, save_checkpoint(model, tmp_path / "model.pt")


def rewrite(path, **changes):
    content = torch.load(path, weights_only=True)
    content.update(changes)
    torch.save(content, path)


@pytest.mark.parametrize("frozen", [False, True])
def test_round_trip(saved, tmp_path, frozen):
    model, _ = saved
    model.eval()
    if frozen:
        model.freeze()
    again = load_checkpoint(save_checkpoint(model, tmp_path / "again.pt"))
    x = torch.randint(0, 256, (20, 1, 8, 8)).float()
    assert again.frozen is frozen
    assert not again.training
    assert again.config == model.config
    assert torch.equal(again(x), model(x))


def test_loading_leaves_the_random_generator_alone(saved):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_checkpoint(saved[1])
    assert torch.equal(torch.rand(3), expected)


def test_missing(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        load_checkpoint(tmp_path / "none.pt")


def test_empty(tmp_path):
    (tmp_path / "m.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="empty"):
        load_checkpoint(tmp_path / "m.pt")


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
def test_truncated(saved, keep):
    data = saved[1].read_bytes()
    saved[1].write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(CheckpointError, match="not a checkpoint, or it is truncated"):
        load_checkpoint(saved[1])


@pytest.mark.parametrize("data", [b"hello world", b"\x80\x04", b"PK\x03\x04rest", bytes(range(256))])
def test_garbage(tmp_path, data):
    (tmp_path / "m.pt").write_bytes(data)
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "m.pt")


def test_code_in_the_file_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "evil"), "w"))

    torch.save({"format": Evil()}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "m.pt")
    assert not (tmp_path / "evil").exists()


def test_another_torch_file(tmp_path):
    torch.save({"weights": torch.zeros(3)}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="not a bitexpert checkpoint"):
        load_checkpoint(tmp_path / "m.pt")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": VERSION + 1}, f"format version {VERSION + 1}"),
        ({"network": "resnet-19"}, "'resnet-19' is unknown"),
        ({"config": {"colour": 1}}, "colour: this key is unknown"),
        ({"state_dict": {}}, "weights don't fit"),
        ({"state_dict": {"head.weight": torch.zeros(1)}}, "weights don't fit"),
    ],
)
def test_wrong_content(saved, changes, words):
    rewrite(saved[1], **changes)
    with pytest.raises(CheckpointError, match=words) as caught:
        load_checkpoint(saved[1])
    assert str(saved[1]) in str(caught.value)


def test_a_foreign_model_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="build_network"):
        save_checkpoint(torch.nn.Linear(2, 2), tmp_path / "m.pt")
