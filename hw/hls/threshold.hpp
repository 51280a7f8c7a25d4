// Integers to levels: how many of a channel's thresholds are reached, plus OFFSET, with COPIES sets for each channel.
//
// Binary search from the top bit down, a table for each bit: bit = (accumulator >= threshold) != flip. Of bit s,
// row ((copy*BEATS + beat) * 2^s + the s bits found) * PE + p is {flip, threshold} of lane p. The first table is
// reshaped into words of PE rows; in the others each lane reads a place of its own, so it has a memory of its own.
//
// The BEATS of a pixel are read with copy 0 and replayed from a buffer for the others. II = 1 on the output beats; the
// stream in front needs room for a pixel, so that its writer does not wait for the replay.
#pragma once
#include "stream_types.hpp"

namespace bx {

template <int PE, int ACC_W, int SIGNED>
ap_uint<1> threshold_bit(const ap_uint<PE * ACC_W>& values, int p, const ap_uint<ACC_W + 1>& field) {
#pragma HLS INLINE
  const ap_uint<ACC_W> value = values.range((p + 1) * ACC_W - 1, p * ACC_W);
  const ap_uint<ACC_W> limit = field.range(ACC_W - 1, 0);
  const bool reached = SIGNED ? ap_int<ACC_W>(value) >= ap_int<ACC_W>(limit) : value >= limit;
  return reached != field[ACC_W];
}

// The end of the search: FOUND bits are all.
template <int PE, int ACC_W, int SIGNED, int FOUND>
void threshold_search(const ap_uint<PE * ACC_W>&, int, ap_uint<8> (&)[PE]) {
#pragma HLS INLINE
}

// The bit behind FOUND others, and those behind it.
template <int PE, int ACC_W, int SIGNED, int FOUND, int ROWS, int... MORE>
void threshold_search(const ap_uint<PE * ACC_W>& values, int word, ap_uint<8> (&found)[PE],
                      const ap_uint<ACC_W + 1> (&table)[ROWS], const ap_uint<ACC_W + 1> (&... tables)[MORE]) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = table cyclic factor = PE
  for (int p = 0; p < PE; ++p) {
#pragma HLS UNROLL
    const int place = (word << FOUND) + found[p].to_int();
    found[p] = (found[p] << 1) | threshold_bit<PE, ACC_W, SIGNED>(values, p, table[place * PE + p]);
  }
  threshold_search<PE, ACC_W, SIGNED, FOUND + 1>(values, word, found, tables...);
}

// PE: channels a beat; ACC_W, OUT_W: bits of an accumulator and of a result; SIGNED: two's complement.
template <int PE, int BEATS, int COPIES, int PIXELS, int ACC_W, int SIGNED, int OUT_W, int OFFSET, int... ROWS>
void threshold(hls::stream<ap_uint<PE * ACC_W>>& in, hls::stream<ap_uint<PE * OUT_W>>& out,
               const ap_uint<ACC_W + 1> (&first)[COPIES * BEATS * PE], const ap_uint<ACC_W + 1> (&... tables)[ROWS]) {
#pragma HLS ARRAY_RESHAPE variable = first cyclic factor = PE
  static_assert(PE > 0 && BEATS > 0 && COPIES > 0 && PIXELS > 0 && ACC_W > 0, "sizes must be at least 1");
  static_assert(sizeof...(ROWS) < 8 && OUT_W > int(sizeof...(ROWS)), "the search has 1 to 8 bits, OUT_W as many");
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
    ap_uint<8> found[PE];
#pragma HLS ARRAY_PARTITION variable = found complete
    for (int p = 0; p < PE; ++p) {
#pragma HLS UNROLL
      found[p] = threshold_bit<PE, ACC_W, SIGNED>(values, p, first[word * PE + p]);
    }
    threshold_search<PE, ACC_W, SIGNED, 1>(values, word, found, tables...);
    ap_uint<PE * OUT_W> levels;
    for (int p = 0; p < PE; ++p) {
#pragma HLS UNROLL
      levels.range((p + 1) * OUT_W - 1, p * OUT_W) = ap_uint<OUT_W>(found[p] + OFFSET);
    }
    out.write(levels);
    word = word == COPIES * BEATS - 1 ? 0 : word + 1;
    beat = beat == BEATS - 1 ? 0 : beat + 1;
  }
}

}  // namespace bx
