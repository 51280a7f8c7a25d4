// Chooses a frame's expert: sums over the frame, a small integer layer, the lowest index of the largest result.
//
// Two processes with a ping-pong buffer of sums between them: one frame is summed (II = 1 a beat) while the
// layer works on the one before (II = 1 a step).
#pragma once
#include "stream_types.hpp"

namespace bx {

// The sums of one frame. Elements are two's complement if SIGNED; the first pixel overwrites.
template <int PE, int IN_W, int SIGNED, int PIXELS, int WORDS, int SUM_W>
void gate_sums(hls::stream<ap_uint<PE * IN_W>>& in, ap_uint<SUM_W> sums[WORDS][PE]) {
  for (int pixel = 0; pixel < PIXELS; ++pixel) {
    for (int word = 0; word < WORDS; ++word) {
#pragma HLS PIPELINE II = 1
      const ap_uint<PE * IN_W> beat = in.read();
      for (int p = 0; p < PE; ++p) {
#pragma HLS UNROLL
        const ap_uint<IN_W> code = beat.range((p + 1) * IN_W - 1, p * IN_W);
        const ap_int<SUM_W + 1> x = SIGNED ? ap_int<SUM_W + 1>(ap_int<IN_W>(code)) : ap_int<SUM_W + 1>(code);
        const ap_uint<SUM_W> sum = pixel == 0 ? ap_uint<SUM_W>(0) : sums[word][p];
        sums[word][p] = sum + x;
      }
    }
  }
}

// The layer: LANES experts and ELEMENTS sums a step; the order of the weights is [pass][word][part][lane][element].
template <int PE, int SIGNED, int DOUBLE, int WORDS, int EXPERTS, int LANES, int ELEMENTS, int SUM_W, int WEIGHT_W,
          int Z_W, int TOKEN_W, int STEPS>
void gate_layer(ap_uint<SUM_W> sums[WORDS][PE], hls::stream<ap_uint<TOKEN_W>>& out,
                const ap_uint<LANES * ELEMENTS * WEIGHT_W> weights[STEPS],
                const ap_uint<LANES * Z_W> bias[EXPERTS / LANES]) {
  constexpr int kParts = PE / ELEMENTS;
  constexpr int kPass = WORDS * kParts;  // steps of a pass
  ap_int<Z_W> score[LANES];
#pragma HLS ARRAY_PARTITION variable = score complete
  ap_int<Z_W> best = 0;
  ap_uint<TOKEN_W> expert = 0;
  for (int step = 0; step < STEPS; ++step) {
#pragma HLS PIPELINE II = 1
    const int pass = step / kPass;
    const int word = step % kPass / kParts;
    const int part = step % kParts;
    const ap_uint<LANES * ELEMENTS * WEIGHT_W> row = weights[step];
    const ap_uint<LANES * Z_W> start = bias[pass];
    for (int j = 0; j < LANES; ++j) {
#pragma HLS UNROLL
      ap_int<Z_W> products = 0;
      for (int q = 0; q < ELEMENTS; ++q) {
#pragma HLS UNROLL
        const ap_uint<SUM_W> code = sums[word][part * ELEMENTS + q];
        const ap_int<SUM_W + 1> sum = SIGNED ? ap_int<SUM_W + 1>(ap_int<SUM_W>(code)) : ap_int<SUM_W + 1>(code);
        const int at = (j * ELEMENTS + q) * WEIGHT_W;
        const ap_uint<WEIGHT_W> field = row.range(at + WEIGHT_W - 1, at);
        products += sum * ap_int<WEIGHT_W>(field);
      }
      const ap_uint<Z_W> first = start.range((j + 1) * Z_W - 1, j * Z_W);
      const ap_int<Z_W> sofar = step % kPass == 0 ? ap_int<Z_W>(first) : score[j];
      score[j] = sofar + (DOUBLE ? ap_int<Z_W>(products << 1) : products);
    }
    if (step % kPass == kPass - 1) {
      for (int j = 0; j < LANES; ++j) {
#pragma HLS UNROLL
        if ((pass == 0 && j == 0) || score[j] > best) {
          best = score[j];
          expert = pass * LANES + j;
        }
      }
    }
  }
  out.write(expert);
}

// Parameters as in bx_gate.sv; bits (DOUBLE) are counted and stand for +1 and -1, the bias is made for that.
template <int PE, int IN_W, int SIGNED, int DOUBLE, int PIXELS, int WORDS, int EXPERTS, int LANES, int ELEMENTS,
          int SUM_W, int WEIGHT_W, int Z_W, int TOKEN_W>
void gate(hls::stream<ap_uint<PE * IN_W>>& in, hls::stream<ap_uint<TOKEN_W>>& out,
          const ap_uint<LANES * ELEMENTS * WEIGHT_W> weights[EXPERTS / LANES * WORDS * (PE / ELEMENTS)],
          const ap_uint<LANES * Z_W> bias[EXPERTS / LANES]) {
#pragma HLS DATAFLOW
  static_assert(PE % ELEMENTS == 0 && EXPERTS % LANES == 0, "ELEMENTS must divide PE, LANES must divide EXPERTS");
  static_assert(bits_for(EXPERTS - 1) <= TOKEN_W, "a token must hold EXPERTS-1");
  constexpr int kSteps = EXPERTS / LANES * WORDS * (PE / ELEMENTS);
  ap_uint<SUM_W> sums[WORDS][PE];
#pragma HLS ARRAY_PARTITION variable = sums complete dim = 2
  gate_sums<PE, IN_W, SIGNED, PIXELS, WORDS, SUM_W>(in, sums);
  gate_layer<PE, SIGNED, DOUBLE, WORDS, EXPERTS, LANES, ELEMENTS, SUM_W, WEIGHT_W, Z_W, TOKEN_W, kSteps>(
      sums, out, weights, bias);
}

}  // namespace bx
