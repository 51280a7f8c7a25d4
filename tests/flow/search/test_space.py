import itertools

import optuna
import pytest
from bitexpert.flow.search.space import EbresnetSpace, Rejected, StageSpace, VggSpace, solve
from bitexpert.flow.search.spec import load_spec
from bitexpert.flow.search.trials import operations_target, propose
from bitexpert.models.network import NetworkError
from bitexpert.models.networks import VggConfig, network_cost
from bitexpert.models.recipe import NetworkConfig, load_recipe
from pydantic import ValidationError
from searchspecs import EBRESNET, spec

BASE = load_recipe("digits").network


def space(*stages, **more) -> VggSpace:
    return VggSpace(network="vgg", width={"low": 8, "high": 8}, stages=stages, **more)


def chosen(vgg: VggSpace, width: int = 8, **choices) -> list[dict]:
    """Blocks of a choice, named ``stage0_depth=2``."""
    trial = optuna.trial.FixedTrial({key.replace("_", ".", 1): value for key, value in choices.items()})
    return vgg.config(vgg.ask(trial), width, BASE)["blocks"]


def test_every_choice_is_a_network():
    """A walk through all choices; a setting that doesn't go with another isn't asked for."""
    stage = {"experts": [1, 4], "expansion": [1, 2], "tau": [1, 2], "es_groups": [1, 2], "mixing": [False, True]}
    vgg = space({"depth": [1, 2], "es_groups": [1, 2]}, stage)
    settings = {
        f"stage{i}.{key}": getattr(stage, key)
        for i, stage in enumerate(vgg.stages)
        for key in ("depth", "experts", "expansion", "tau", "es_groups", "mixing")
    }
    configs = {}
    for values in itertools.product(*settings.values()):
        config = vgg.config(vgg.ask(optuna.trial.FixedTrial(dict(zip(settings, values, strict=True)))), 8, BASE)
        configs[str(config)] = config
    # first stage: 2 x 2; second: 1 or 4 experts, tau, no groups or groups or mixed ones; or expanded, maybe mixed
    assert len(configs) == 4 * (2 * 2 * 3 + 2)
    for config in list(configs.values())[::3]:
        network_cost("vgg", config)
        blocks = VggConfig.model_validate(config).blocks
        assert blocks[0].kind == "binary"
        assert [block.pool for block in blocks if block.pool] == [2, 2]


def test_blocks_of_a_choice():
    stage = {"depth": [1, 2], "experts": [4], "expansion": [1, 2], "mixing": [False, True]}
    vgg = space({"depth": [2]}, stage, gate="pre_sign")
    expert = {"width": 16, "kind": "expert", "experts": 4, "gate": "pre_sign"}
    wide = {**expert, "expansion": 2, "groups": 4}
    assert chosen(vgg, stage1_depth=1, stage1_expansion=2, stage1_mixing=True) == [
        {"width": 8, "tau": 1, "es_groups": 1},
        {"width": 8, "tau": 1, "es_groups": 1, "pool": 2},
        wide,
        {**expert, "expansion": 2, "groups": 1, "kernel": 1, "padding": 0, "pool": 2},
    ]
    assert chosen(vgg, stage1_depth=2, stage1_expansion=2, stage1_mixing=False)[2:] == [wide, {**wide, "pool": 2}]
    # without groups there is nothing to mix
    assert len(chosen(vgg, stage1_depth=1, stage1_expansion=1)) == 3


def test_expansion_with_groups_keeps_the_operations():
    vgg = space({}, {"depth": [2], "experts": [4], "expansion": [1, 2], "groups": [4, 2]})
    configs = [{"blocks": chosen(vgg, stage1_expansion=1)}]
    configs += [{"blocks": chosen(vgg, stage1_expansion=2, stage1_groups=groups)} for groups in (4, 2)]
    plain, grouped, half = ({layer.name: layer.bops for layer in network_cost("vgg", c).layers} for c in configs)
    assert grouped["blocks.2.conv"] == plain["blocks.2.conv"] > 0
    assert half["blocks.2.conv"] == 2 * plain["blocks.2.conv"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"expansion": [1, 2]}, "expansion is for expert layers"),
        ({"experts": [4], "groups": [2]}, "groups are those of an expanded layer"),
        ({"depth": []}, "at least 1"),
        ({"depth": [0]}, "greater than or equal to 1"),
    ],
)
def test_wrong_stages(settings, message):
    with pytest.raises(ValidationError, match=message):
        StageSpace(**settings)


def test_solve_finds_the_nearest_scale():
    asked = []

    def operations(scale):
        asked.append(scale)
        if scale == 6:
            raise NetworkError("6 does not fit")
        return 100 * scale * scale

    scales = range(2, 40, 2)
    assert solve(scales, operations, 1600, 1) == 4
    assert max(asked) == 4  # larger ones need no look
    assert solve(scales, operations, 6000, 10) == 8
    with pytest.raises(Rejected, match=r"6,400 binary operations at the nearest scale, 8: \+42.2 % of the target"):
        solve(scales, operations, 4500, 40)
    with pytest.raises(Rejected, match="6 does not fit"):
        solve([6], operations, 3600, 10)
    for target in range(400, 9000, 50):
        best = min((s for s in scales if s != 6), key=lambda s: abs(100 * s * s - target))
        assert solve(scales, operations, target, 100) == best


def test_candidates_have_the_operations_that_are_asked_for():
    wanted = load_spec(spec(operations={"target": 300_000, "tolerance": 12}, hardware=None, objectives=["accuracy"]))
    target = operations_target(wanted)
    assert target == 300_000
    study, found = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1)), []
    for _ in range(5):
        try:
            candidate = propose(study.ask(), wanted, target)
        except Rejected:
            continue
        found.append(candidate.scale)
        assert candidate.bops == network_cost("vgg", candidate.config).bops
        assert 0.88 <= candidate.bops / target <= 1.12
    assert len(set(found)) > 1


def test_the_papers_final_network_is_found_at_its_operations():
    wanted = load_spec(EBRESNET)
    target = operations_target(wanted)
    assert target == 1_706_786_816
    candidate = propose(optuna.create_study().ask(), wanted, target)
    assert candidate.config["structure"] == "1262-2-4:8:8:16"
    assert (candidate.scale, candidate.bops) == (2, target)


def test_a_residual_network_that_does_not_fit_together_is_rejected():
    changed = {**EBRESNET["space"], "groups": [[7], [1], [1], [1]], "expansion": [1]}
    wanted = load_spec({**EBRESNET, "space": changed, "operations": None})
    with pytest.raises(Rejected, match="structure: stage 0"):
        propose(optuna.create_study().ask(), wanted, None)
    residual = EbresnetSpace.model_validate(changed)
    kept = residual.config(
        {"blocks": [1, 1, 1, 1], "groups": [1, 1, 1, 1], "mixing": True, "experts": 2},
        1.5,
        NetworkConfig(name="ebresnet", config={"stem": "cifar"}),
    )
    assert (kept["structure"], kept["stem"], kept["experts"]) == ("1111-1.5-1:1:1:1", "cifar", 2)
