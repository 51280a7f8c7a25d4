// Between the accelerator's AXI4-Streams (whole bytes, TLAST) and the streams inside it.
#pragma once
#include "stream_types.hpp"

#include <ap_axi_sdata.h>

namespace bx {

template <int AXIS_W>
using axis_beat = ap_axiu<AXIS_W, 0, 0, 0>;

// BEATS: beats in a frame. TLAST of the input is not needed: a frame's length is fixed.
template <int AXIS_W, int W, int BEATS>
void from_axis(hls::stream<axis_beat<AXIS_W>>& in, hls::stream<ap_uint<W>>& out) {
  for (int i = 0; i < BEATS; ++i) {
#pragma HLS PIPELINE II = 1
    const axis_beat<AXIS_W> beat = in.read();
    out.write(beat.data(W - 1, 0));
  }
}

template <int W, int AXIS_W, int BEATS>
void to_axis(hls::stream<ap_uint<W>>& in, hls::stream<axis_beat<AXIS_W>>& out) {
  for (int i = 0; i < BEATS; ++i) {
#pragma HLS PIPELINE II = 1
    axis_beat<AXIS_W> beat;
    beat.data = in.read();
    beat.keep = -1;
    beat.strb = -1;
    beat.last = i == BEATS - 1;
    out.write(beat);
  }
}

}  // namespace bx
