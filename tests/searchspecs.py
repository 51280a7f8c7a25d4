"""Small specifications of searches, and figures that need no training."""

from typing import Any

#: Of a recipe whose training is of no interest.
STEPS = [{"name": "train", "epochs": 1}]

VGG: dict[str, Any] = {
    "name": "small",
    "recipe": "digits",
    "seed": 3,
    "trials": 6,
    "objectives": ["accuracy", "luts"],
    "training": {"epochs": 1},
    "hardware": {"board": "pynq-z2", "target_fps": 1000},
    "space": {
        "network": "vgg",
        "width": {"low": 4, "high": 32, "step": 4},
        "stages": [
            {"depth": [1, 2], "tau": [1, 2]},
            {"depth": [1, 2], "experts": [1, 2, 4], "expansion": [1, 2], "es_groups": [1, 2], "mixing": [False, True]},
        ],
    },
}

EBRESNET: dict[str, Any] = {
    "name": "residual",
    "recipe": {
        "name": "base",
        "network": {"name": "ebresnet", "config": {"structure": "1262-2-4:8:8:16"}},
        "steps": STEPS,
    },
    "objectives": ["bops"],
    "operations": {"target": "recipe", "tolerance": 1},
    "space": {
        "network": "ebresnet",
        "blocks": [[1], [2], [6], [2]],
        "groups": [[4], [8], [8], [16]],
        "expansion": [2.5, 2, 1],
    },
}


def spec(**changes: Any) -> dict[str, Any]:
    """The small VGG search with other keys; one that is None is left out."""
    return {key: value for key, value in {**VGG, **changes}.items() if value is not None}


def figures(job: dict[str, Any]) -> dict[str, Any]:
    """An outcome that hangs on the network only: wide networks are better and larger."""
    blocks = job["recipe"]["network"]["config"]["blocks"]
    size = sum(block["width"] * block.get("experts", 1) for block in blocks)
    accuracy = 1 - 1 / (size + 3 * len(blocks))
    return {"state": "complete", "figures": {"accuracy": accuracy, "luts": 10 * size}, "reason": "", "seconds": 1.5}
