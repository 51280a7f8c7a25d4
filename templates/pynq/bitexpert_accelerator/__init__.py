"""A bitexpert accelerator for a PYNQ board: bitfile, driver, golden samples, programs and a notebook.

from bitexpert_accelerator import Accelerator

with Accelerator() as accelerator:
    scores = accelerator.execute(images)        # uint8 [N, H, W, C] -> integers [N, 1, 1, classes]
"""

from .driver import Accelerator, AcceleratorError
from .programs import golden

__all__ = ["Accelerator", "AcceleratorError", "golden"]
