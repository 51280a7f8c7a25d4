import numpy as np
import pytest
from bitexpert.models.datasets import DataError, Dataset, hold_out, load_dataset
from bitexpert.models.recipe import DatasetConfig, NetworkConfig, Recipe, StepConfig, TrainingConfig
from bitexpert.models.train import train


def test_held_out_images_are_training_images_that_are_not_trained_on():
    labels = np.repeat(np.arange(3), (20, 40, 60))
    images = np.arange(120, dtype=np.uint8).reshape(-1, 1, 1, 1)
    tests = np.full((7, 1, 1, 1), 200, np.uint8)
    data = Dataset(images, labels, tests, np.zeros(7, np.int64), ("a", "b", "c"), "made up")
    split = hold_out(data, 0.25, seed=3)
    both = np.concatenate([split.train_x, split.test_x]).ravel()
    assert sorted(both.tolist()) == list(range(120))
    assert np.bincount(split.test_y).tolist() == [5, 10, 15]
    assert (labels[split.test_x.ravel()] == split.test_y).all()
    assert (labels[split.train_x.ravel()] == split.train_y).all()
    again, other = hold_out(data, 0.25, seed=3), hold_out(data, 0.25, seed=4)
    assert (again.test_x == split.test_x).all()
    assert (other.test_x != split.test_x).any()
    for share in (0, 1, -0.5):
        with pytest.raises(DataError, match="between 0 and 1"):
            hold_out(data, share)


def test_training_for_tuning_does_not_look_at_the_test_images(tmp_path):
    blocks = [{"width": 4, "pool": 4}]
    config = {"channels": 1, "height": 8, "width": 8, "blocks": blocks}
    recipe = Recipe(
        name="t",
        network=NetworkConfig(config=config),
        dataset=DatasetConfig(seed=5),
        training=TrainingConfig(threads=1),
        steps=(StepConfig(name="x", epochs=1),),
    )
    train(recipe, tmp_path / "tuning", progress=False, tuning=0.3)
    train(recipe, tmp_path / "plain", progress=False)
    data = load_dataset("digits", seed=5, held_out=0.2)
    inputs = np.load(tmp_path / "tuning" / "heldout_inputs.npy")
    assert (inputs == hold_out(data, 0.3, seed=5).test_x).all()
    assert (np.load(tmp_path / "plain" / "heldout_inputs.npy") == data.test_x).all()
