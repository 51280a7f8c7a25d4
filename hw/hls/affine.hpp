// A factor and an offset for each channel: GAIN * x + offset. II = 1 a beat.
#pragma once
#include "stream_types.hpp"

namespace bx {

// Parameters as in bx_affine.sv. PIXELS: pixels of a frame. A word of offsets for each beat of a pixel.
template <int PE, int BEATS, int KIND, int IN_W, int GAIN, int OFFSET_W, int OUT_W, int PIXELS>
void affine(hls::stream<ap_uint<PE * IN_W>>& in, hls::stream<ap_uint<PE * OUT_W>>& out,
            const ap_uint<PE * OFFSET_W> (&offsets)[BEATS]) {
  static_assert(PE > 0 && BEATS > 0 && PIXELS > 0, "sizes must be at least 1");
  static_assert(OUT_W >= IN_W && OUT_W >= OFFSET_W, "a result must hold elements and offsets");
  static_assert(GAIN != 0 && (KIND != 0 || IN_W == 1), "the gain must not be 0, and bipolar is 1 bit");
  int beat = 0;
  for (int i = 0; i < PIXELS * BEATS; ++i) {
#pragma HLS PIPELINE II = 1
    const ap_uint<PE * IN_W> word = in.read();
    const ap_uint<PE * OFFSET_W> terms = offsets[beat];
    ap_uint<PE * OUT_W> results;
    for (int p = 0; p < PE; ++p) {
#pragma HLS UNROLL
      const ap_uint<IN_W> code = word.range((p + 1) * IN_W - 1, p * IN_W);
      const ap_uint<OFFSET_W> term = terms.range((p + 1) * OFFSET_W - 1, p * OFFSET_W);
      ap_int<OUT_W + 2> value = code;
      if (KIND == 2) value = ap_int<IN_W>(code);
      if (KIND == 0) value = code[0] ? 1 : -1;
      const ap_int<OUT_W + 2> result = value * GAIN + ap_int<OFFSET_W>(term);
      results.range((p + 1) * OUT_W - 1, p * OUT_W) = ap_uint<OUT_W>(result);
    }
    out.write(results);
    beat = beat == BEATS - 1 ? 0 : beat + 1;
  }
}

}  // namespace bx
