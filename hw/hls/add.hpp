// The weighted sum of two streams, element by element. II = 1 a beat.
#pragma once
#include "stream_types.hpp"

namespace bx {

// GAIN times an element of W bits, KIND 0: bipolar, 1: unsigned, 2: two's complement.
template <int KIND, int W, int GAIN, int OUT_W>
ap_int<OUT_W + 2> add_term(const ap_uint<W>& code) {
#pragma HLS INLINE
  ap_int<OUT_W + 2> value = code;
  if (KIND == 2) value = ap_int<W>(code);
  if (KIND == 0) value = code[0] ? 1 : -1;
  return value * GAIN;
}

// Parameters as in bx_add.sv. BEATS: beats of a frame.
template <int PE, int A_KIND, int A_W, int A_GAIN, int B_KIND, int B_W, int B_GAIN, int OUT_W, int BEATS>
void add(hls::stream<ap_uint<PE * A_W>>& first, hls::stream<ap_uint<PE * B_W>>& second,
         hls::stream<ap_uint<PE * OUT_W>>& out) {
  static_assert(PE > 0 && BEATS > 0, "sizes must be at least 1");
  static_assert(OUT_W >= A_W && OUT_W >= B_W, "a sum must hold the elements of both streams");
  static_assert((A_KIND != 0 || A_W == 1) && (B_KIND != 0 || B_W == 1), "bipolar is 1 bit");
  static_assert(A_GAIN != 0 && B_GAIN != 0, "gains must not be 0");
  for (int i = 0; i < BEATS; ++i) {
#pragma HLS PIPELINE II = 1
    const ap_uint<PE * A_W> a = first.read();
    const ap_uint<PE * B_W> b = second.read();
    ap_uint<PE * OUT_W> sums;
    for (int p = 0; p < PE; ++p) {
#pragma HLS UNROLL
      const ap_uint<A_W> x = a.range((p + 1) * A_W - 1, p * A_W);
      const ap_uint<B_W> y = b.range((p + 1) * B_W - 1, p * B_W);
      const ap_int<OUT_W + 2> sum = add_term<A_KIND, A_W, A_GAIN, OUT_W>(x) + add_term<B_KIND, B_W, B_GAIN, OUT_W>(y);
      sums.range((p + 1) * OUT_W - 1, p * OUT_W) = ap_uint<OUT_W>(sum);
    }
    out.write(sums);
  }
}

}  // namespace bx
