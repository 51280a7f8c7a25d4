import datetime

import pytest
import yaml
from bitexpert.models.networks import build_network
from bitexpert.models.zoo import Accuracy, Card, NetworkFacts, TestSet, ZooError, card_text, read_card
from flownets import vgg

BLOCKS = [{"width": 4, "tau": 2}, {"kind": "expert", "width": 4, "experts": 3, "gate": "sign"}]


@pytest.fixture(scope="module")
def card() -> Card:
    return Card(
        name="small-one",
        title="A card: with a colon, and ünïcode",
        date=datetime.date(2026, 1, 2),
        sha256="0" * 64,
        network=NetworkFacts.of(vgg({"blocks": BLOCKS})),
        test_set=TestSet(dataset="digits", held_out=0.2, seed=3, sha256="a" * 64, description="some", caveats=["few"]),
        accuracy=Accuracy(right=3, total=4),
        seed=1,
        recipe={"name": "small", "training": {"seed": 1, "learning_rate": 0.005}, "dataset": {"held_out": None}},
        versions={"bitexpert": "0"},
    )


def test_round_trip(card, tmp_path):
    path = tmp_path / "small-one.yaml"
    path.write_text(card_text(card), encoding="utf-8")
    assert read_card(path) == card
    assert card.accuracy.share == 0.75


def test_facts_are_those_of_the_network():
    model = vgg({"blocks": BLOCKS})
    facts, cost = NetworkFacts.of(model), model.cost().as_dict()
    assert (facts.experts, facts.copies, facts.input, facts.classes) == ([1, 3], [2, 1], [8, 8, 1], 10)
    assert (facts.bops, facts.macs, facts.weight_bits) == (cost["bops"], cost["macs"], cost["binary_parameters"])
    assert facts.weight_bits == 4 * 9 + 3 * 4 * 8 * 9 + 10 * 4 * 64
    assert "2 binary blocks" in facts.summary
    assert "1 of them choose among up to 3 experts" in facts.summary
    assert "copied up to 2 times" in facts.summary
    plain = NetworkFacts.of(vgg({"blocks": [{"width": 4}]})).summary
    assert plain == "1 binary block and a binary classifier"


def test_facts_of_a_residual_network():
    settings = {"blocks": (1, 1), "base_width": 4, "stream": "integer", "gate": "sign", "experts": 3}
    model = build_network("es-resnet-20", settings)
    facts, cost = NetworkFacts.of(model), model.cost().as_dict()
    assert (facts.experts, facts.copies, facts.classes) == ([3] * 4, [4] * 4, 10)
    assert facts.weight_bits == cost["binary_parameters"]
    assert facts.summary.startswith("4 binary convolutions along a residual stream of integers; 4 of them choose among")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "other"}, "the card's name is 'other'; file and card must have the same name"),
        ({"name": "../x"}, "name: String should match pattern"),
        ({"colour": 1}, "colour: this key is unknown"),
        ({"title": None}, "title: Input should be a valid string"),
        ({"sha256": "abc"}, "sha256: String should match pattern"),
        ({"seed": "1"}, "seed: Input should be a valid integer"),
        ({"accuracy": {"right": 5, "total": 4}}, "accuracy: 5 of 4 images can't be right"),
        ({"accuracy": {"right": 3}}, "accuracy.total: this key is required"),
        ({"recipe": {}}, "recipe: "),
    ],
)
def test_wrong_cards(card, tmp_path, changes, words):
    path = tmp_path / "small-one.yaml"
    path.write_text(yaml.safe_dump({**card.model_dump(), **changes}))
    with pytest.raises(ZooError, match=words) as caught:
        read_card(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "\x00", "- 1", "", "!!python/object/apply:os.getcwd []"])
def test_files_that_are_no_cards(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ZooError, match=r"c.yaml: "):
        read_card(path)
    path.unlink()
    with pytest.raises(ZooError, match="cannot be read: No such file"):
        read_card(path)
