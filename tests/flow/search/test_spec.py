from pathlib import Path

import pytest
import yaml
from bitexpert.flow.search.spec import SearchError, load_spec
from bitexpert.models.recipe import RecipeError, load_recipe, save_recipe
from searchspecs import EBRESNET, STEPS, spec

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_the_example_is_valid():
    found = load_spec(EXAMPLES / "search_digits.yaml")
    assert found.recipe == load_recipe("digits")
    assert found.objectives == ("accuracy", "luts")


def test_the_example_of_residual_networks_is_valid():
    found = load_spec(EXAMPLES / "search_ebnet.yaml")
    assert found.space.network == found.recipe.network.name == "ebresnet"
    assert found.hardware.target_fps == 1000


def test_a_recipe_by_name_by_path_and_inline(tmp_path):
    save_recipe(load_recipe("digits"), tmp_path / "mine.yaml")
    specs = [spec(recipe=recipe) for recipe in ("digits", "mine.yaml", load_recipe("digits").model_dump(mode="json"))]
    found = []
    for number, content in enumerate(specs):
        path = tmp_path / f"{number}.yaml"
        path.write_text(yaml.safe_dump(content))
        found.append(load_spec(path))
    assert found[0] == found[1] == found[2] == load_spec(specs[0]) == load_spec(found[0])
    with pytest.raises(RecipeError, match=r"none\.yaml: there is no such recipe"):
        load_spec(spec(recipe="none.yaml"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objectives": []}, "objectives: .*at least 1"),
        ({"objectives": ["lutz"]}, r"objectives\.0: .*'accuracy', 'bops', 'luts'"),
        ({"objectives": ["luts", "luts"], "training": None}, "objectives names one twice"),
        ({"training": None}, "the objective 'accuracy' needs training; add `training: {epochs: N}`"),
        ({"objectives": ["luts"]}, "training is for the objective 'accuracy'"),
        ({"hardware": None}, "the objective 'luts' needs a board; add `hardware: {board: pynq-z2}`"),
        ({"hardware": {"board": "pynq-z9"}}, "hardware.board: unknown board; use one of kv260, pynq-z1, pynq-z2,"),
        ({"objectives": ["accuracy", "fps"]}, "fps is an objective, and hardware.target_fps sets it"),
        ({"objective": "accuracy"}, "objective: this key is unknown"),
        ({"space": {"network": "alexnet"}}, "space: .*'vgg', 'ebresnet'"),
        ({"space": None}, "space: this key is required"),
        ({"trials": 0}, "trials: .*greater than or equal to 1"),
        ({"space": {"network": "vgg", "width": {"low": 1, "high": 9}}}, r"space\.stages: this key is required"),
        ({"operations": {"target": "equal"}}, "operations.target: "),
        ({"operations": {"tolerance": 0}}, "operations.tolerance: .*greater than 0"),
        (
            {"recipe": {"name": "x", "network": {"config": {"colour": 1}}, "steps": STEPS}},
            "recipe.network.config.colour",
        ),
        (
            {"space": {"network": "vgg", "width": {"low": 9, "high": 8}, "stages": [{}]}},
            r"space\.width: high=8 is below low=9",
        ),
        ({"space": {"network": "vgg", "width": {"low": 1, "high": 999, "step": 1}, "stages": [{}]}}, "more than 128"),
        (
            {**EBRESNET, "objectives": ["luts"], "training": None},
            "stream is real has no hardware estimates; set `stream: integer`",
        ),
        ({**EBRESNET, "recipe": "digits", "training": None, "hardware": None}, "the recipe's network is vgg"),
    ],
)
def test_wrong_specifications(changes, message):
    with pytest.raises(SearchError, match=message) as raised:
        load_spec(spec(**changes))
    assert "\n" not in str(raised.value)


def test_wrong_files(tmp_path):
    path = tmp_path / "spec.yaml"
    with pytest.raises(SearchError, match="cannot read the search"):
        load_spec(path)
    path.write_text("a: [1")
    with pytest.raises(SearchError, match="is not YAML"):
        load_spec(path)
    path.write_text("- 1")
    with pytest.raises(SearchError, match="a search is a mapping with the keys name, recipe, "):
        load_spec(path)
    path.write_text(yaml.safe_dump(spec(trials=0)))
    with pytest.raises(SearchError, match=r"spec\.yaml: trials: "):
        load_spec(path)
