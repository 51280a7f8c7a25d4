"""bitexpert: trained high-capacity binary neural networks as FPGA accelerators, proven equal bit for bit.

The verbs of the command line are functions here: ``train``, ``export``, ``build``, ``simulate``, ``report``,
``search``, ``synth``, ``deploy``, ``doctor``, ``inspect``, ``cost``, ``zoo_list``, ``zoo_get``, ``zoo_check``,
``demo``.
"""

from __future__ import annotations

from typing import Any

from .errors import BitexpertError

__version__ = "0.1.0"
__all__ = [
    "BitexpertError",
    "__version__",
    "build",
    "cost",
    "demo",
    "deploy",
    "doctor",
    "export",
    "inspect",
    "report",
    "search",
    "simulate",
    "synth",
    "train",
    "zoo_check",
    "zoo_get",
    "zoo_list",
]


def __getattr__(name: str) -> Any:
    # the verbs bring torch and FINN with them, so they are loaded when first used
    if name in __all__:
        from .flow import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
