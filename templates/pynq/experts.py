"""Tells which experts the accelerator used for some images, by the hardware's own counters.

python3 experts.py                       # the golden samples
python3 experts.py --images x.npy
"""

import argparse
import os
import sys

from common import add_options, load, main, open_accelerator, report


def work(options):
    images = load(options.images or os.path.join(options.golden, "input.npy"))
    with open_accelerator(options) as accelerator:
        if not accelerator.interface["expert_layers"]:
            print("this network has no expert layers")
            report(options, {})
            return 0
        accelerator.clear_counters()
        accelerator.execute(images)
        use = accelerator.expert_use()
    report(options, use)
    print(f"{len(images)} frames; of each expert layer, the share that each expert got:")
    for name, counts in use.items():
        total = max(1, sum(counts))
        print(f"  {name:24s} " + "  ".join(f"{100 * count / total:5.1f} %" for count in counts))
    return 0


if __name__ == "__main__":
    parser = add_options(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter))
    parser.add_argument("--images", help="integers [N, H, W, C] (.npy)")
    parser.add_argument("--golden", default="golden", help="folder with input.npy (default: golden)")
    sys.exit(main(work, parser.parse_args()))
