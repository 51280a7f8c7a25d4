"""What the programs share: their options, their files, their errors."""

import json
import os
import sys

import numpy as np

from .driver import Accelerator, AcceleratorError

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")


def golden(folder=GOLDEN):
    """Golden samples: frames, and the results that the network gives."""
    frames, results = load(os.path.join(folder, "input.npy")), load(os.path.join(folder, "output.npy"))
    if len(frames) != len(results):
        raise ValueError(f"{folder} holds {len(frames)} frames and {len(results)} results")
    return frames, results


def add_options(parser):
    """Options that all programs have."""
    parser.add_argument("--bitfile", help="default: that of the package")
    parser.add_argument("--batch-size", type=int, default=64, help="frames of a transfer (default: 64)")
    parser.add_argument("--timeout", type=float, default=10.0, help="longest wait for a batch, seconds (default: 10)")
    parser.add_argument("--json", help="write the result there, too")
    return parser


def open_accelerator(options):
    """The accelerator that the options name."""
    return Accelerator(options.bitfile, batch_size=options.batch_size, timeout_s=options.timeout)


def load(path):
    """An array from a .npy file."""
    return np.load(path, allow_pickle=False)


def report(options, told):
    """Write the result as JSON, if it is wanted."""
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(told, file, indent=1)
            file.write("\n")


def main(work, options):
    """Run a program; what the user can mend is one line on stderr, and exit status 2."""
    try:
        return work(options)
    except (AcceleratorError, OSError, TypeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
