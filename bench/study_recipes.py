"""The variants of the studies in docs/results.md: what differs, and everything else equal."""

from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["STUDIES", "Variant"]


@dataclass(frozen=True)
class Data:
    """A data set, and the blocks of a study's chain of layers."""

    name: str
    channels: int
    side: int
    classes: tuple[str, ...]
    epochs: int
    augment: dict[str, Any]
    blocks: tuple[dict[str, Any], ...] = ()
    held_out: float | None = None


@dataclass(frozen=True)
class Variant:
    """One row of a study.

    Attributes
    ----------
    name, what : str
        Of its run folders, and of its row.
    data : Data
    block : dict
        Settings of all blocks.
    later : dict
        Settings of all blocks but the first, which reads pixels.
    blocks : tuple of dict
        Instead of the data's.
    wider : int
        Factor on all widths.
    step : dict
        Settings of all steps.
    start : {"single", "scratch", "copies", "normalized", "even", "shared"}
        One step without experts or with experts that start at random; or experts that start as copies of the first
        one, trained for an epoch; with gates normalized, too; and with biases that even them out, or with gradients
        that experts share at first.
    gate_epochs : int, optional
        Epochs with experts in which their gates learn.
    network : tuple of str and dict, optional
        Name and settings of another network than a chain of layers.
    teacher : str, optional
        The variant whose network of seed 1 teaches in the last step; the study fills in where it lies.
    """

    name: str
    what: str
    data: Data
    block: dict[str, Any] = field(default_factory=dict)
    later: dict[str, Any] = field(default_factory=dict)
    blocks: tuple[dict[str, Any], ...] = ()
    wider: int = 1
    step: dict[str, Any] = field(default_factory=dict)
    start: str = "single"
    gate_epochs: int | None = 2
    network: tuple[str, dict[str, Any]] | None = None
    teacher: str | None = None

    def _steps(self) -> list[dict[str, Any]]:
        base = {"optimizer": {"name": "adam", "learning_rate": 0.005}, **self.step}
        if self.start in ("single", "scratch"):
            return [{"name": "train", "epochs": self.data.epochs, **base}]
        chosen: dict[str, Any] = {"expand": True, "normalize_gates": self.start != "copies"}
        if self.start == "even":
            chosen["balance_rate"] = 0.02
        if self.start == "shared":
            chosen |= {"share": 1.0, "gate_epochs": self.gate_epochs}
        return [
            {"name": "one expert", "epochs": 1, "experts": "first", **base, "schedule": {"kind": "constant"}},
            {"name": "all experts", "epochs": self.data.epochs - 1, **base, **chosen},
        ]

    def _blocks(self) -> list[dict[str, Any]]:
        blocks: list[dict[str, Any]] = []
        layers = self.blocks or self.data.blocks
        for i, layer in enumerate(layers):
            block = {"pad_mode": "zero", **self.block, **layer, "width": layer["width"] * self.wider}
            block |= self.later if i else {"pad_mode": "zero"}
            if i + 1 == len(layers) and block.get("tau"):
                block["copies"] = block["tau"]  # the classifier's operations stay, too
            blocks.append(block)
        return blocks

    def recipe(self, seed: int) -> dict[str, Any]:
        """The recipe for a seed, as a mapping."""
        data = self.data
        name, settings = self.network or ("vgg", {"blocks": self._blocks()})
        config = {
            "channels": data.channels,
            "height": data.side,
            "width": data.side,
            "class_names": list(data.classes),
            **settings,
        }
        training = {"seed": seed, "batch_size": 128, "threads": 1, "precision": "bf16-mixed", "augment": data.augment}
        return {
            "name": f"{data.name}: {self.what}",
            "dataset": {"name": data.name, "held_out": data.held_out},
            "network": {"name": name, "config": config},
            "training": {**training, "evaluate_every": data.epochs},
            "steps": self._steps(),
        }


_EXPERTS = {"kind": "expert", "experts": 4, "gate": "pre_sign", "gate_bits": 12}
_ES = {"tau": 2}
_ES_G = {"tau": 2, "es_groups": 2}


def _main_variants(data: Data, *only: str) -> list[Variant]:
    """What is compared at equal binary operations, and the baseline with the weights of four experts; or some of it."""
    variants = [
        Variant("plain", "plain", data),
        Variant("es", "ES, tau = 2", data, block=_ES),
        Variant("es-g", "ES + G, tau = 2, g = 2", data, block=_ES_G),
        Variant("experts", "4 experts", data, later=_EXPERTS, start="shared"),
        Variant("es-g-experts", "ES + G and 4 experts", data, block=_ES_G, later=_EXPERTS, start="shared"),
        Variant("wide", "plain, twice as wide", data, wider=2),
    ]
    return [variant for variant in variants if not only or variant.name in only]


def _detail_variants(data: Data) -> list[Variant]:
    """What gates read and how long they learn, padding, and gradients of the signs."""
    bits = {**_EXPERTS, "gate": "sign"}
    polynomial = {"surrogate": "polynomial"}
    return [
        Variant("experts-bits", "4 experts, gate reads bits", data, later=bits, start="shared"),
        Variant(
            "experts-restless",
            "4 experts, gates learn to the end",
            data,
            later=_EXPERTS,
            start="shared",
            gate_epochs=None,
        ),
        Variant("minus", "plain, padded with -1", data, block={"pad_mode": "minus_one"}),
        Variant("wide-gradient", "plain, gradient within ±1.5", data, step={"surrogate": "wide"}),
        Variant("identity", "plain, gradient everywhere", data, step={"surrogate": "identity"}),
        Variant("polynomial", "plain, gradient 2 - 2|x|", data, step=polynomial),
        Variant("es-g-polynomial", "ES + G, gradient 2 - 2|x|", data, block=_ES_G, step=polynomial),
        Variant(
            "es-g-experts-polynomial",
            "ES + G and 4 experts, gradient 2 - 2|x|",
            data,
            block=_ES_G,
            later=_EXPERTS,
            start="shared",
            step=polynomial,
        ),
    ]


def _taught_variants(data: Data) -> list[Variant]:
    """What scores of the wide network teach, which say more of each image than its label."""
    return [
        Variant("taught", "plain, taught by the wide network", data, teacher="wide"),
        Variant(
            "experts-taught",
            "4 experts, taught by the wide network",
            data,
            later=_EXPERTS,
            start="shared",
            teacher="wide",
        ),
    ]


def _gate_variants(data: Data) -> list[Variant]:
    """What keeps experts in use: from random weights to the recipe of today, one change after the other."""
    paper = {**_EXPERTS, "whiten": False}
    return [
        Variant("scratch", "the paper's gate, experts from random weights", data, later=paper, start="scratch"),
        Variant("copies", "the paper's gate, experts are copies of one", data, later=paper, start="copies"),
        Variant("normalized", "the same, gates normalized at the start", data, later=paper, start="normalized"),
        Variant("even", "the same, and evened out by biases", data, later=paper, start="even"),
        Variant("experts-apart", "logits whitened, no shared gradients", data, later=_EXPERTS, start="normalized"),
    ]


def _layers(widths: tuple[int, ...], pools: tuple[int, ...]) -> tuple[dict[str, Any], ...]:
    """Layers of 3x3, and behind which of them the map is halved."""
    return tuple({"width": width, "pool": 2 if i in pools else 0} for i, width in enumerate(widths))


def _unpadded(width: int, kernel: int, stride: int = 1) -> dict[str, Any]:
    return {"width": width, "kernel": kernel, "stride": stride, "padding": 0, "pad_mode": "none"}


_MNIST = Data(
    name="mnist",
    channels=1,
    side=28,
    classes=tuple("0123456789"),
    blocks=(
        {"width": 16, "kernel": 5, "stride": 2, "padding": 2, "pool": 2},
        *(_unpadded(44, 4, 3), _unpadded(64, 2)),
    ),
    epochs=20,
    augment={},
)
# The pixels' products, too, fit into the operations of TFC.
_MNIST_SMALL = ({"width": 8, "kernel": 7, "stride": 4, "padding": 3}, *_MNIST.blocks[1:])
_FASHION = Data(
    name="fashion-mnist",
    channels=1,
    side=28,
    classes=(
        *("T-shirt/top", "trouser", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
    ),
    blocks=_layers((8, 16, 32, 32), (0, 2)),
    epochs=8,
    augment={},
)
_CIFAR = Data(
    name="cifar-10",
    channels=3,
    side=32,
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    blocks=_layers((16, 32, 32, 64), (0, 1)),
    epochs=12,
    augment={"flip": True},
    held_out=0.1,
)

_DIGITS = Data(name="digits", channels=1, side=8, classes=tuple("0123456789"), epochs=60, augment={})


def _streams(name: str, **settings: Any) -> list[Variant]:
    """A residual network with real numbers and with integers along its shortcuts."""
    real = Variant("real", "real numbers", _DIGITS, network=(name, settings))
    integers = [
        Variant(
            f"integer-{bits}",
            f"integers, quantizers of {bits} bits",
            _DIGITS,
            network=(name, {**settings, "stream": "integer", "stream_bits": bits}),
        )
        for bits in (4, 6)
    ]
    return [real, *integers]


#: Study -> its variants.
STUDIES = {
    "mnist": [
        *_main_variants(_MNIST),
        Variant("small", "ES + G, fewer products of pixels", _MNIST, block=_ES_G, blocks=_MNIST_SMALL),
    ],
    "fashion-mnist": [*_main_variants(_FASHION), *_detail_variants(_FASHION)],
    "fashion-mnist-gates": _gate_variants(_FASHION),
    # the same networks, trained long enough for what experts add
    "fashion-mnist-long": _main_variants(replace(_FASHION, epochs=20), "plain", "es-g", "es-g-experts"),
    # on images that are moved at random, which are harder to learn by heart; no test image is looked at
    "fashion-mnist-moved": _main_variants(
        replace(_FASHION, epochs=16, augment={"shift": 1}, held_out=0.1667), "plain", "es-g", "es-g-experts"
    ),
    "cifar-10": [*_main_variants(_CIFAR), *_detail_variants(_CIFAR), *_taught_variants(_CIFAR)],
    # twice as long, on images that are moved
    "cifar-10-long": [
        replace(variant, gate_epochs=4)
        for variant in _main_variants(
            replace(_CIFAR, epochs=24, augment={"flip": True, "shift": 2}), "plain", "es-g", "experts", "es-g-experts"
        )
    ],
    # a network with too few weights for its images, trained for long, gates to the end
    "cifar-10-narrow": [
        replace(variant, gate_epochs=None)
        for variant in _main_variants(replace(_CIFAR, blocks=_layers((8, 8, 16, 16), (0, 1)), epochs=72, held_out=0.2))
    ],
    "stream-ebresnet": _streams("ebresnet", structure="1111-0.25-2:2:2:2", stem="cifar", experts=1),
    "stream-resnet": _streams("es-resnet-20", blocks=[1, 1, 1], tau=2, es_groups=2),
}
