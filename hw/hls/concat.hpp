// Joins the channels of two streams: of every pixel the beats of the first, then those of the second. Elements
// narrower than those of the output are converted. II = 1 on the output beats.
#pragma once
#include "stream_types.hpp"

namespace bx {

// PE elements of W bits, KIND 0: bipolar, 1: unsigned, 2: two's complement.
template <int PE, int KIND, int W, int OUT_W>
ap_uint<PE * OUT_W> concat_widen(const ap_uint<PE * W>& beat) {
#pragma HLS INLINE
  ap_uint<PE * OUT_W> result;
  for (int p = 0; p < PE; ++p) {
#pragma HLS UNROLL
    const ap_uint<W> code = beat.range((p + 1) * W - 1, p * W);
    ap_int<OUT_W + 1> value = code;
    if (KIND == 2) value = ap_int<W>(code);
    if (KIND == 0 && OUT_W > 1) value = code[0] ? 1 : -1;
    result.range((p + 1) * OUT_W - 1, p * OUT_W) = ap_uint<OUT_W>(value);
  }
  return result;
}

// Parameters as in bx_concat.sv. PIXELS: pixels of a frame.
template <int PE, int FIRST_KIND, int FIRST_W, int FIRST_BEATS, int SECOND_KIND, int SECOND_W, int SECOND_BEATS,
          int OUT_W, int PIXELS>
void concat(hls::stream<ap_uint<PE * FIRST_W>>& first, hls::stream<ap_uint<PE * SECOND_W>>& second,
            hls::stream<ap_uint<PE * OUT_W>>& out) {
  static_assert(PE > 0 && FIRST_BEATS > 0 && SECOND_BEATS > 0 && PIXELS > 0, "sizes must be at least 1");
  static_assert(OUT_W >= FIRST_W && OUT_W >= SECOND_W, "an output element must hold those of both streams");
  static_assert(FIRST_KIND == SECOND_KIND || OUT_W > 1, "an output element must hold those of both streams");
  static_assert((FIRST_KIND != 0 || FIRST_W == 1) && (SECOND_KIND != 0 || SECOND_W == 1), "bipolar is 1 bit");
  int beat = 0;
  for (int i = 0; i < PIXELS * (FIRST_BEATS + SECOND_BEATS); ++i) {
#pragma HLS PIPELINE II = 1
    if (beat < FIRST_BEATS) {
      out.write(concat_widen<PE, FIRST_KIND, FIRST_W, OUT_W>(first.read()));
    } else {
      out.write(concat_widen<PE, SECOND_KIND, SECOND_W, OUT_W>(second.read()));
    }
    beat = beat == FIRST_BEATS + SECOND_BEATS - 1 ? 0 : beat + 1;
  }
}

}  // namespace bx
