"""Tells which experts the accelerator used for some images, by the hardware's own counters.

python3 -m bitexpert_accelerator.experts                    # the golden samples
python3 -m bitexpert_accelerator.experts --images x.npy
"""

import argparse
import sys

from .programs import add_options, golden, load, main, open_accelerator, report


def work(options):
    images = load(options.images) if options.images else golden()[0]
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
    sys.exit(main(work, parser.parse_args()))
