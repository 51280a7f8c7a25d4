// Drives the accelerator's AXI4-Streams with beats from files, with or without random stalls, and records
// every stream inside it.
//
// usage: simulate <folder> <frames> <stall percent> <seed> <frames with cycles> <idle limit> <reset cycle>
//        In the reset cycle (0: none) ap_rst_n is low once more. The frames then start anew; nothing is written
//        of what came before.
// reads  <folder>/in_<stream>.bin       beats of the inputs
// writes <folder>/<stream>.bin          beats of every stream
//        <folder>/<stream>.port.bin     TDATA of the outputs' ports, padding included
//        <folder>/<stream>.cycles       uint32, the cycle of each beat of the first frames
//        <folder>/done.txt              cycle of the last beat of each frame at the outputs
// exit   0 all frames came out; 3 nothing moved for <idle limit> cycles; 5 TLAST is wrong
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "Vaccelerator.h"
#include "Vaccelerator___024root.h"
#include "beats.inc"
#include "verilated.h"

namespace {

template <typename T>
void put_bytes(const T& value, int bytes, uint8_t* out) {  // CData .. QData
  const uint64_t v = value;
  std::memcpy(out, &v, bytes);
}
template <std::size_t N>
void put_bytes(const VlWide<N>& value, int bytes, uint8_t* out) {
  std::memcpy(out, &value[0], bytes);
}
template <typename T>
void get_bytes(T& value, int bytes, const uint8_t* in) {
  uint64_t v = 0;
  std::memcpy(&v, in, bytes);
  value = static_cast<T>(v);
}
template <std::size_t N>
void get_bytes(VlWide<N>& value, int bytes, const uint8_t* in) {
  for (std::size_t i = 0; i < N; ++i) value[i] = 0;
  std::memcpy(&value[0], in, bytes);
}

struct Random {
  uint64_t state;
  bool chance(int percent) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<int>((state >> 33) % 100) < percent;
  }
};

struct Log {
  FILE* data;
  FILE* cycles;
  uint64_t count = 0;
  uint64_t cycles_wanted;
  Log(const std::string& folder, const char* name, uint64_t wanted)
      : data(std::fopen((folder + "/" + name + ".bin").c_str(), "wb")),
        cycles(std::fopen((folder + "/" + name + ".cycles").c_str(), "wb")),
        cycles_wanted(wanted) {
    if (!data || !cycles) std::exit(4);
  }
  ~Log() {
    std::fclose(data);
    std::fclose(cycles);
  }
  void add(const uint8_t* beat, int bytes, uint32_t cycle) {
    std::fwrite(beat, 1, bytes, data);
    if (count++ < cycles_wanted) std::fwrite(&cycle, sizeof cycle, 1, cycles);
  }
};

std::vector<uint8_t> read_file(const std::string& path) {
  FILE* file = std::fopen(path.c_str(), "rb");
  if (!file) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    std::exit(4);
  }
  std::vector<uint8_t> data;
  uint8_t block[65536];
  for (std::size_t n; (n = std::fread(block, 1, sizeof block, file)) > 0;) data.insert(data.end(), block, block + n);
  std::fclose(file);
  return data;
}

struct Source {
  std::vector<uint8_t> data;
  int bytes;
  std::size_t next = 0;
  bool offered = false;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 8) return 4;
  const std::string folder = argv[1];
  const uint64_t frames = std::strtoull(argv[2], nullptr, 10);
  const int stall = std::atoi(argv[3]);
  Random random{std::strtoull(argv[4], nullptr, 10) * 0x9E3779B97F4A7C15ull + 1};
  const uint64_t cycle_frames = std::strtoull(argv[5], nullptr, 10);
  const uint64_t idle_limit = std::strtoull(argv[6], nullptr, 10);
  const uint64_t reset_cycle = std::strtoull(argv[7], nullptr, 10);

  VerilatedContext context;
  Vaccelerator top{&context};
  Vaccelerator___024root* root = top.rootp;

#define SOURCE(stream, port, bits) \
  Source source_##port{read_file(folder + "/in_" #stream ".bin"), ((bits) + 7) / 8};
#define SINK(stream, port, bits)                \
  uint64_t taken_##port = 0;                    \
  std::vector<uint64_t> done_##port;            \
  Log log_##port(folder, #stream ".port", 0);
#define PROBE(name, signal, bits) Log log_##name(folder, #name, cycle_frames* kBeats_##name);
#include "design.inc"
#undef SOURCE
#undef SINK
#undef PROBE

  top.ap_clk = 0;
  top.ap_rst_n = 0;
  for (int i = 0; i < 8; ++i) {
    top.ap_clk = !top.ap_clk;
    top.eval();
  }
  top.ap_clk = 0;
  top.ap_rst_n = 1;

  uint64_t cycle = 0, first = 0, idle = 0;
  bool started = false, finished = false;
  bool recording = reset_cycle == 0;
  const auto clock = [&] {
    top.ap_clk = 1;
    top.eval();
    top.ap_clk = 0;
    ++cycle;
  };
  while (!finished) {
#define SOURCE(stream, port, bits)                                                                              \
  if (!source_##port.offered && source_##port.next < source_##port.data.size() && !random.chance(stall)) {      \
    get_bytes(top.port##_tdata, source_##port.bytes, source_##port.data.data() + source_##port.next);           \
    source_##port.offered = true;                                                                               \
  }                                                                                                             \
  top.port##_tvalid = source_##port.offered;
#define SINK(stream, port, bits) top.port##_tready = !random.chance(stall);
#define PROBE(name, signal, bits)
#include "design.inc"
#undef SOURCE
#undef SINK
#undef PROBE
    top.ap_rst_n = reset_cycle == 0 || cycle != reset_cycle;
    top.eval();
    if (!top.ap_rst_n) {
      clock();
#define SOURCE(stream, port, bits) \
  source_##port.next = 0;          \
  source_##port.offered = false;
#define SINK(stream, port, bits) \
  taken_##port = 0;              \
  done_##port.clear();
#define PROBE(name, signal, bits)
#include "design.inc"
#undef SOURCE
#undef SINK
#undef PROBE
      started = false;
      recording = true;
      continue;
    }
    bool moved = false;
    finished = true;
#define SOURCE(stream, port, bits)                              \
  if (top.port##_tvalid && top.port##_tready) {                 \
    source_##port.offered = false;                              \
    source_##port.next += source_##port.bytes;                  \
    if (!started) first = cycle;                                \
    started = true;                                             \
  }
#define SINK(stream, port, bits)                                                                          \
  if (top.port##_tvalid && top.port##_tready) {                                                           \
    const bool last = ++taken_##port % kBeats_##stream == 0;                                              \
    if (last != static_cast<bool>(top.port##_tlast)) {                                                    \
      std::fprintf(stderr, "TLAST is wrong on beat %llu of %s\n", (unsigned long long)taken_##port, #port); \
      return 5;                                                                                           \
    }                                                                                                     \
    if (last) done_##port.push_back(cycle - first);                                                       \
    uint8_t beat[((bits) + 7) / 8 + 8];                                                                   \
    put_bytes(top.port##_tdata, ((bits) + 7) / 8, beat);                                                  \
    if (recording) log_##port.add(beat, ((bits) + 7) / 8, 0);                                             \
  }                                                                                                       \
  if (done_##port.size() < frames) finished = false;
#define PROBE(name, signal, bits)                                        \
  if (root->signal##_tvalid && root->signal##_tready) {                  \
    uint8_t beat[((bits) + 7) / 8 + 8];                                  \
    put_bytes(root->signal##_tdata, ((bits) + 7) / 8, beat);             \
    if (recording) log_##name.add(beat, ((bits) + 7) / 8, static_cast<uint32_t>(cycle - first)); \
    moved |= log_##name.count <= frames * kBeats_##name; /* beats beyond the end are no progress */ \
  }                                                                      \
  if (log_##name.count < frames * kBeats_##name) finished = false;
#include "design.inc"
#undef SOURCE
#undef SINK
#undef PROBE
    idle = moved ? 0 : idle + 1;
    if (idle > idle_limit) {
      std::fprintf(stderr, "nothing moved for %llu cycles, since cycle %llu\n", (unsigned long long)idle_limit,
                   (unsigned long long)(cycle - first - idle_limit));
      return 3;
    }
    clock();
  }
  FILE* done = std::fopen((folder + "/done.txt").c_str(), "w");
  if (!done) return 4;
  for (uint64_t f = 0; f < frames; ++f) {
    uint64_t at = 0;
#define SOURCE(stream, port, bits)
#define SINK(stream, port, bits) \
  if (done_##port[f] > at) at = done_##port[f];
#define PROBE(name, signal, bits)
#include "design.inc"
#undef SOURCE
#undef SINK
#undef PROBE
    std::fprintf(done, "%llu\n", (unsigned long long)at);
  }
  std::fclose(done);
  return 0;
}
