// Windows of a convolution from a ring of ROWS rows; order [pixel][group][kernel row][kernel column][word].
//
// One loop, II = 1: an iteration takes a word while the ring has room, and offers a word of a window while the rows
// it reads are complete. It blocks on its input only when no window can go on.
#pragma once
#include "stream_types.hpp"

namespace bx {

// SIMD elements of BITS bits in a word, WORDS words in a pixel. A padded element has the code PAD. A bit above each
// word is 0 on padding if MASKED. STEPS: iterations of a frame whose input is there, for the reports of Vitis HLS.
template <int SIMD, int BITS, int HEIGHT, int WIDTH, int WORDS, int GROUPS, int KH, int KW, int SH, int SW, int DH,
          int DW, int PAD_TOP, int PAD_LEFT, int PAD_BOTTOM, int PAD_RIGHT, int MASKED, int ROWS, int STEPS,
          long long PAD>
void sliding_window(hls::stream<ap_uint<SIMD * BITS>>& in, hls::stream<ap_uint<SIMD * BITS + MASKED>>& out) {
  constexpr int kTap = WORDS / GROUPS;   // words of a tap
  constexpr int kLine = WIDTH * WORDS;   // words of a row
  constexpr int kRise = (KH - 1) * DH;   // rows from the kernel's first to its last
  constexpr int kReach = kRise + 1 > SH ? kRise + 1 : SH;
  constexpr int kOutRows = (HEIGHT + PAD_TOP + PAD_BOTTOM - kRise - 1) / SH + 1;
  constexpr int kOutCols = (WIDTH + PAD_LEFT + PAD_RIGHT - (KW - 1) * DW - 1) / SW + 1;
  constexpr int kFirst = (ROWS - PAD_TOP % ROWS) % ROWS;  // ring row of the first kernel row, which may be padding
  static_assert(SIMD > 0 && BITS > 0 && kTap > 0 && kTap * GROUPS == WORDS, "GROUPS must divide WORDS");
  static_assert(KH > 0 && KW > 0 && SH > 0 && SW > 0 && DH > 0 && DW > 0, "the kernel must be at least 1x1");
  static_assert(kOutRows > 0 && kOutCols > 0, "the kernel must fit the padded frame");
  static_assert(MASKED == 0 || BITS == 1, "only bits can be masked");
  static_assert(ROWS > 0, "the ring needs rows");
  static_assert(PAD >= 0 && PAD >> BITS == 0 && (MASKED == 0 || PAD == 0), "PAD must be a code, 0 if MASKED");

  ap_uint<SIMD * BITS> ring[ROWS][kLine];
  ap_uint<SIMD * BITS> padded;
  for (int i = 0; i < SIMD; ++i) {
#pragma HLS UNROLL
    padded.range((i + 1) * BITS - 1, i * BITS) = PAD;
  }
  int complete = 0, freed = 0;                       // rows of the frame
  int write_row = 0, write_word = 0;                 // where the next word goes
  int word = 0, kx = 0, ky = 0, group = 0, ox = 0;   // where the windows stand
  int top = -PAD_TOP, row = -PAD_TOP;                // rows of the frame: of the kernel's first row, of this tap
  int ring_top = kFirst, ring_row = kFirst;          // the same in the ring
  int out_row = 0;
  while (out_row < kOutRows || complete < HEIGHT) {
#pragma HLS PIPELINE II = 1
#pragma HLS LOOP_TRIPCOUNT min = STEPS max = STEPS
    int need = top + kReach;  // rows that must be complete
    if (need < 1) need = 1;   // padding alone does not begin a frame
    if (need > HEIGHT || out_row == kOutRows - 1) need = HEIGHT;
    const bool go = out_row < kOutRows && complete >= need;
    if (complete < HEIGHT && complete - freed < ROWS && (!go || !in.empty())) {
      ring[write_row][write_word] = in.read();
      if (++write_word == kLine) {
        write_word = 0;
        ++complete;
        if (++write_row == ROWS) write_row = 0;
      }
    }
    if (go) {
      const int column = ox * SW + kx * DW - PAD_LEFT;
      const bool present = row >= 0 && row < HEIGHT && column >= 0 && column < WIDTH;
      ap_uint<SIMD * BITS + MASKED> beat = padded;
      if (present) {
        beat = ring[ring_row][column * WORDS + group * kTap + word];
        if (MASKED) beat[SIMD * BITS + MASKED - 1] = 1;
      }
      out.write(beat);
      if (++word == kTap) {
        word = 0;
        if (++kx == KW) {
          kx = 0;
          row += DH;
          ring_row += DH % ROWS;
          if (ring_row >= ROWS) ring_row -= ROWS;
          if (++ky == KH) {
            ky = 0;
            row = top;
            ring_row = ring_top;
            if (++group == GROUPS) {
              group = 0;
              if (++ox == kOutCols) {
                ox = 0;
                ++out_row;
                top += SH;
                row = top;
                ring_top += SH % ROWS;
                if (ring_top >= ROWS) ring_top -= ROWS;
                ring_row = ring_top;
                if (top > 0) freed = top < HEIGHT ? top : HEIGHT;
              }
            }
          }
        }
      }
    }
  }
}

}  // namespace bx
