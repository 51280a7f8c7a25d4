// Regroups a stream into wider or narrower beats; the first part is the low bits. II = 1 on the narrow side.
#pragma once
#include "stream_types.hpp"

namespace bx {

// IN_W, OUT_W: bits of a beat, one a multiple of the other. BEATS: wide beats in a frame.
template <int IN_W, int OUT_W, int BEATS>
void width_convert(hls::stream<ap_uint<IN_W>>& in, hls::stream<ap_uint<OUT_W>>& out) {
  constexpr bool kWiden = OUT_W > IN_W;
  constexpr int kWide = kWiden ? OUT_W : IN_W;
  constexpr int kNarrow = kWiden ? IN_W : OUT_W;
  constexpr int kRatio = kWide / kNarrow;
  static_assert(kRatio >= 2 && kRatio * kNarrow == kWide, "one width must be a multiple of the other");
  ap_uint<kWide> word = 0;
  for (int i = 0; i < BEATS * kRatio; ++i) {
#pragma HLS PIPELINE II = 1
    const int part = i % kRatio;
    if (kWiden) {
      word.range((part + 1) * kNarrow - 1, part * kNarrow) = in.read();
      if (part == kRatio - 1) out.write(word);
    } else {
      if (part == 0) word = in.read();
      out.write(word.range((part + 1) * kNarrow - 1, part * kNarrow));
    }
  }
}

}  // namespace bx
