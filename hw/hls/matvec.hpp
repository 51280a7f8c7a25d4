// Matrix-vector products. A window of SF beats is read once, with row fold 0, and replayed from a buffer for the
// other NF - 1 folds. Weights of row p of a fold: word (((bank*GROUPS + group)*NF + fold)*SF + sf)*PE + p, each of
// WEIGHT_BITS bits: 1: a sign, 1 = +1; more: two's complement. The array is reshaped into words of PE rows.
// II = 1: one beat of work a cycle.
#pragma once
#include "stream_types.hpp"

namespace bx {

template <int W>
int popcount(const ap_uint<W>& word) {
#pragma HLS INLINE
  int count = 0;
#ifndef __SYNTHESIS__  // the same number, 64 bits at a time
  for (int i = 0; i < W; i += 64) {
    const ap_uint<64> part = word.range(i + 63 < W ? i + 63 : W - 1, i);
    count += __builtin_popcountll(part.to_uint64());
  }
#else
  for (int i = 0; i < W; ++i) {
#pragma HLS UNROLL
    count += word[i];
  }
#endif
  return count;
}

// Contribution of one beat to one row. KIND: 0 bipolar, 1 unsigned, 2 two's complement.
template <int SIMD, int KIND, int BITS, int MASKED, int ACC_W, int WEIGHT_BITS>
ap_int<ACC_W + 2> matvec_beat(const ap_uint<SIMD * WEIGHT_BITS>& weights, const ap_uint<SIMD * BITS + MASKED>& beat) {
#pragma HLS INLINE
  if (MASKED && !beat[SIMD * BITS + MASKED - 1]) return 0;  // zero padding: no tap counts
  if (KIND == 0 && WEIGHT_BITS == 1) {
    const ap_uint<SIMD> bits = beat.range(SIMD - 1, 0);
    const ap_uint<SIMD> same = ~(weights ^ bits);
    return 2 * popcount<SIMD>(same) - SIMD;
  }
  ap_int<ACC_W + 2> sum = 0;
  for (int i = 0; i < SIMD; ++i) {
#pragma HLS UNROLL
    const ap_uint<BITS> code = beat.range((i + 1) * BITS - 1, i * BITS);
    const ap_uint<WEIGHT_BITS> field = weights.range((i + 1) * WEIGHT_BITS - 1, i * WEIGHT_BITS);
    const ap_int<WEIGHT_BITS> weight = field;
    ap_int<BITS + 1> x = code;
    if (KIND == 2) x = ap_int<BITS>(code);
    if (WEIGHT_BITS == 1) sum += field[0] ? x : ap_int<BITS + 1>(-x);
    else if (KIND == 0) sum += code[0] ? ap_int<WEIGHT_BITS + 1>(weight) : ap_int<WEIGHT_BITS + 1>(-weight);
    else sum += x * weight;
  }
  return sum;
}

// One frame with the weights that begin at word `base`.
template <int PE, int SIMD, int SF, int NF, int GROUPS, int PIXELS, int KIND, int BITS, int MASKED, int ACC_W,
          int WEIGHT_BITS>
void matvec_frame(hls::stream<ap_uint<SIMD * BITS + MASKED>>& in, int base, hls::stream<ap_uint<PE * ACC_W>>& out,
                  const ap_uint<SIMD * WEIGHT_BITS>* weights) {
#pragma HLS INLINE
  static_assert(PE > 0 && SIMD > 0 && SF > 0 && NF > 0 && GROUPS > 0 && PIXELS > 0, "sizes must be at least 1");
  static_assert(KIND >= 0 && KIND <= 2 && (KIND != 0 || BITS == 1), "bipolar elements are 1 bit");
  static_assert(MASKED == 0 || KIND == 0, "only bipolar streams are masked");
  static_assert(WEIGHT_BITS > 0 && WEIGHT_BITS <= 16, "weights have 1 to 16 bits");
  ap_uint<SIMD * BITS + MASKED> window[SF];
  ap_int<ACC_W + 2> acc[PE];  // two bits more than the result, which are never looked at
#pragma HLS ARRAY_PARTITION variable = acc complete
  int sf = 0, fold = 0, word = 0;
  for (int i = 0; i < PIXELS * GROUPS * NF * SF; ++i) {
#pragma HLS PIPELINE II = 1
    ap_uint<SIMD * BITS + MASKED> beat;
    if (fold == 0) {
      beat = in.read();
      window[sf] = beat;
    } else {
      beat = window[sf];
    }
    ap_uint<PE * ACC_W> result;
    for (int p = 0; p < PE; ++p) {
#pragma HLS UNROLL
      const ap_int<ACC_W + 2> add =
          matvec_beat<SIMD, KIND, BITS, MASKED, ACC_W, WEIGHT_BITS>(weights[(base + word) * PE + p], beat);
      acc[p] = sf == 0 ? add : ap_int<ACC_W + 2>(acc[p] + add);
      result.range((p + 1) * ACC_W - 1, p * ACC_W) = acc[p].range(ACC_W - 1, 0);
    }
    if (sf == SF - 1) out.write(result);
    word = word == GROUPS * NF * SF - 1 ? 0 : word + 1;
    if (sf == SF - 1) fold = fold == NF - 1 ? 0 : fold + 1;
    sf = sf == SF - 1 ? 0 : sf + 1;
  }
}

// PE, SIMD: rows and columns a cycle; SF, NF: beats and row folds of a window; ACC_W, WEIGHT_BITS: bits of an
// accumulator and of a weight.
template <int PE, int SIMD, int SF, int NF, int GROUPS, int PIXELS, int KIND, int BITS, int MASKED, int ACC_W,
          int WEIGHT_BITS>
void matvec(hls::stream<ap_uint<SIMD * BITS + MASKED>>& in, hls::stream<ap_uint<PE * ACC_W>>& out,
            const ap_uint<SIMD * WEIGHT_BITS> (&weights)[GROUPS * NF * SF * PE]) {
#pragma HLS ARRAY_RESHAPE variable = weights cyclic factor = PE
  matvec_frame<PE, SIMD, SF, NF, GROUPS, PIXELS, KIND, BITS, MASKED, ACC_W, WEIGHT_BITS>(in, 0, out, weights);
}

// The same with BANKS sets of weights; one token a frame names the set.
template <int PE, int SIMD, int SF, int NF, int GROUPS, int PIXELS, int KIND, int BITS, int MASKED, int ACC_W,
          int WEIGHT_BITS, int BANKS, int TOKEN_W>
void matvec_banks(hls::stream<ap_uint<SIMD * BITS + MASKED>>& in, hls::stream<ap_uint<TOKEN_W>>& token,
                  hls::stream<ap_uint<PE * ACC_W>>& out,
                  const ap_uint<SIMD * WEIGHT_BITS> (&weights)[BANKS * GROUPS * NF * SF * PE]) {
#pragma HLS ARRAY_RESHAPE variable = weights cyclic factor = PE
  static_assert(BANKS > 1, "one bank has no token");
  const int bank = token.read().to_int();
  matvec_frame<PE, SIMD, SF, NF, GROUPS, PIXELS, KIND, BITS, MASKED, ACC_W, WEIGHT_BITS>(
      in, bank * GROUPS * NF * SF, out, weights);
}

}  // namespace bx
