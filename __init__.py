"""bitexpert: trained high-capacity binary neural networks as FPGA accelerators, proven equal bit for bit."""

__version__ = "0.1.0"
