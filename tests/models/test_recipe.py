import pytest
from bitexpert.models.networks import NETWORKS, VggConfig
from bitexpert.models.recipe import RecipeError, load_recipe, save_recipe, shipped_recipes


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_shipped_recipes_are_valid_and_survive_saving(name, tmp_path):
    recipe = load_recipe(name)
    save_recipe(recipe, tmp_path / "again.yaml")
    assert load_recipe(tmp_path / "again.yaml") == recipe


def test_digits_recipe_spells_out_the_default_network():
    recipe = load_recipe("digits")
    assert NETWORKS[recipe.network.name][0].model_validate(recipe.network.config) == VggConfig()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: x\nepochs: 3\n", "epochs: this key is unknown"),
        ("name: x\ntraining: {learning_rat: 1}\n", "training.learning_rat: this key is unknown"),
        ("name: x\ntraining: {learning_rate: -1}\n", r"training.learning_rate: .*greater than 0 \(found -1\)"),
        ("name: x\ndataset: {name: svhn}\n", "dataset.name: unknown data set; use one of cifar-10"),
        ("name: x\nnetwork: {name: resnet-19}\n", "network.name: unknown network; use one of bireal-18, "),
        ("name: x\nnetwork: {config: {colour: 1}}\n", "network.config.colour: this key is unknown"),
        ("dataset: {}\n", "name: this key is required"),
        ("- 1\n", "a recipe is a mapping"),
        ("a: [1\n", "this is not YAML"),
        ("", "a recipe is a mapping"),
    ],
)
def test_wrong_recipes(tmp_path, text, words):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=words) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_recipe(tmp_path):
    with pytest.raises(RecipeError, match="no such recipe; give a YAML file or one of digits"):
        load_recipe(tmp_path / "nothing.yaml")
