"""Installs the accelerator's package on a board; it also runs from its folder, without being installed.

sudo -E python3 -m pip install --no-build-isolation .
pynq get-notebooks bitexpert_accelerator
"""

from setuptools import setup

PACKAGE = "bitexpert_accelerator"

setup(
    name="bitexpert-accelerator",
    version="1.0",
    description="A binary neural network as an FPGA accelerator, with its driver",
    packages=[PACKAGE, PACKAGE + ".notebooks"],
    package_data={PACKAGE: ["*.bit", "*.hwh", "*.json", "golden/*.npy"], PACKAGE + ".notebooks": ["*.ipynb"]},
    entry_points={"pynq.notebooks": [PACKAGE + " = " + PACKAGE + ".notebooks"]},
    python_requires=">=3.8",
    install_requires=["numpy", "pynq"],
)
