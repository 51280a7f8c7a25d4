"""How fast the driver turns frames into bytes and back, on one core.

    python bench/packing.py [--megabytes 64]

Goal: at least 1 GB/s of input. Medians of 9 runs; beside numpy's own copy of as many bytes.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "templates" / "pynq" / "bitexpert_accelerator"))
from bitexpert.hw.types import Element
from packing import Layout

# element, its type in memory, shape of a frame, elements of a beat
CASES = [
    ("uint8", np.uint8, (32, 32, 3), 3),
    ("uint8", np.uint8, (28, 28, 1), 1),
    ("int16", np.int16, (1, 1, 10), 1),
    ("bipolar", np.int8, (16, 16, 64), 16),
    ("bipolar", np.int8, (16, 16, 64), 64),
    ("uint4", np.uint8, (32, 32, 4), 4),
    ("int10", np.int16, (1, 1, 10), 1),
]


def median(work: Callable[[], object]) -> float:
    """Seconds."""
    times = []
    for _ in range(9):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=64, help="of input")
    args = parser.parse_args()
    print("| element | frame | elements a beat | pack, GB/s of input | unpack, GB/s of frames | copy, GB/s |")
    print("|---|---|---|---|---|---|")
    for name, kind, shape, per_beat in CASES:
        element = Element.parse(name)
        elements = int(np.prod(shape))
        side = {"element": name, "shape": shape, "elements_per_beat": per_beat, "bits_per_element": element.bits}
        side |= {"beats": elements // per_beat, "beat_bytes": -(-per_beat * element.bits // 8)}
        layout = Layout(side)
        count = max(1, args.megabytes * 10**6 // (elements * np.dtype(kind).itemsize))
        rng = np.random.default_rng(0)
        frames = rng.integers(element.min, element.max + 1, (count, *shape)).astype(kind)
        if layout.bipolar:
            frames[frames == 0] = 1
        out, target = np.zeros(count * layout.frame_bytes, np.uint8), np.empty_like(frames)
        rates = [
            frames.nbytes / median(work) / 1e9
            for work in (
                lambda: (layout.check(frames), layout.pack(frames, out)),  # noqa: B023 - called at once
                lambda: layout.unpack(out, count),  # noqa: B023
                lambda: np.copyto(target, frames),  # noqa: B023
            )
        ]
        print(f"| {name} | {'x'.join(map(str, shape))} | {per_beat} | " + " | ".join(f"{r:.2f}" for r in rates) + " |")


if __name__ == "__main__":
    main()
