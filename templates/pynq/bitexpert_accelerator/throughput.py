"""Measures frames a second, the latency of single frames, and what the hardware counts meanwhile.

python3 -m bitexpert_accelerator.throughput [--batch-size 1000] [--latencies 200] [--fclk-mhz 100]
"""

import argparse
import sys
import time

import numpy as np

from .programs import add_options, main, open_accelerator, report


def work(options):
    with open_accelerator(options) as accelerator:
        accelerator.fclk_mhz = options.fclk_mhz
        told = accelerator.throughput_test()
        accelerator.batch_size = 1
        frame = np.full(accelerator.ishape_normal(), accelerator.input.high, dtype=accelerator.input.dtype)
        times = []
        for _ in range(options.latencies):
            start = time.perf_counter()
            accelerator.execute(frame)
            times.append(1000 * (time.perf_counter() - start))
        for percent in (50, 90, 99):
            told[f"latency_p{percent}[ms]"] = float(np.percentile(times, percent))
    report(options, told)
    counters = told.pop("counters")
    for name, value in told.items():
        print(f"{name:32s} {value if not isinstance(value, float) else format(value, '.4g')}")
    print("counters of the hardware, of the batch:")
    for name, value in counters.items():
        print(f"  {name:30s} {value}")
    return 0


if __name__ == "__main__":
    parser = add_options(argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter))
    parser.add_argument("--latencies", type=int, default=100, help="single frames that are timed (default: 100)")
    parser.add_argument("--fclk-mhz", type=float, help="the accelerator's clock, to be written down")
    sys.exit(main(work, parser.parse_args()))
