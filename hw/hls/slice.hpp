// Some of the channels of a stream: of the beats of every pixel those from START on, up to before STOP. II = 1.
#pragma once
#include "stream_types.hpp"

namespace bx {

// W: bits of a beat. BEATS: beats of a pixel. PIXELS: pixels of a frame.
template <int W, int BEATS, int START, int STOP, int PIXELS>
void slice(hls::stream<ap_uint<W>>& in, hls::stream<ap_uint<W>>& out) {
  static_assert(0 <= START && START < STOP && STOP <= BEATS, "START must lie before STOP, and both in 0..BEATS");
  static_assert(PIXELS > 0, "a frame has at least one pixel");
  int beat = 0;
  for (int i = 0; i < PIXELS * BEATS; ++i) {
#pragma HLS PIPELINE II = 1
    const ap_uint<W> word = in.read();
    if (beat >= START && beat < STOP) out.write(word);
    beat = beat == BEATS - 1 ? 0 : beat + 1;
  }
}

}  // namespace bx
