"""Frames that a user gives: read, checked, and brought to what the model and the hardware take."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import BitexpertError
from .model_file import HardwareInput, hardware_input

__all__ = ["FramesError", "check_frames", "random_frames", "read_frames"]


class FramesError(BitexpertError):
    """Frames with a wrong shape, dtype or range."""
