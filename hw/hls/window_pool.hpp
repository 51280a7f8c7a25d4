// Maximum or sum over the TAPS taps of a window, for each of its channels. II = 1 a word.
#pragma once
#include "stream_types.hpp"

namespace bx {

// PE elements in a word, WORDS words in a tap; the elements are bits if BIPOLAR, two's complement if SIGNED. The bit
// above a word is 0 on padding if MASKED: that adds 0 to a sum, and is the bit 0 to a maximum, which changes no OR.
template <int PE, int IN_W, int OUT_W, int WORDS, int TAPS, int SUM, int BIPOLAR, int SIGNED, int MASKED, int PIXELS>
void window_pool(hls::stream<ap_uint<PE * IN_W + MASKED>>& in, hls::stream<ap_uint<PE * OUT_W>>& out) {
  static_assert(PE > 0 && WORDS > 0 && TAPS > 0 && PIXELS > 0, "sizes must be at least 1");
  static_assert(SUM ? OUT_W >= IN_W : OUT_W == IN_W, "a maximum has the width of its input");
  static_assert(!BIPOLAR || (IN_W == 1 && !SIGNED), "bipolar elements are 1 bit");
  static_assert(MASKED == 0 || (MASKED == 1 && BIPOLAR), "only bipolar elements can be masked");
  ap_uint<PE * OUT_W> line[WORDS];  // results so far of a window
  for (int pixel = 0; pixel < PIXELS; ++pixel) {
    for (int tap = 0; tap < TAPS; ++tap) {
      for (int word = 0; word < WORDS; ++word) {
#pragma HLS PIPELINE II = 1
        const ap_uint<PE * IN_W + MASKED> beat = in.read();
        const bool present = !MASKED || beat[PE * IN_W + MASKED - 1];
        const ap_uint<PE * OUT_W> sofar = line[word];
        ap_uint<PE * OUT_W> result;
        for (int p = 0; p < PE; ++p) {
#pragma HLS UNROLL
          const ap_uint<IN_W> code = beat.range((p + 1) * IN_W - 1, p * IN_W);
          const ap_uint<OUT_W> field = sofar.range((p + 1) * OUT_W - 1, p * OUT_W);
          ap_int<OUT_W + 1> value = code;
          ap_int<OUT_W + 1> old = field;
          if (SIGNED) {
            value = ap_int<IN_W>(code);
            old = ap_int<OUT_W>(field);
          }
          if (BIPOLAR && SUM) value = code[0] ? 1 : -1;
          if (!present) value = 0;
          if (SUM) value = tap == 0 ? value : ap_int<OUT_W + 1>(old + value);
          else value = tap == 0 || value > old ? value : old;
          result.range((p + 1) * OUT_W - 1, p * OUT_W) = value;
        }
        line[word] = result;
        if (tap == TAPS - 1) out.write(result);
      }
    }
  }
}

}  // namespace bx
