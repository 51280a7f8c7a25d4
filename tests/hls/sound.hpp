// Functions near the rules that break none of them.
#pragma once
#include <ap_int.h>
#include <hls_stream.h>
#ifndef __SYNTHESIS__
#include <cstdio>
#include <vector>
#endif

namespace sound {

static const int kTable[3] = {1, 2, 3};
constexpr int bits(int n) { return n < 2 ? 1 : 1 + bits(n / 2); }

// A function for simulation: Vitis never sees it.
#ifndef __SYNTHESIS__
inline void print(const std::vector<int>& values) {
  static int calls = 0;
  for (std::size_t i = 0; i < values.size(); ++i) std::printf("%d %d\n", ++calls, values[i]);
}
#endif

// A template that calls another instance of itself is no recursion.
template <int N>
int sum(const ap_uint<8> (&values)[N]) {
#pragma HLS INLINE
  return values[N - 1];
}

template <int DONE, int N>
int sum_from(const ap_uint<8> (&values)[N]) {
#pragma HLS INLINE
  if (DONE == N) return 0;
  return values[DONE < N ? DONE : 0] + sum_from<(DONE < N ? DONE + 1 : N), N>(values);
}

template <int N>
void windows(hls::stream<ap_uint<8>>& in, hls::stream<ap_uint<bits(N)>>& out, bool both) {
  static_assert(bits(N) < 9, "a beat holds the index");
  static const int kSteps[2] = {1, 2};
  constexpr int kMost = 2 * N;
  ap_uint<8> line[N];
#pragma HLS ARRAY_PARTITION variable = line cyclic factor = 2 dim = 1
  for (int i = N - 1; i >= 0; --i) {
#pragma HLS UNROLL
    line[i] = kTable[0] + kSteps[1];
  }
  for (int row = 0; row < N; ++row) {
    for (int i = 0; i < kMost; i += 2) {
#pragma HLS PIPELINE II = 1
      if (both) {
        line[i / 2] = in.read();
      } else {
        line[i / 2] = both ? ap_uint<8>(0) : in.read();
      }
      if (sum<N>(line) > row) continue;
      out.write(i);
    }
  }
  int left = N;
  while (left > 0) {
#pragma HLS PIPELINE II = 1
#pragma HLS LOOP_TRIPCOUNT min = 1 max = kMost
    if (!in.empty()) --left;
  }
}

template <int W, typename... Copy>
void copies(hls::stream<ap_uint<W>>& in, Copy&... out) {
  const ap_uint<W> beat = in.read();
  const int written[] = {(out.write(beat), 0)...};
  (void)written;
}

template <int W>
void join(hls::stream<ap_uint<W>>& first, hls::stream<ap_uint<W>>& second, ap_uint<W> (&sums)[2]) {
  sums[0] = first.read();
  sums[1] = second.read();
}

template <int W>
void send(const ap_uint<W> (&sums)[2], hls::stream<ap_uint<W>>& out) {
  out.write(sums[0] + sums[1]);
}

template <int W>
void region(hls::stream<ap_uint<W>>& in, hls::stream<ap_uint<W>>& out) {
#pragma HLS DATAFLOW
  static hls::stream<ap_uint<W>> left("left");
#pragma HLS STREAM variable = left depth = 2
  hls::stream<ap_uint<W>> right("right");
#pragma HLS STREAM variable = right depth = 4
  ap_uint<W> sums[2];
  copies<W>(in, left, right);
  join<W>(left, right, sums);
  send<W>(sums, out);
}

}  // namespace sound
