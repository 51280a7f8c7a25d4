// Integers to signs: bit = (accumulator >= threshold) xor negate, with COPIES thresholds for each channel. The
// BEATS of a pixel are read with copy 0 and replayed from a buffer for the others. II = 1 on the output beats; the
// stream in front needs room for a pixel, so that its writer does not wait for the replay.
#pragma once
#include "stream_types.hpp"

namespace bx {

// PE: channels a beat; ACC_W: bits of an accumulator; SIGNED: two's complement.
// Threshold word copy*BEATS + beat: PE times {negate, threshold}, channel 0 in the low bits.
template <int PE, int BEATS, int COPIES, int PIXELS, int ACC_W, int SIGNED>
void threshold(hls::stream<ap_uint<PE * ACC_W>>& in, hls::stream<ap_uint<PE>>& out,
               const ap_uint<PE*(ACC_W + 1)> (&thresholds)[COPIES * BEATS]) {
  static_assert(PE > 0 && BEATS > 0 && COPIES > 0 && PIXELS > 0 && ACC_W > 0, "sizes must be at least 1");
  ap_uint<PE * ACC_W> pixel[BEATS];
  int word = 0, beat = 0;
  for (int i = 0; i < PIXELS * COPIES * BEATS; ++i) {
#pragma HLS PIPELINE II = 1
    ap_uint<PE * ACC_W> values;
    if (word < BEATS) {
      values = in.read();
      if (COPIES > 1) pixel[beat] = values;
    } else {
      values = pixel[beat];
    }
    const ap_uint<PE*(ACC_W + 1)> limits = thresholds[word];
    ap_uint<PE> bits;
    for (int p = 0; p < PE; ++p) {
#pragma HLS UNROLL
      const ap_uint<ACC_W> value = values.range((p + 1) * ACC_W - 1, p * ACC_W);
      const ap_uint<ACC_W> limit = limits.range(p * (ACC_W + 1) + ACC_W - 1, p * (ACC_W + 1));
      const bool negate = limits[p * (ACC_W + 1) + ACC_W];
      const bool reached = SIGNED ? ap_int<ACC_W>(value) >= ap_int<ACC_W>(limit) : value >= limit;
      bits[p] = reached != negate;
    }
    out.write(bits);
    word = word == COPIES * BEATS - 1 ? 0 : word + 1;
    beat = beat == BEATS - 1 ? 0 : beat + 1;
  }
}

}  // namespace bx
