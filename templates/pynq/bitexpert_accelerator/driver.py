"""Driver of a bitexpert accelerator on a PYNQ board.

Method names are those of FINN's driver where they mean the same. Needs pynq and numpy, and Python 3.8 or later; the
file ``shell.json`` of the package lies beside the bitfile.
"""

import json
import os
import time

import numpy as np
from pynq import Overlay, allocate

from .packing import Layout

__all__ = ["Accelerator", "AcceleratorError"]

# AXI DMA in simple mode (PG021): offsets of the channel to the accelerator and of the one back, and their registers
_SEND, _RECEIVE = 0x00, 0x30
_CONTROL, _STATUS, _ADDRESS, _ADDRESS_HIGH, _LENGTH = 0x00, 0x04, 0x18, 0x1C, 0x28
_RUN, _RESET = 1, 4
_HALTED, _IDLE = 1, 2
_DMA_ERRORS = {
    0x10: "internal error: the buffer is smaller than the packet, or its length is 0",
    0x20: "slave error: the memory refused the transfer",
    0x40: "decode error: the address is no memory",
}
_RESET_SECONDS = 1.0
_REMEDY = "the accelerator has been reset and can be used again"


class AcceleratorError(RuntimeError):
    """The accelerator isn't the one of this package, or has failed; says what to do."""


class Accelerator(Overlay):
    """One accelerator with its DMA.

    Parameters
    ----------
    bitfile_name : str, optional
        The ``.bit``; the ``.hwh`` of the same stem and ``shell.json`` lie beside it. Default: that of this package.
    batch_size : int
        Frames of one transfer; there are two buffers of that size for each direction.
    timeout_s : float
        Longest wait for a batch.
    interface : str, optional
        Another place for ``shell.json``.
    fclk_mhz : float, optional
        Clock of the accelerator, for `throughput_test`'s figures only; default: the board's clock 0.
    device, download
        As for `pynq.Overlay`.

    Raises
    ------
    AcceleratorError
        The bitfile isn't this package's: parts are missing, or the design's hash is another one.
    """

    def __init__(
        self,
        bitfile_name=None,
        batch_size=64,
        timeout_s=10.0,
        interface=None,
        fclk_mhz=None,
        device=None,
        download=True,
    ):
        self._slots = []
        self._running = None
        bitfile_name = os.path.abspath(bitfile_name or os.path.join(os.path.dirname(__file__), "accelerator.bit"))
        path = interface or os.path.join(os.path.dirname(bitfile_name), "shell.json")
        if not os.path.isfile(path):
            raise AcceleratorError(f"{path} is missing; copy it from the package, beside the bitfile")
        with open(path, encoding="utf-8") as file:
            self.interface = json.load(file)
        self.input, self.output = Layout(self.interface["input"]), Layout(self.interface["output"])
        super().__init__(bitfile_name, download=download, device=device)
        self.timeout_s = timeout_s
        self.fclk_mhz = fclk_mhz
        self._bitfile = bitfile_name
        self._dma, self._shell = self._part("axi_dma"), self._part("accelerator_shell")
        self._check_design()
        self.reset()
        self.batch_size = batch_size

    def _part(self, kind):
        """The one block of the design with this kind of IP."""
        found = [name for name, what in self.ip_dict.items() if ":" + kind in what["type"]]
        if len(found) != 1:
            raise AcceleratorError(
                "{} has {} blocks of kind {}, one is needed; it holds {}. Is it the package's bitfile?".format(
                    self._bitfile, len(found), kind, ", ".join(sorted(self.ip_dict)) or "none"
                )
            )
        return getattr(self, found[0])

    # -- registers ----------------------------------------------------------------------------------------
    def register(self, name):
        """Value of a register of the shell by its name in ``shell.json``."""
        entry = self.interface["registers"][name]
        words = [self._shell.read(entry["address"] + 4 * i) for i in range(entry["words"])]
        return sum(int(word) << (32 * i) for i, word in enumerate(words))

    def _command(self, name):
        self._shell.write(self.interface["registers"]["CONTROL"]["address"], self.interface["control"][name])

    def _check_design(self):
        magic = self.register("MAGIC")
        if magic != self.interface["magic"]:
            raise AcceleratorError(
                f"no bitexpert accelerator answers: MAGIC is {magic:#010x}, not {self.interface['magic']:#010x}. "
                f"Is {self._bitfile} the package's bitfile?"
            )
        version = self.register("VERSION")
        if version != self.interface["interface"]:
            raise AcceleratorError(
                "the bitfile has version {} of the interface, the package {}; build the bitfile again, or take the "
                "package it was built with".format(version, self.interface["interface"])
            )
        found = "".join("{:08x}".format(self.register(f"HASH_{i}")) for i in (3, 2, 1, 0))
        if found != self.interface["design_hash"]:
            raise AcceleratorError(
                "the bitfile is of another design: its hash is {}, that of the package {}; build the bitfile again, or "
                "take the package it was built with".format(found, self.interface["design_hash"])
            )

    def faults(self):
        """Names of what has gone wrong since the last reset."""
        errors = self.register("ERRORS")
        return [name for name, bit in self.interface["errors"].items() if errors & bit]

    def counters(self):
        """All counters of the hardware since the last reset or `clear_counters`, by name."""
        names = [
            n for n in self.interface["registers"] if n.split("_")[0] in ("FRAMES", "INTERVAL", "LATENCY", "CYCLES")
        ]
        return {name.lower(): self.register(name) for name in names}

    def clear_counters(self):
        """Set all counters to 0."""
        bits = self.interface["control"]
        self._shell.write(self.interface["registers"]["CONTROL"]["address"], bits["RUN"] | bits["CLEAR"])

    def expert_use(self):
        """How many frames used each expert: name of the expert layer's gate -> counts.

        Raises
        ------
        AcceleratorError
            The bitfile was built from the HLS design, which doesn't tell.
        """
        layers = self.interface["expert_layers"]
        told = self.register("BUILD") >> 8 & 0xFF
        if told != len(layers):
            raise AcceleratorError(
                "this bitfile counts no experts: it was built from the HLS design; build that of RTL"
            )
        base, stride = self.interface["counters"]["base"], self.interface["counters"]["stride"]
        return {
            layer["name"]: [int(self._shell.read(base + stride * k + 4 * e)) for e in range(layer["experts"])]
            for k, layer in enumerate(layers)
        }

    # -- reset --------------------------------------------------------------------------------------------
    def reset(self):
        """Forget all frames, errors and counters, in the DMA and in the accelerator, and start.

        Raises
        ------
        AcceleratorError
            One of them stays in reset.
        """
        self._running = None
        for channel in (_SEND, _RECEIVE):
            self._dma.write(channel + _CONTROL, _RESET)
        self._command("RESET")
        resetting = self.interface["status"]["RESETTING"]
        end = time.monotonic() + _RESET_SECONDS
        while (
            self._dma.read(_SEND + _CONTROL) & _RESET
            or self._dma.read(_RECEIVE + _CONTROL) & _RESET
            or self.register("STATUS") & resetting
        ):
            if time.monotonic() > end:
                raise AcceleratorError("the DMA or the accelerator stays in reset; load the bitfile again")
        for channel in (_SEND, _RECEIVE):
            self._dma.write(channel + _CONTROL, _RUN)
        self._command("RUN")

    # -- FINN's names for shapes and types ------------------------------------------------------------------
    def idt(self):
        """Type of an input element."""
        return self.input.element

    def odt(self):
        """Type of an output element."""
        return self.output.element

    def ishape_normal(self):
        """Shape of a batch of frames (N, H, W, C)."""
        return (self.batch_size, *self.input.shape)

    def oshape_normal(self):
        """Shape of a batch of results (N, H, W, C)."""
        return (self.batch_size, *self.output.shape)

    def ishape_folded(self):
        """Shape of a batch of beats (N, beats, elements)."""
        return (self.batch_size, self.input.beats, self.input.per_beat)

    def oshape_folded(self):
        """Shape of a batch of the results' beats (N, beats, elements)."""
        return (self.batch_size, self.output.beats, self.output.per_beat)

    def ishape_packed(self):
        """Shape of a batch in memory (N, beats, bytes)."""
        return (self.batch_size, self.input.beats, self.input.beat_bytes)

    def oshape_packed(self):
        """Shape of a batch of results in memory (N, beats, bytes)."""
        return (self.batch_size, self.output.beats, self.output.beat_bytes)

    # -- buffers --------------------------------------------------------------------------------------------
    @property
    def batch_size(self):
        """Frames of one transfer. Setting it allocates the buffers anew."""
        return self._batch_size

    @batch_size.setter
    def batch_size(self, value):
        if int(value) != value or value < 1:
            raise ValueError(f"batch_size is the number of frames of a transfer, at least 1, not {value!r}")
        if self._running is not None:
            self.wait_until_finished()
        self._free()
        self._batch_size = int(value)
        sizes = [self._batch_size * side.frame_bytes for side in (self.input, self.output)]
        self._slots = [tuple(allocate((size,), dtype=np.uint8) for size in sizes) for _ in range(2)]

    def _free(self):
        for slot in self._slots:
            for buffer in slot:
                buffer.freebuffer()
        self._slots = []

    # -- steps of an execution ------------------------------------------------------------------------------
    def fold_input(self, frames):
        """Frames (N, H, W, C) as beats (N, beats, elements)."""
        self.input.check(frames)
        return frames.reshape(len(frames), self.input.beats, self.input.per_beat)

    def pack_input(self, folded):
        """Beats (N, beats, elements) as bytes (N, beats, bytes)."""
        side = self.input
        packed = np.empty(len(folded) * side.frame_bytes, dtype=np.uint8)
        side.pack(folded.reshape((len(folded), *side.shape)), packed)
        return packed.reshape(len(folded), side.beats, side.beat_bytes)

    def copy_input_data_to_device(self, packed, slot=0):
        """Put packed frames into a buffer."""
        data = np.ascontiguousarray(packed).reshape(-1)
        buffer = self._slots[slot][0]
        self._fits(data.size, buffer.size, "input")
        buffer[: data.size] = data
        buffer.flush()

    @staticmethod
    def _fits(size, room, which):
        if size > room:
            raise ValueError(f"{size} bytes don't fit the {which} buffer of {room}; set a larger batch_size")

    def execute_on_buffers(self, asynch=False, batch_size=None, slot=0):
        """Send the frames in a buffer through the accelerator.

        Parameters
        ----------
        asynch : bool
            Return at once; call `wait_until_finished` then.
        batch_size : int, optional
            That many frames only.
        slot : int
            Which of the two pairs of buffers, 0 or 1.
        """
        if self._running is not None:
            raise AcceleratorError("a batch is running; call wait_until_finished() first")
        count = self._batch_size if batch_size is None else batch_size
        source, target = self._slots[slot]
        self._fits(count * self.input.frame_bytes, source.size, "input")
        self._fits(count * self.output.frame_bytes, target.size, "output")
        for channel, buffer, size in (
            (_RECEIVE, target, count * self.output.frame_bytes),
            (_SEND, source, count * self.input.frame_bytes),
        ):
            address = int(buffer.device_address)
            self._dma.write(channel + _ADDRESS, address & 0xFFFFFFFF)
            self._dma.write(channel + _ADDRESS_HIGH, address >> 32)
            self._dma.write(channel + _LENGTH, size)
        self._running = (slot, count, time.monotonic())
        if not asynch:
            self.wait_until_finished()

    def wait_until_finished(self):
        """Wait for the batch that runs.

        Raises
        ------
        AcceleratorError
            It isn't finished after `timeout_s`, or the DMA or the accelerator tells of an error.
        """
        if self._running is None:
            return
        slot, count, begun = self._running
        expected = count * self.output.frame_bytes
        while True:
            states = [self._dma.read(channel + _STATUS) for channel in (_SEND, _RECEIVE)]
            for name, state in zip(("to the accelerator", "from the accelerator"), states):
                for bit, meaning in _DMA_ERRORS.items():
                    if state & bit:
                        self._fail(f"the DMA {name}: {meaning}")
            if all(state & _IDLE for state in states):
                break
            if any(state & _HALTED for state in states):
                self._fail("the DMA has halted in the middle of a batch")
            if time.monotonic() - begun > self.timeout_s:
                self._fail(
                    "a batch of {} frames isn't finished after {} s: {} frames went in, {} came out".format(
                        count, self.timeout_s, self.register("FRAMES_IN"), self.register("FRAMES_OUT")
                    )
                )
        got = self._dma.read(_RECEIVE + _LENGTH)
        if got != expected:
            self._fail(f"the accelerator sent {got} bytes for {count} frames instead of {expected}")
        self._running = None
        self._slots[slot][1].invalidate()

    def _fail(self, what):
        faults = self.faults()
        if faults:
            what += "; the accelerator tells of {}".format(", ".join(faults))
        self.reset()
        raise AcceleratorError(f"{what}. {_REMEDY[0].upper() + _REMEDY[1:]}")

    def copy_output_data_from_device(self, count=None, slot=0):
        """Packed results (N, beats, bytes) of a buffer."""
        count = self._batch_size if count is None else count
        side = self.output
        data = np.array(self._slots[slot][1][: count * side.frame_bytes])
        return data.reshape(count, side.beats, side.beat_bytes)

    def unpack_output(self, packed):
        """Bytes (N, beats, bytes) as beats (N, beats, elements)."""
        side = self.output
        return side.unpack(packed.reshape(-1), len(packed)).reshape(len(packed), side.beats, side.per_beat)

    def unfold_output(self, folded):
        """Beats (N, beats, elements) as results (N, H, W, C)."""
        return folded.reshape((len(folded), *self.output.shape))

    def execute(self, frames):
        """Results of frames: batches are packed and unpacked while others are in the accelerator.

        Parameters
        ----------
        frames : ndarray of int, shape (N, H, W, C)
            Any number of them.

        Returns
        -------
        ndarray of int, shape (N, H, W, C)
            Of the output.

        Raises
        ------
        TypeError, ValueError
            Frames of another type, shape or range.
        AcceleratorError
            See `wait_until_finished`.
        """
        self.input.check(frames)
        self.wait_until_finished()
        results = np.empty((len(frames), *self.output.shape), dtype=self.output.dtype)
        before = None
        for number, first in enumerate(range(0, len(frames), self._batch_size)):
            part = frames[first : first + self._batch_size]
            slot = number % 2
            source = self._slots[slot][0]
            self.input.pack(part, source)
            source.flush()
            self.wait_until_finished()
            self.execute_on_buffers(asynch=True, batch_size=len(part), slot=slot)
            self._fetch(results, before)
            before = (first, len(part), slot)
        self.wait_until_finished()
        self._fetch(results, before)
        return results

    def _fetch(self, results, batch):
        """Unpack a finished batch into its place."""
        if batch is not None:
            first, count, slot = batch
            results[first : first + count] = self.output.unpack(self._slots[slot][1], count)

    def throughput_test(self):
        """Time of one batch, with FINN's keys, and the hardware's counters."""
        frames = np.random.default_rng(0).integers(self.input.low, self.input.high + 1, self.ishape_normal())
        if self.input.bipolar:
            frames = np.where(frames < 0, -1, 1)
        found, times = {}, {}
        frames = frames.astype(self.input.dtype)

        def timed(name, function, *args):
            start = time.perf_counter()
            result = function(*args)
            times[name] = 1000 * (time.perf_counter() - start)
            return result

        folded = timed("fold_input[ms]", self.fold_input, frames)
        packed = timed("pack_input[ms]", self.pack_input, folded)
        timed("copy_input_data_to_device[ms]", self.copy_input_data_to_device, packed)
        self.clear_counters()
        runtime = timed("runtime[ms]", self.execute_on_buffers) or times["runtime[ms]"]
        counters = self.counters()
        packed = timed("copy_output_data_from_device[ms]", self.copy_output_data_from_device)
        folded = timed("unpack_output[ms]", self.unpack_output, packed)
        timed("unfold_output[ms]", self.unfold_output, folded)
        found.update(times)
        seconds = runtime / 1000
        found["throughput[images/s]"] = self._batch_size / seconds
        found["DRAM_in_bandwidth[MB/s]"] = 1e-6 * self._batch_size * self.input.frame_bytes / seconds
        found["DRAM_out_bandwidth[MB/s]"] = 1e-6 * self._batch_size * self.output.frame_bytes / seconds
        found["fclk[mhz]"] = self.fclk_mhz
        found["batch_size"] = self._batch_size
        found["counters"] = counters
        return found

    # -- end ------------------------------------------------------------------------------------------------
    def close(self):
        """Stop the accelerator and give the buffers back."""
        if self._slots:
            self.reset()
            self._shell.write(self.interface["registers"]["CONTROL"]["address"], 0)
            self._free()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
