import numpy as np
from bitexpert.flow.search.results import front, write_results
from bitexpert.flow.search.spec import DIRECTIONS, load_spec
from bitexpert.flow.search.trials import TrialRecord
from searchspecs import spec

CONFIG = {"channels": 1, "height": 8, "width": 8, "blocks": [{"width": 4}]}


def records(points, names) -> list[TrialRecord]:
    return [
        TrialRecord(i, "complete", {}, dict(zip(names, map(float, point), strict=True)), config=CONFIG)
        for i, point in enumerate(points)
    ]


def test_front_is_what_nothing_beats():
    names = ("accuracy", "luts", "bram18")
    wanted = load_spec(spec(objectives=list(names)))
    points = np.random.default_rng(0).integers(0, 40, (60, 3))
    all_records = records(points, names)
    sign = np.array([1 if DIRECTIONS[name] == "minimize" else -1 for name in names])
    losses = points * sign
    unbeaten = {tuple(a) for a in losses if not any((b <= a).all() and (b < a).any() for b in losses)}
    found = front(all_records, wanted)
    assert {tuple(losses[r.number]) for r in found} == unbeaten
    assert len(found) == len(unbeaten) > 3
    assert [r.figures["accuracy"] for r in found] == sorted((r.figures["accuracy"] for r in found), reverse=True)
    twins = records(points, names)
    assert front([*all_records, *twins], wanted) == found
    others = [TrialRecord(99, "failed", {}, {"accuracy": 9.0, "luts": 0.0, "bram18": 0.0})]
    assert front([*all_records, *others], wanted) == found


def test_pictures_of_one_two_and_three_objectives(tmp_path):
    for names in (("accuracy",), ("accuracy", "luts"), ("accuracy", "luts", "bram18")):
        hardware = {"target_fps": 100} if len(names) > 1 else None
        wanted = load_spec(spec(objectives=list(names), hardware=hardware))
        folder = tmp_path / str(len(names))
        folder.mkdir()
        points = np.random.default_rng(1).random((8, len(names)))
        recipes = write_results(folder, records(points, names), wanted)
        assert all(path.is_file() for path in recipes.values())
        assert (folder / "front.png").stat().st_size > 5000
