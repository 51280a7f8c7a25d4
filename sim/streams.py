"""Comparing what a rung put on the streams with what the integer reference says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import BitexpertError
from ..hw.graph import Dataflow

__all__ = ["Difference", "compare_beats", "compare_values", "first_difference", "read_beats", "write_beats"]


@dataclass(frozen=True)
class Difference:
    """The first place where a rung differs.

    Parameters
    ----------
    rung : str
    operator : str
        Node that writes the stream, or "input".
    stream : str
    frame, pixel, channel : int
        Where, counted from 0; ``pixel`` is row-major.
    expected, found : int or str
        "missing" where a beat never came.
    count : int
        Elements (or missing beats) that differ in the whole stream.
    """

    rung: str
    operator: str
    stream: str
    frame: int
    pixel: int
    channel: int
    expected: int | str
    found: int | str
    count: int

    def __str__(self) -> str:
        return (
            f"{self.rung}: {self.operator}, stream {self.stream}, frame {self.frame}, pixel {self.pixel},"
            f" channel {self.channel}: expected {self.expected}, found {self.found} ({self.count} differ)"
        )


def write_beats(graph: Dataflow, stream: str, values: np.ndarray, path: Path) -> None:
    """Write frames as beats, each padded to whole bytes, low byte first."""
    path.write_bytes(graph.type_of(stream).pack(values, graph.per_beat(stream)).tobytes())


def read_beats(graph: Dataflow, stream: str, path: Path) -> np.ndarray:
    """Read what :func:`write_beats` or a simulation wrote: uint8 array of shape (beats, bytes)."""
    size = -(-graph.beat_bits(stream) // 8)
    data = np.fromfile(path, dtype=np.uint8) if path.exists() else np.zeros(0, np.uint8)
    return data[: len(data) // size * size].reshape(-1, size)


def first_difference(
    rung: str, operator: str, stream: str, expected: np.ndarray, found: np.ndarray
) -> Difference | None:
    """The first element, in the order of the wire, at which two arrays of shape (N, H, W, C) differ.

    Raises
    ------
    BitexpertError
        The shapes differ: numpy would stretch one array over the other, or compare nothing.
    """
    if expected.shape != found.shape:
        raise BitexpertError(f"{rung}: {operator}, stream {stream} has shape {found.shape}, expected {expected.shape}")
    wrong = np.argwhere(expected != found)
    if not len(wrong):
        return None
    f, y, x, c = (int(i) for i in wrong[0])
    want, have = int(expected[f, y, x, c]), int(found[f, y, x, c])
    return Difference(rung, operator, stream, f, y * expected.shape[2] + x, c, want, have, len(wrong))


def compare_values(
    rung: str, graph: Dataflow, expected: Mapping[str, np.ndarray], values: Mapping[str, np.ndarray]
) -> list[Difference]:
    """Compare the values of streams, shape (N, H, W, C): the first difference of each, in the order of the graph.

    A stream may be seen flat, (N, 1, 1, H*W*C), by what reads it: the order of its elements is the same.
    """
    producers = graph.producers()
    differences = []
    for stream in graph.streams():
        if stream in expected:
            operator = producers[stream][0].name if stream in producers else "input"
            want = expected[stream].reshape(values[stream].shape)
            found = first_difference(rung, operator, stream, want, values[stream])
            differences += [found] if found else []
    return differences


def compare_beats(
    rung: str,
    graph: Dataflow,
    streams: Sequence[str],
    values: Mapping[str, np.ndarray],
    folder: Path,
    *,
    file: str = "{}.bin",
    operator: str = "",
) -> list[Difference]:
    """Compare the recorded beats of streams with the reference.

    Parameters
    ----------
    rung : str
    graph : Dataflow
        Folded.
    streams : sequence of str
        The streams that the rung recorded.
    values : mapping of str to ndarray
        The reference, as ``graph.run`` returns it.
    folder : Path
        Holds the files. A stream may carry further beats of a frame not compared.
    file : str
        Name of a stream's file, ``{}`` standing for the stream.
    operator : str
        What a difference names in place of the node that writes the stream.

    Returns
    -------
    list of Difference, one a stream that differs, in the order of ``streams``.
    """
    producers = graph.producers()
    differences = []
    packed: dict[tuple[int, int, bool], np.ndarray] = {}  # both sides of a Fifo share one array of values
    for stream in streams:
        kind, per_beat = graph.type_of(stream), graph.per_beat(stream)
        writer = operator or (producers[stream][0].name if stream in producers else "input")
        key = (id(values[stream]), per_beat, kind.masked)
        if key not in packed:
            packed[key] = kind.pack(values[stream], per_beat)
        expected = packed[key]
        found = read_beats(graph, stream, folder / file.format(stream))
        beats = kind.beats(per_beat)
        common = min(len(expected), len(found))
        if np.array_equal(expected[:common], found[:common]):
            if common < len(expected):
                pixel = (common % beats) * per_beat // kind.shape[2]
                missing = len(expected) - common
                differences.append(
                    Difference(rung, writer, stream, common // beats, pixel, 0, "a beat", "missing", missing)
                )
            continue
        whole = common // beats * beats
        difference = None
        if whole:
            want = values[stream].reshape(-1, *kind.shape)[: whole // beats]
            difference = first_difference(rung, writer, stream, want, kind.unpack(found[:whole], per_beat))
        if difference is None:
            bad = int(np.flatnonzero((expected[:common] != found[:common]).any(axis=1))[0])
            pixel = (bad % beats) * per_beat // kind.shape[2]
            want_hex, have_hex = expected[bad].tobytes()[::-1].hex(), found[bad].tobytes()[::-1].hex()
            difference = Difference(rung, writer, stream, bad // beats, pixel, 0, want_hex, have_hex, 1)
        differences.append(difference)
    return differences
