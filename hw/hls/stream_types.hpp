// What every cell includes: ap_uint, hls::stream and small helpers.
#pragma once
#ifndef AP_INT_MAX_W
#define AP_INT_MAX_W 4096  // widest beat; the headers' own limit is 1024, that of Vitis HLS 4096
#endif
#include <ap_int.h>
#include <hls_stream.h>

namespace bx {

// Bits needed to hold 0..n.
constexpr int bits_for(unsigned long long n) { return n < 2 ? 1 : 1 + bits_for(n / 2); }

#ifndef __SYNTHESIS__
// A table of constants that a C-simulation makes of plain data when it starts.
template <int W, int N>
struct simulated_table {
  ap_uint<W> words[N];

  template <typename Word>
  explicit simulated_table(const Word (&given)[N]) {
    for (int i = 0; i < N; ++i) words[i] = ap_uint<W>(given[i]);
  }
};
#endif

}  // namespace bx
