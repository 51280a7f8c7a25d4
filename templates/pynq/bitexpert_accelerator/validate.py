"""Holds the accelerator on the board against its golden samples, and measures its accuracy on labelled images.

    python3 -m bitexpert_accelerator.validate
    python3 -m bitexpert_accelerator.validate --images x.npy --labels y.npy

Exit status: 0 every result is right; 1 some differ; 2 the accelerator or the files can't be used.
"""

import argparse
import sys

import numpy as np

from .programs import GOLDEN, add_options, golden, load, main, open_accelerator, report


def first_difference(found, wanted):
    """Frame, place and values of the first element that differs, or None."""
    places = np.argwhere(found != wanted)
    if not len(places):
        return None
    frame, row, column, channel = (int(i) for i in places[0])
    place = tuple(places[0])
    return {
        "frame": frame,
        "row": row,
        "column": column,
        "channel": channel,
        "expected": int(wanted[place]),
        "found": int(found[place]),
    }


def classes(results):
    """The class of each frame: the largest score's (lowest index first), or the index that the hardware sends."""
    flat = results.reshape(len(results), -1)
    return flat[:, 0] if flat.shape[1] == 1 else flat.argmax(1)


def work(options):
    told = {}
    with open_accelerator(options) as accelerator:
        frames, wanted = golden(options.golden)
        found = accelerator.execute(frames)
        told["golden_frames"] = len(frames)
        told["mismatches"] = int((found != wanted).sum())
        told["first_difference"] = first_difference(found, wanted)
        if options.images:
            images, labels = load(options.images), load(options.labels)
            if labels.shape != (len(images),):
                raise ValueError(f"{options.labels} must hold one label for each of the {len(images)} images")
            right = int((classes(accelerator.execute(images)) == labels).sum())
            told["images"], told["accuracy"] = len(images), right / max(1, len(images))
        told["faults"] = accelerator.faults()
    report(options, told)
    print(f"golden samples: {told['golden_frames']} frames, {told['mismatches']} elements differ")
    if told["first_difference"]:
        print("first difference: " + ", ".join(f"{k} {v}" for k, v in told["first_difference"].items()))
    if "accuracy" in told:
        print(f"accuracy: {100 * told['accuracy']:.2f} % of {told['images']} images")
    return 1 if told["mismatches"] or told["faults"] else 0


if __name__ == "__main__":
    parser = add_options(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter))
    parser.add_argument("--golden", default=GOLDEN, help="folder with input.npy and output.npy")
    parser.add_argument("--images", help="labelled images, integers [N, H, W, C] (.npy)")
    parser.add_argument("--labels", help="their classes [N] (.npy)")
    options = parser.parse_args()
    if bool(options.images) != bool(options.labels):
        parser.error("--images and --labels go together")
    sys.exit(main(work, options))
