// Maximum or sum over tiles of KH x KW pixels; rows and columns that fill no tile are left out. II = 1 a word.
#pragma once
#include "stream_types.hpp"

namespace bx {

// One element joined to the result so far.
template <int IN_W, int OUT_W, int SUM, int BIPOLAR, int SIGNED>
ap_uint<OUT_W> pool_join(const ap_uint<OUT_W>& sofar, const ap_uint<IN_W>& code, bool first) {
#pragma HLS INLINE
  ap_int<OUT_W + 1> value = code;
  ap_int<OUT_W + 1> old = sofar;
  if (SIGNED) {
    value = ap_int<IN_W>(code);
    old = ap_int<OUT_W>(sofar);
  }
  if (!SUM) return first || value > old ? value : old;
  if (BIPOLAR) value = code[0] ? 1 : -1;
  return first ? value : ap_int<OUT_W + 1>(old + value);
}

// PE elements in a word, WORDS words in a pixel; the elements are bits if BIPOLAR, two's complement if SIGNED.
template <int PE, int IN_W, int OUT_W, int HEIGHT, int WIDTH, int WORDS, int KH, int KW, int SUM, int BIPOLAR,
          int SIGNED>
void pool(hls::stream<ap_uint<PE * IN_W>>& in, hls::stream<ap_uint<PE * OUT_W>>& out) {
  constexpr int kOutRows = HEIGHT / KH;
  constexpr int kOutCols = WIDTH / KW;
  static_assert(PE > 0 && WORDS > 0 && kOutRows > 0 && kOutCols > 0, "the kernel must fit the frame");
  static_assert(SUM ? OUT_W >= IN_W : OUT_W == IN_W, "a maximum has the width of its input");
  static_assert(!BIPOLAR || (IN_W == 1 && !SIGNED), "bipolar elements are 1 bit");
  ap_uint<PE * OUT_W> line[kOutCols * WORDS];  // results so far of a row of tiles
#pragma HLS BIND_STORAGE variable = line type = ram_s2p impl = lutram
  for (int y = 0; y < HEIGHT; ++y) {
    for (int x = 0; x < WIDTH; ++x) {
      for (int word = 0; word < WORDS; ++word) {
#pragma HLS PIPELINE II = 1
        const ap_uint<PE * IN_W> beat = in.read();
        if (x >= kOutCols * KW || y >= kOutRows * KH) continue;
        const bool first = x % KW == 0 && y % KH == 0;
        const bool last = x % KW == KW - 1 && y % KH == KH - 1;
        const int at = x / KW * WORDS + word;
        const ap_uint<PE * OUT_W> sofar = line[at];
        ap_uint<PE * OUT_W> result;
        for (int p = 0; p < PE; ++p) {
#pragma HLS UNROLL
          const ap_uint<OUT_W> old = sofar.range((p + 1) * OUT_W - 1, p * OUT_W);
          const ap_uint<IN_W> code = beat.range((p + 1) * IN_W - 1, p * IN_W);
          result.range((p + 1) * OUT_W - 1, p * OUT_W) =
              pool_join<IN_W, OUT_W, SUM, BIPOLAR, SIGNED>(old, code, first);
        }
        line[at] = result;
        if (last) out.write(result);
      }
    }
  }
}

}  // namespace bx
