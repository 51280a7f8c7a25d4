// The virtual board: a Verilated accelerator in its shell, a model of the AXI DMA in simple mode (PG021), and memory.
//
//   board MEMORY BASE BYTES SEED STALL ACCESS
//
// MEMORY is a file of BYTES bytes that the host maps, too; it lies at the address BASE. In STALL of 100 cycles, at
// random, a channel of the DMA does nothing. The host's requests come on stdin, one byte and its arguments, all numbers
// little-endian: R address32 -> data32; W address32 data32 -> 0; F fault32 (see below) -> 0; C -> cycles64; T -> cycles64
// from the first word in to the last word back, of the last packet. Time stands still between them: each access to a
// register takes ACCESS cycles, and those of the shell a transfer on its AXI4-Lite, too.
//
// Addresses below 0x1000 are the DMA's, from there on the shell's.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <random>

#include "Vaccelerator_shell.h"
#include "verilated.h"

namespace {

// DMASR (PG021, table 2-8)
constexpr uint32_t kHalted = 1, kIdle = 2, kInternalError = 0x10, kDecodeError = 0x40, kComplete = 0x1000;
constexpr uint32_t kRun = 1, kReset = 4;
// what `F` may ask for
constexpr uint32_t kDmaError = 1;   // the next word of the channel back meets a decode error
constexpr uint32_t kDeaf = 2;       // the DMA takes no result any more, so that nothing is ever finished
constexpr uint32_t kWrongHash = 4;  // the design's hash reads as another one

struct Channel {
  uint32_t control = 0, status = kHalted, low = 0, high = 0, length = 0;
  uint64_t address = 0, left = 0, done = 0;
  bool active = false;

  uint64_t start() const { return static_cast<uint64_t>(high) << 32 | low; }
  void reset() { *this = Channel(); }
  void finish() {
    active = false;
    length = static_cast<uint32_t>(done);
    status |= kIdle | kComplete;
  }
  void fail(uint32_t error) {
    active = false;
    status |= error | kHalted;
    control &= ~kRun;
  }
};

class Board {
 public:
  Board(const char* path, uint64_t base, uint64_t bytes, uint64_t seed, int stall, int access)
      : base_(base), bytes_(bytes), stall_(stall), access_(access), random_(seed) {
    const int file = open(path, O_RDWR);
    if (file < 0) fatal("the memory's file can't be opened");
    void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) fatal("the memory's file can't be mapped");
    memory_ = static_cast<uint8_t*>(mapped);
    top_.ap_rst_n = 0;
    for (int i = 0; i < 8; i++) tick();
    top_.ap_rst_n = 1;
    for (int i = 0; i < 32; i++) tick();
  }
  ~Board() { top_.final(); }

  uint32_t read(uint32_t address) {
    for (int i = 0; i < access_; i++) tick();
    if (address < 0x1000) return dma_read(address);
    const uint32_t value = shell_read(address - 0x1000);
    return (faults_ & kWrongHash) != 0 && address == 0x1008 ? ~value : value;
  }
  void write(uint32_t address, uint32_t data) {
    for (int i = 0; i < access_; i++) tick();
    if (address < 0x1000) {
      dma_write(address, data);
    } else {
      shell_write(address - 0x1000, data);
    }
  }
  void fault(uint32_t which) { faults_ = which; }
  uint64_t cycles() const { return cycles_; }
  uint64_t packet_cycles() const { return packet_cycles_; }

 private:
  static constexpr uint64_t kWord = sizeof(Vaccelerator_shell::s_axis_tdata);
  static constexpr uint64_t kKeep = sizeof(Vaccelerator_shell::s_axis_tkeep);

  [[noreturn]] static void fatal(const char* what) {
    std::fprintf(stderr, "virtual board: %s\n", what);
    std::exit(1);
  }

  bool pauses() { return stall_ != 0 && static_cast<int>(random_() % 100) < stall_; }

  uint8_t* at(uint64_t address, uint64_t size) {
    if (address < base_ || size > bytes_ || address - base_ > bytes_ - size) return nullptr;
    return memory_ + (address - base_);
  }

  // --- AXI DMA, registers ----------------------------------------------------------------------------------
  uint32_t dma_read(uint32_t address) {
    const Channel& channel = address < 0x30 ? send_ : receive_;
    switch (address < 0x30 ? address : address - 0x30) {
      case 0x00: return channel.control;
      case 0x04: return channel.status;
      case 0x18: return channel.low;
      case 0x1C: return channel.high;
      case 0x28: return channel.length;
      default: return 0;
    }
  }
  void dma_write(uint32_t address, uint32_t data) {
    Channel& channel = address < 0x30 ? send_ : receive_;
    switch (address < 0x30 ? address : address - 0x30) {
      case 0x00:
        if ((data & kReset) != 0) {  // one reset for both channels
          send_.reset();
          receive_.reset();
          begun_.clear();
          offered_ = false;
          top_.s_axis_tvalid = 0;
        } else {
          channel.control = data;
          if ((data & kRun) != 0) channel.status &= ~kHalted;
          if ((data & kRun) == 0) channel.status |= kHalted;
        }
        break;
      case 0x04: channel.status &= ~(data & kComplete); break;
      case 0x18: channel.low = data; break;
      case 0x1C: channel.high = data; break;
      case 0x28:
        if ((channel.status & kHalted) != 0) break;
        channel.length = data;
        channel.address = channel.start();
        channel.left = data;
        channel.done = 0;
        channel.status &= ~(kIdle | kComplete);
        channel.active = true;
        if (data == 0) channel.fail(kInternalError);
        break;
      default: break;
    }
  }

  // --- AXI DMA, data: one word each way in a cycle ------------------------------------------------------------
  void offer() {
    if (offered_ || !send_.active || pauses()) return;
    const uint64_t size = send_.left < kWord ? send_.left : kWord;
    const uint8_t* source = at(send_.address, size);
    if (source == nullptr) {
      send_.fail(kDecodeError);
      return;
    }
    uint8_t word[kWord] = {};
    std::memcpy(word, source, size);
    std::memcpy(&top_.s_axis_tdata, word, kWord);
    uint8_t keep[kKeep] = {};
    for (uint64_t i = 0; i < size; i++) keep[i / 8] = static_cast<uint8_t>(keep[i / 8] | 1U << i % 8);
    std::memcpy(&top_.s_axis_tkeep, keep, kKeep);
    top_.s_axis_tlast = size == send_.left;
    top_.s_axis_tvalid = 1;
    offered_ = true;
    size_ = size;
  }
  void sent() {
    send_.address += size_;
    send_.left -= size_;
    send_.done += size_;
    offered_ = false;
    top_.s_axis_tvalid = 0;
    if (send_.left == 0) send_.finish();
  }
  void received() {
    uint8_t word[kWord], keep[kKeep];
    std::memcpy(word, &top_.m_axis_tdata, kWord);
    std::memcpy(keep, &top_.m_axis_tkeep, kKeep);
    if ((faults_ & kDmaError) != 0) {
      faults_ &= ~kDmaError;
      receive_.fail(kDecodeError);
      return;
    }
    for (uint64_t i = 0; i < kWord; i++) {
      if ((keep[i / 8] >> i % 8 & 1) == 0) continue;
      if (receive_.left == 0) {  // more than the buffer holds
        receive_.fail(kInternalError);
        return;
      }
      uint8_t* target = at(receive_.address, 1);
      if (target == nullptr) {
        receive_.fail(kDecodeError);
        return;
      }
      *target = word[i];
      receive_.address++;
      receive_.left--;
      receive_.done++;
    }
    if (top_.m_axis_tlast) {
      receive_.finish();
      packet_cycles_ = cycles_ - begun_.front();
      begun_.pop_front();
    }
  }

  void tick() {
    offer();
    top_.m_axis_tready = receive_.active && (faults_ & kDeaf) == 0 && !pauses();
    top_.eval();
    const bool goes_in = top_.s_axis_tvalid && top_.s_axis_tready;
    const bool comes_out = top_.m_axis_tvalid && top_.m_axis_tready;
    if (comes_out) received();
    top_.ap_clk = 1;
    top_.eval();
    if (goes_in) {
      if (send_.done == 0) begun_.push_back(cycles_);
      sent();
    }
    top_.ap_clk = 0;
    top_.eval();
    cycles_++;
  }

  // --- AXI4-Lite ------------------------------------------------------------------------------------------------
  template <typename Ready>
  void until(const char* what, Ready ready) {
    for (int i = 0; i < 1000; i++) {
      top_.eval();
      if (ready()) return;
      tick();
    }
    fatal(what);
  }
  uint32_t shell_read(uint32_t address) {
    top_.s_axi_control_araddr = address;
    top_.s_axi_control_arvalid = 1;
    until("no address of a read is taken", [this] { return top_.s_axi_control_arready; });
    tick();
    top_.s_axi_control_arvalid = 0;
    top_.s_axi_control_rready = 1;
    until("a read isn't answered", [this] { return top_.s_axi_control_rvalid; });
    const uint32_t data = top_.s_axi_control_rdata;
    tick();
    top_.s_axi_control_rready = 0;
    return data;
  }
  void shell_write(uint32_t address, uint32_t data) {
    top_.s_axi_control_awaddr = address;
    top_.s_axi_control_wdata = data;
    top_.s_axi_control_wstrb = 0xF;
    top_.s_axi_control_awvalid = top_.s_axi_control_wvalid = 1;
    until("a write isn't taken", [this] { return top_.s_axi_control_awready && top_.s_axi_control_wready; });
    tick();
    top_.s_axi_control_awvalid = top_.s_axi_control_wvalid = 0;
    top_.s_axi_control_bready = 1;
    until("a write isn't answered", [this] { return top_.s_axi_control_bvalid; });
    tick();
    top_.s_axi_control_bready = 0;
  }

  Vaccelerator_shell top_;
  Channel send_, receive_;
  uint8_t* memory_ = nullptr;
  uint64_t base_, bytes_, size_ = 0, cycles_ = 0, packet_cycles_ = 0;
  std::deque<uint64_t> begun_;  // when packets that are inside began
  int stall_, access_;
  bool offered_ = false;
  uint32_t faults_ = 0;
  std::mt19937_64 random_;
};

template <typename T>
bool get(T& value) {
  return std::fread(&value, sizeof value, 1, stdin) == 1;
}
template <typename T>
void put(T value) {
  std::fwrite(&value, sizeof value, 1, stdout);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr, "usage: board MEMORY BASE BYTES SEED STALL ACCESS\n");
    return 2;
  }
  auto number = [argv](int i) { return std::strtoull(argv[i], nullptr, 0); };
  Board board(argv[1], number(2), number(3), number(4), static_cast<int>(number(5)), static_cast<int>(number(6)));
  char request = 0;
  uint32_t address = 0, data = 0;
  while (get(request)) {
    switch (request) {
      case 'R':
        if (!get(address)) return 1;
        put(board.read(address));
        break;
      case 'W':
        if (!get(address) || !get(data)) return 1;
        board.write(address, data);
        put(uint32_t{0});
        break;
      case 'F':
        if (!get(data)) return 1;
        board.fault(data);
        put(uint32_t{0});
        break;
      case 'C': put(board.cycles()); break;
      case 'T': put(board.packet_cycles()); break;
      default: std::fprintf(stderr, "virtual board: unknown request %d\n", request); return 1;
    }
  }
  return 0;
}
