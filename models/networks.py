"""Networks by name: the registry, and the paper's notation."""

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import BaseModel, ValidationError

from .bnext import BNext, BNextConfig, ESBNextTConfig
from .cost import NetworkCost
from .ebnet import NOTATION, EBResNet, EBResNetConfig, Structure
from .network import BinaryNetwork, ImageConfig, NetworkError
from .resnet import (
    ESReActNet18Config,
    ESResNet18Config,
    ESResNet20Config,
    ReActNet18Config,
    ResNet,
    ResNetConfig,
)
from .vgg import BlockConfig, CnvConfig, EsEbCnvConfig, Vgg, VggConfig

__all__ = [
    "NETWORKS",
    "BinaryNetwork",
    "BlockConfig",
    "NetworkError",
    "Vgg",
    "VggConfig",
    "build_network",
    "explain",
    "network_cost",
]

#: Name -> (config class, model class). Several names share a model class and differ in their configs' defaults.
NETWORKS: dict[str, tuple[type[ImageConfig], type[BinaryNetwork]]] = {
    "vgg": (VggConfig, Vgg),
    "cnv": (CnvConfig, Vgg),
    "es-eb-cnv": (EsEbCnvConfig, Vgg),
    "ebresnet": (EBResNetConfig, EBResNet),
    "resnet": (ResNetConfig, ResNet),
    "bireal-18": (ResNetConfig, ResNet),
    "reactnet-18": (ReActNet18Config, ResNet),
    "es-reactnet-18": (ESReActNet18Config, ResNet),
    "es-resnet-18": (ESResNet18Config, ResNet),
    "es-resnet-20": (ESResNet20Config, ResNet),
    "bnext-t": (BNextConfig, BNext),
    "es-bnext-t": (ESBNextTConfig, BNext),
}


def _written(place: tuple[str | int, ...], raw: Any) -> tuple[str | int, ...]:
    """The place as somebody wrote it: without pydantic's names for the members of unions, which aren't in the input."""
    found: list[str | int] = []
    for part in place:
        if isinstance(part, int) or (isinstance(raw, Mapping) and part in raw):
            found.append(part)
            raw = raw[part]
    return tuple(found)


def explain(error: ValidationError, raw: Mapping[str, Any] | None = None) -> str:
    """One line of text for pydantic's first complaint: the key, what is wrong, what to do.

    Parameters
    ----------
    error : ValidationError
    raw : mapping, optional
        What was validated, where it has unions of several kinds.
    """
    first = error.errors()[0]
    place = first["loc"]
    if raw is not None:
        missing = place[-1:] if first["type"] == "missing" else ()
        place = _written(place, raw) + missing
    key = ".".join(map(str, place)) or "(top level)"
    text = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        text = "this key is unknown; remove it or correct its spelling"
    elif first["type"] == "missing":
        text = "this key is required; add it"
    elif first["loc"]:
        text = f"{text} (found {first['input']!r})" if len(repr(first["input"])) < 60 else text
    return f"{key}: {text}"


def build_network(name: str, config: dict[str, Any] | BaseModel | None = None) -> BinaryNetwork:
    """Make a network by name.

    Parameters
    ----------
    name : str
        A key of `NETWORKS`, or the notation of an Expert Binary Network, such as ``1262-2-4:8:8:16``.
    config : dict or config object, optional
        Settings; the defaults of the config class where absent.

    Returns
    -------
    BinaryNetwork
        With random weights from torch's global generator.

    Raises
    ------
    NetworkError
        If the name is unknown or the config is wrong.
    """
    settings = config.model_dump() if isinstance(config, BaseModel) else dict(config or {})
    if Structure.matches(name):
        name, settings = "ebresnet", {**settings, "structure": name}
    elif name[:1].isdigit():
        try:
            Structure.parse(name)
        except ValueError as error:
            raise NetworkError(str(error)) from None
    elif name not in NETWORKS:
        raise NetworkError(f"network {name!r} is unknown; there are: {', '.join(sorted(NETWORKS))}; or {NOTATION}")
    config_class, model_class = NETWORKS[name]
    if not isinstance(config, config_class):
        try:
            config = config_class.model_validate(settings)
        except ValidationError as error:
            raise NetworkError(explain(error)) from None
    return model_class(config)


def network_cost(name: str, config: dict[str, Any] | BaseModel | None = None) -> NetworkCost:
    """What a network costs for one image, without making its weights; arguments and errors as in `build_network`."""
    with torch.device("meta"):
        network = build_network(name, config)
    return network.cost()
