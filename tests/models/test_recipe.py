import pytest
from bitexpert.models.networks import NETWORKS, VggConfig
from bitexpert.models.recipe import RecipeError, load_recipe, save_recipe, shipped_recipes

X = "name: x\nsteps: [{name: a, epochs: 1}]\n"


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
        (f"epochs: 3\n{X}", "epochs: this key is unknown"),
        (f"training: {{batch_siz: 1}}\n{X}", "training.batch_siz: this key is unknown"),
        ("name: x\nsteps: [{name: a, epochs: -1}]\n", r"steps.0.epochs: .*greater than or equal to 0 \(found -1\)"),
        (f"dataset: {{name: svhn}}\n{X}", "dataset.name: unknown data set; use one of cifar-10"),
        (f"network: {{name: resnet-19}}\n{X}", "network.name: unknown network; use one of bireal-18, "),
        (f"network: {{config: {{colour: 1}}}}\n{X}", "network.config.colour: this key is unknown"),
        ("name: x\nsteps: []\n", "steps: .*at least 1 item"),
        ("name: x\nsteps: [{name: a, epochs: 1, weights: real}]\n", "last step, 'a', has to train binary weights"),
        ("name: x\nsteps: [{name: a, epochs: 1}, {name: a, epochs: 1}]\n", "two steps are named 'a'"),
        ("name: x\nsteps: [{name: a, epochs: 1, teacher: {step: b}}]\n", "teacher 'b' of step 'a' is no earlier step"),
        ("name: x\nsteps: [{name: a, epochs: 1, teacher: {}}]\n", "steps.0.teacher: .*give one of both"),
        ("name: x\nsteps: [{name: a, epochs: 1, experts: first, expand: true}]\n", "steps.0: expand, normalize_gates"),
        ("name: x\nsteps: [{name: a, epochs: 1, schedule: {kind: multistep}}]\n", "milestones belong to the kind"),
        (
            "name: x\nsteps: [{name: a, epochs: 1, schedule: {kind: multistep, milestones: [3, 2]}}]\n",
            "milestones must rise",
        ),
        (
            "name: x\nsteps: [{name: a, epochs: 5, schedule: {kind: multistep, milestones: [3, 6]}}]\n",
            "steps.0: schedule.milestones: 6 is beyond the step's 5 epochs",
        ),
        (
            "name: x\nsteps: [{name: a, epochs: 5, schedule: {warmup: 5.5}}]\n",
            "steps.0: schedule.warmup: 5.5 is beyond the step's 5 epochs",
        ),
        (
            "name: x\nsteps: [{name: a, epochs: 1, loss: squared_hinge, label_smoothing: 0.1}]\n",
            "label_smoothing belongs to the loss",
        ),
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
    with pytest.raises(RecipeError, match="no such recipe; give a YAML file or one of cnv-cifar-10, digits"):
        load_recipe(tmp_path / "nothing.yaml")


def test_parts_that_are_used_several_times(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("x-adam: &adam {learning_rate: 0.25}\nname: x\nsteps: [{name: a, epochs: 1, optimizer: *adam}]\n")
    assert load_recipe(path).steps[0].optimizer.learning_rate == 0.25


def test_a_bare_32_is_a_precision(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("name: x\ntraining: {precision: 32}\nsteps: [{name: a, epochs: 1}]\n")
    assert load_recipe(path).training.precision == "32"
    path.write_text("name: x\ntraining: {precision: 64}\nsteps: [{name: a, epochs: 1}]\n")
    with pytest.raises(RecipeError, match=r"training.precision: .*'32', 'bf16-mixed' or '16-mixed' \(found '64'\)"):
        load_recipe(path)
