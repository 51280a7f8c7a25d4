"""Ways to break a valid model file, each from a seed."""

from . import content, names, structure  # noqa: F401 their mutators
from .base import HOSTILE, MUTATORS, Broken, mutate
from .nets import BASES

__all__ = ["BASES", "HOSTILE", "MUTATORS", "Broken", "mutate"]
