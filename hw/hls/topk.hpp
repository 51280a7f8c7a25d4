// Indices of the K largest of C elements, largest first; of equal elements the lower index goes first. II = 1.
#pragma once
#include "stream_types.hpp"

namespace bx {

// W: bits of an element, two's complement if SIGNED. C: elements in a frame. INDEX_W: bits of an index.
template <int W, int SIGNED, int C, int K, int INDEX_W>
void topk(hls::stream<ap_uint<W>>& in, hls::stream<ap_uint<INDEX_W>>& out) {
  static_assert(1 <= K && K <= C, "K must be in 1..C");
  static_assert(bits_for(C - 1) <= INDEX_W, "an index must hold C-1");
  ap_int<W + 1> values[K];
  ap_uint<INDEX_W> indices[K];
#pragma HLS ARRAY_PARTITION variable = values complete
#pragma HLS ARRAY_PARTITION variable = indices complete
  for (int i = 0; i < C; ++i) {
#pragma HLS PIPELINE II = 1
    const ap_uint<W> code = in.read();
    const ap_int<W + 1> value = SIGNED ? ap_int<W + 1>(ap_int<W>(code)) : ap_int<W + 1>(code);
    // from the last slot up: a beaten slot takes the one above it, or the element if that one is not beaten
    for (int j = K - 1; j >= 0; --j) {
#pragma HLS UNROLL
      const bool beaten = j >= i || value > values[j];
      const bool above = j > 0 && (j - 1 >= i || value > values[j > 0 ? j - 1 : 0]);
      if (beaten) {
        values[j] = above ? values[j > 0 ? j - 1 : 0] : value;
        indices[j] = above ? indices[j > 0 ? j - 1 : 0] : ap_uint<INDEX_W>(i);
      }
    }
  }
  for (int j = 0; j < K; ++j) {
#pragma HLS PIPELINE II = 1
    out.write(indices[j]);
  }
}

}  // namespace bx
