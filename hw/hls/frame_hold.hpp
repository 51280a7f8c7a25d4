// Passes a frame on once its token has come; the frame waits in the stream before, which is deep enough. II = 1.
#pragma once
#include "stream_types.hpp"

namespace bx {

// W: bits of a beat. TOKEN_W: bits of a token. BEATS: beats in a frame.
template <int W, int TOKEN_W, int BEATS>
void frame_hold(hls::stream<ap_uint<W>>& in, hls::stream<ap_uint<TOKEN_W>>& token_in, hls::stream<ap_uint<W>>& out,
                hls::stream<ap_uint<TOKEN_W>>& token_out) {
  static_assert(BEATS >= 1, "a frame has at least one beat");
  token_out.write(token_in.read());
  for (int i = 0; i < BEATS; ++i) {
#pragma HLS PIPELINE II = 1
    out.write(in.read());
  }
}

}  // namespace bx
