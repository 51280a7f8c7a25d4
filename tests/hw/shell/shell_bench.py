"""Runs within the simulator (cocotb): the shell around toy_core, driven by cocotbext-axi's models of the buses.

Parameters of the design come in BITEXPERT_SHELL, as JSON; what is expected is computed here. For an emitted accelerator
in its shell, GOLDEN names a file with frames, results and choices of experts, and stands for toy_core.
"""

import json
import os
import random
from contextlib import nullcontext

import cocotb
from bitexpert.hw.shell import MAGIC, REGISTERS, VERSION, Control, Fault, Status, counter_address
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, with_timeout
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource

P = json.loads(os.environ["BITEXPERT_SHELL"])
IN_FRAME = P["IN_BEATS"] * P["CORE_IN_BYTES"]
SEED = 1
with open(P["GOLDEN"]) if P.get("GOLDEN") else nullcontext() as file:
    #: Frame -> its result, and the expert that each layer chooses.
    GOLDEN = {bytes.fromhex(x): (bytes.fromhex(y), chosen) for x, y, chosen in json.load(file)} if file else {}


def choice(frame: bytes, layer: int) -> int:
    """The expert that a layer chooses for a frame."""
    return GOLDEN[frame][1][layer] if GOLDEN else (frame[0] + layer) % 256 % P["EXPERTS"]


def results(frame: bytes) -> bytes:
    """What toy_core, or the accelerator, makes of one frame."""
    if GOLDEN:
        return GOLDEN[frame][0]
    width, out = P["CORE_IN_BYTES"], P["CORE_OUT_BYTES"]
    beats = [int.from_bytes(frame[i : i + width], "little") & 0xFFFFFFFF for i in range(0, len(frame), width)]
    base = beats[0] if P["EARLY"] else sum(beats)
    mask = (1 << min(32, 8 * out)) - 1
    return b"".join(((base + j) & 0xFFFFFFFF & mask).to_bytes(out, "little") for j in range(P["OUT_BEATS"]))


class Bench:
    """The buses of one test, after a hardware reset."""

    def __init__(self, dut):
        self.dut, self.rng = dut, random.Random(SEED)
        dut.s_axi_awprot.value = dut.s_axi_arprot.value = 0
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.clk, dut.dma_rst_n, False)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.clk, dut.dma_rst_n, False)
        self.bus = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.clk, dut.rst_n, False)

    @classmethod
    async def start(cls, dut, run=True):
        cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
        bench = cls(dut)
        await bench.reset()
        if run:
            await bench.write("CONTROL", Control.RUN)
        return bench

    async def reset(self):
        self.dut.rst_n.value = self.dut.dma_rst_n.value = 0
        self.source.clear()
        await ClockCycles(self.dut.clk, 4)
        self.dut.rst_n.value = self.dut.dma_rst_n.value = 1
        self.sink.clear()
        while await self.read("STATUS") & Status.RESETTING:
            pass

    async def read(self, name):
        register = REGISTERS[name]
        words = [await self.read_at(register.address + 4 * i) for i in range(register.words)]
        return sum(word << (32 * i) for i, word in enumerate(words))

    async def read_at(self, address):
        return await with_timeout(cocotb.start_soon(self.bus.read_dword(address)), 20, "us")

    async def write(self, name, value):
        await with_timeout(cocotb.start_soon(self.bus.write_dword(REGISTERS[name].address, int(value))), 20, "us")

    async def soft_reset(self):
        """As the driver does it, together with that of the DMA."""
        self.dut.dma_rst_n.value = 0
        self.source.clear()
        await self.write("CONTROL", Control.RESET)
        while await self.read("STATUS") & Status.RESETTING:
            pass
        self.dut.dma_rst_n.value = 1
        self.sink.clear()

    def pause(self, into, out_of, bus=0.0):
        """Random pauses: shares of the cycles in which a side does nothing."""

        def pauses(share):
            rng = random.Random(self.rng.random())
            while True:
                yield rng.random() < share

        for side, share in ((self.source, into), (self.sink, out_of)):
            side.clear_pause_generator()
            side.pause = False
            if share:
                side.set_pause_generator(pauses(share))
        if bus:
            write, read = self.bus.write_if, self.bus.read_if
            for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
                channel.set_pause_generator(pauses(bus))

    def frames(self, count):
        return [self.rng.choice(list(GOLDEN)) if GOLDEN else self.rng.randbytes(IN_FRAME) for _ in range(count)]

    async def send(self, frames):
        await self.source.send(AxiStreamFrame(b"".join(frames)))

    async def expect(self, frames, us=400):
        packet = await with_timeout(cocotb.start_soon(self.sink.recv(compact=True)), us, "us")
        assert bytes(packet.tdata) == b"".join(results(f) for f in frames)

    async def exchange(self, packets, us=400):
        for packet in packets:
            await self.send(packet)
        for packet in packets:
            await self.expect(packet, us)


@cocotb.test()
async def registers_tell_of_the_design(dut):
    bench = await Bench.start(dut, run=False)
    assert await bench.read("MAGIC") == MAGIC
    assert await bench.read("VERSION") == VERSION
    words = [await bench.read(f"HASH_{i}") for i in range(4)]
    assert "".join(f"{word:08x}" for word in reversed(words)) == P["HASH"]
    assert await bench.read("BUILD") == P["BUILD"]
    assert [await bench.read(name) for name in ("CONTROL", "STATUS", "ERRORS", "FRAMES_IN", "CYCLES_BUSY")] == [0] * 5
    cycles = await bench.read("CYCLES")
    assert 0 < cycles < await bench.read("CYCLES")
    known = {r.address + 4 * i for r in REGISTERS.values() for i in range(r.words)}
    for address in range(0, 0x400, 4):
        if address not in known:
            assert await bench.read_at(address) == 0, hex(address)


@cocotb.test()
async def writes_elsewhere_do_nothing(dut):
    bench = await Bench.start(dut)
    for name, register in REGISTERS.items():
        if not register.writable:
            await bench.write(name, 0xFFFFFFFF)
    await bench.bus.write(REGISTERS["CONTROL"].address + 1, b"\xff\xff\xff")  # not its low byte
    assert await bench.read("CONTROL") == Control.RUN
    await bench.exchange([bench.frames(3)])
    assert await bench.read("ERRORS") == 0


@cocotb.test()
async def packets_of_any_number_of_frames(dut):
    bench = await Bench.start(dut)
    for into, out_of in ((0, 0), (0.4, 0), (0, 0.6), (0.3, 0.3), (0.8, 0.1), (0.1, 0.9)):
        bench.pause(into, out_of)
        await bench.exchange([bench.frames(bench.rng.choice([1, 1, 2, 3, 7, 16])) for _ in range(12)])
    assert await bench.read("ERRORS") == 0


@cocotb.test()
async def registers_under_load(dut):
    bench = await Bench.start(dut)
    bench.pause(0.2, 0.3, 0.3)
    done = []

    async def poll():
        last = 0
        while not done:
            assert await bench.read("MAGIC") == MAGIC
            cycles, out = await bench.read("CYCLES"), await bench.read("FRAMES_OUT")
            assert cycles > last
            assert out <= 200
            last = cycles

    polling = cocotb.start_soon(poll())
    await bench.exchange([bench.frames(10) for _ in range(20)])
    done.append(True)
    await polling
    assert await bench.read("FRAMES_OUT") == await bench.read("FRAMES_IN") == 200


@cocotb.test()
async def counters(dut):
    bench = await Bench.start(dut)
    packets = [bench.frames(5) for _ in range(4)]
    await bench.exchange(packets)
    assert await bench.read("FRAMES_IN") == await bench.read("FRAMES_OUT") == 20
    busy, cycles = await bench.read("CYCLES_BUSY"), await bench.read("CYCLES")
    assert 20 * max(P["IN_BEATS"], P["OUT_BEATS"]) // 2 < busy < cycles
    low, last, high = [await bench.read(f"LATENCY{end}") for end in ("_MIN", "", "_MAX")]
    assert P["OUT_BEATS"] <= low <= last <= high < P["LATENCY"]
    low, last, high = [await bench.read(f"INTERVAL{end}") for end in ("_MIN", "", "_MAX")]
    assert 0 < low <= last <= high
    for layer in range(P["LAYERS"]):
        found = [await bench.read_at(counter_address(layer, e)) for e in range(P["EXPERTS"])]
        chosen = [choice(frame, layer) for packet in packets for frame in packet]
        assert found == [chosen.count(e) for e in range(P["EXPERTS"])]
        assert await bench.read_at(counter_address(layer, P["EXPERTS"])) == 0

    await bench.write("CONTROL", Control.RUN | Control.CLEAR)
    for name in ("FRAMES_IN", "CYCLES_BUSY", "LATENCY_MAX", "INTERVAL_MIN"):
        assert await bench.read(name) == 0
    await bench.exchange([bench.frames(2)])
    assert await bench.read("FRAMES_OUT") == 2
    for layer in range(P["LAYERS"]):
        assert sum([await bench.read_at(counter_address(layer, e)) for e in range(P["EXPERTS"])]) == 2


@cocotb.test()
async def who_waits_for_whom(dut):
    bench = await Bench.start(dut)
    bench.sink.pause = True
    sent = [bench.frames(1) for _ in range(3)]
    for packet in sent:
        await bench.send(packet)
    await ClockCycles(dut.clk, 2000)
    assert await bench.read("CYCLES_BLOCKED") > 1000 or P["OUT_BEATS"] * P["CORE_OUT_BYTES"] < 4 * P["OUT_BYTES"]
    bench.sink.pause = False
    for packet in sent:
        await bench.expect(packet)
    await bench.write("CONTROL", Control.RUN | Control.CLEAR)
    if P["IN_BEATS"] * P["CORE_IN_BYTES"] > 4 * P["IN_BYTES"]:
        frames = bench.frames(1)
        await bench.send(frames)
        await ClockCycles(dut.clk, 6)
        bench.source.pause = True  # within the frame
        await ClockCycles(dut.clk, 1000)
        bench.source.pause = False
        await bench.expect(frames)
        assert 900 < await bench.read("CYCLES_STARVED") < await bench.read("CYCLES_BUSY")


@cocotb.test()
async def stopped_it_begins_no_frame_and_finishes_those_inside(dut):
    bench = await Bench.start(dut, run=False)
    first = bench.frames(3)
    await bench.send(first)
    await ClockCycles(dut.clk, 500)
    assert await bench.read("FRAMES_IN") == 0
    assert await bench.read("STATUS") == 0
    bench.pause(0.7, 0.0)
    await bench.write("CONTROL", Control.RUN)
    await bench.write("CONTROL", 0)
    await ClockCycles(dut.clk, 40 * IN_FRAME + 500)
    begun = await bench.read("FRAMES_IN")
    assert begun <= 3
    assert await bench.read("FRAMES_OUT") == begun
    await bench.write("CONTROL", Control.RUN)
    await bench.expect(first)


@cocotb.test()
async def a_soft_reset_at_any_moment_leaves_nothing(dut):
    bench = await Bench.start(dut)
    for _ in range(30):
        bench.pause(bench.rng.choice([0, 0.5]), bench.rng.choice([0, 0.5]))
        for _ in range(bench.rng.randrange(1, 5)):
            await bench.send(bench.frames(bench.rng.randrange(1, 5)))
        await ClockCycles(dut.clk, bench.rng.randrange(1, 60 + 4 * IN_FRAME))
        await bench.soft_reset()
        assert await bench.read("ERRORS") == 0
        assert await bench.read("FRAMES_IN") == await bench.read("FRAMES_OUT") == 0
        assert await bench.read("STATUS") == await bench.read("CONTROL") == 0
        await bench.write("CONTROL", Control.RUN)
        await bench.exchange([bench.frames(2), bench.frames(1)])


@cocotb.test()
async def a_hardware_reset_at_any_moment_leaves_nothing(dut):
    bench = await Bench.start(dut)
    for _ in range(20):
        await bench.send(bench.frames(4))
        await ClockCycles(dut.clk, bench.rng.randrange(1, 20 + 4 * IN_FRAME))
        await bench.reset()
        await bench.write("CONTROL", Control.RUN)
        await bench.exchange([bench.frames(2)])


@cocotb.test()
async def a_packet_that_ends_within_a_frame(dut):
    bench = await Bench.start(dut)
    cuts = [cut for cut in (1, IN_FRAME // 2, IN_FRAME - 1, IN_FRAME + 1, 2 * IN_FRAME - 1) if cut % IN_FRAME]
    for cut in cuts:
        before = await bench.read("FRAMES_IN")
        whole = bench.frames(2)
        await bench.send(whole)
        await bench.source.send(AxiStreamFrame(b"".join(bench.frames(2))[:cut]))
        await bench.send(bench.frames(3))  # taken and dropped, so that the DMA doesn't hang
        await bench.expect(whole)
        await with_timeout(cocotb.start_soon(bench.source.wait()), 100, "us")
        await ClockCycles(dut.clk, 100)
        assert await bench.read("ERRORS") == Fault.PACKET_END, cut
        assert await bench.read("FRAMES_IN") == before + 2 + cut // IN_FRAME
        await bench.soft_reset()
        assert await bench.read("ERRORS") == 0
        await bench.write("CONTROL", Control.RUN)
        await bench.exchange([bench.frames(1)])


@cocotb.test(skip=P["IN_BYTES"] == 1)
async def words_with_gaps(dut):
    bench = await Bench.start(dut)
    width = P["IN_BYTES"]
    data = b"".join(bench.frames(4 * width))
    for gap in (0, width - 2 if width > 2 else 0, width - 1):
        before = await bench.read("FRAMES_IN")
        keep = [1] * len(data)
        keep[gap] = 0  # of the first word, which isn't the last
        await bench.source.send(AxiStreamFrame(data, tkeep=keep))
        await with_timeout(cocotb.start_soon(bench.source.wait()), 100, "us")
        await ClockCycles(dut.clk, 100)
        assert await bench.read("ERRORS") == Fault.KEEP
        assert await bench.read("FRAMES_IN") == before
        await bench.soft_reset()
        await bench.write("CONTROL", Control.RUN)
        await bench.exchange([bench.frames(1)])


@cocotb.test()
async def an_error_stays_until_it_is_cleared(dut):
    bench = await Bench.start(dut)
    await bench.source.send(AxiStreamFrame(b"".join(bench.frames(2)) + b"\0"))
    await ClockCycles(dut.clk, 400)
    for _ in range(2):
        assert await bench.read("ERRORS") == Fault.PACKET_END
    await bench.write("ERRORS", 0xFF & ~Fault.PACKET_END)
    assert await bench.read("ERRORS") == Fault.PACKET_END


@cocotb.test(skip=P["FRAMES_W"] > 4)
async def a_full_counter_stays_and_says_so(dut):
    bench = await Bench.start(dut)
    most = 2 ** P["FRAMES_W"] - 1
    await bench.exchange([bench.frames(most - 2)])
    assert await bench.read("FRAMES_OUT") == most - 2
    assert await bench.read("ERRORS") == 0
    await bench.exchange([bench.frames(5)])
    assert await bench.read("FRAMES_OUT") == await bench.read("FRAMES_IN") == most
    assert await bench.read("ERRORS") == Fault.OVERFLOW
    await bench.write("CONTROL", Control.RUN | Control.CLEAR)
    await bench.write("ERRORS", Fault.OVERFLOW)
    assert await bench.read("ERRORS") == 0


@cocotb.test(skip=P["WEDGED"] != 2)
async def a_result_without_a_frame_is_an_error(dut):
    bench = await Bench.start(dut)
    await ClockCycles(dut.clk, 10)
    assert await bench.read("ERRORS") == Fault.OUTPUT
    assert await bench.read("FRAMES_OUT") == 0


@cocotb.test(skip=P["WEDGED"] != 1)
async def a_core_that_never_answers_can_be_reset(dut):
    bench = await Bench.start(dut)
    await bench.send(bench.frames(2))
    await ClockCycles(dut.clk, 1000)
    assert await bench.read("STATUS") == Status.BUSY
    assert await bench.read("FRAMES_OUT") == 0
    await bench.soft_reset()
    assert await bench.read("STATUS") == 0
