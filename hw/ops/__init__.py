"""The hardware operators, one module each. Every module of this folder is loaded."""

from __future__ import annotations

import importlib
import pkgutil

from .base import Folding, Operator, OperatorError, operator_kinds

__all__ = ["Folding", "Operator", "OperatorError", "operator_kinds"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
