// Copies a stream to any number of others. II = 1.
#pragma once
#include "stream_types.hpp"

namespace bx {

// W: bits of a beat. BEATS: beats in a frame. The output streams follow the input, as many as there are copies.
template <int W, int BEATS, typename... Copy>
void fork_stream(hls::stream<ap_uint<W>>& in, Copy&... copies) {
  static_assert(sizeof...(Copy) >= 2, "a fork has at least two copies");
  for (int i = 0; i < BEATS; ++i) {
#pragma HLS PIPELINE II = 1
    const ap_uint<W> beat = in.read();
    const int written[] = {(copies.write(beat), 0)...};  // one write a copy, in order
    (void)written;
  }
}

}  // namespace bx
