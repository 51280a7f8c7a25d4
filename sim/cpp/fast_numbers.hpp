// Kernels of the fast engine for numbers of more than one bit, and for joining and parting tensors.
//
// Plain loops with the channels innermost, which the compiler turns into vectors. See fast_kernels.hpp for how tensors lie.
#pragma once
#include "fast_kernels.hpp"

namespace bx {

// Levels: thresholds [copy][level][channel]; `falling` counts from the other end.
template <class S, class From, class Limit, class To>
void levels(const From* in, const Limit* thresholds, const std::int8_t* falling, To* out) {
  for (int p = 0; p < S::pixels; ++p)
    for (int r = 0; r < S::copies; ++r) {
      std::int32_t count[S::channels] = {};
      const Limit* row = thresholds + r * S::levels * S::channels;
      for (int l = 0; l < S::levels; ++l, row += S::channels)
        for (int c = 0; c < S::channels; ++c) count[c] += in[p * S::channels + c] >= row[c];
      for (int c = 0; c < S::channels; ++c) {
        const std::int32_t value = falling[r * S::channels + c] ? S::levels - count[c] : count[c];
        out[(p * S::copies + r) * S::channels + c] = static_cast<To>(S::offset + value);
      }
    }
}

// Maximum or sum over the taps of a window; taps outside the frame are `pad_value`, or left out if S::masked.
template <class S, class From, class To>
void window_pool(const From* in, To* out) {
  for (int oy = 0; oy < S::out_height; ++oy)
    for (int ox = 0; ox < S::out_width; ++ox) {
      To* to = out + (oy * S::out_width + ox) * S::channels;
      bool any = false;
      std::fill(to, to + S::channels, static_cast<To>(S::least));
      for (int ky = 0; ky < S::kernel_h; ++ky)
        for (int kx = 0; kx < S::kernel_w; ++kx) {
          const int y = oy * S::stride_h - S::top + ky * S::dilation_h;
          const int x = ox * S::stride_w - S::left + kx * S::dilation_w;
          const bool inside = y >= 0 && y < S::in_height && x >= 0 && x < S::in_width;
          if (!inside && S::masked) continue;
          const From* from = in + (inside ? (y * S::in_width + x) * S::channels : 0);
          for (int c = 0; c < S::channels; ++c) {
            const To value = static_cast<To>(inside ? std::int64_t(from[c]) : std::int64_t(S::pad_value));
            to[c] = !any ? value : S::sum ? static_cast<To>(to[c] + value) : std::max(to[c], value);
          }
          any = true;
        }
    }
}

// Channels of two tensors behind each other.
template <int PIXELS, int FIRST, int SECOND, class A, class B, class To>
void concat(const A* a, const B* b, To* out) {
  for (int p = 0; p < PIXELS; ++p, out += FIRST + SECOND) {
    for (int c = 0; c < FIRST; ++c) out[c] = static_cast<To>(a[p * FIRST + c]);
    for (int c = 0; c < SECOND; ++c) out[FIRST + c] = static_cast<To>(b[p * SECOND + c]);
  }
}

// Channels START .. START + COUNT - 1 of packed bits, set into channels PLACE and on of a cleared tensor.
template <int PIXELS, int CHANNELS, int START, int COUNT, int OUT, int PLACE>
void copy_bits(const u64* in, u64* out) {
  for (int p = 0; p < PIXELS; ++p)
    for (int c = 0; c < COUNT; c += 64) {
      const int count = std::min(64, COUNT - c);
      const u64 value = get_bits(in + p * ceil_div(CHANNELS, 64), START + c, count);
      or_bits(out + p * ceil_div(OUT, 64), PLACE + c, value);
    }
}

template <int COUNT>
void clear_bits(u64* out) {
  std::memset(out, 0, sizeof(u64) * COUNT);
}

template <int PIXELS, int CHANNELS, int START, int COUNT, class T>
void slice(const T* in, T* out) {
  for (int p = 0; p < PIXELS; ++p) std::memcpy(out + p * COUNT, in + p * CHANNELS + START, sizeof(T) * COUNT);
}

template <int COUNT, int GAIN_A, int GAIN_B, class A, class B, class To>
void add(const A* a, const B* b, To* out) {
  for (int i = 0; i < COUNT; ++i)
    out[i] = static_cast<To>(std::int64_t{GAIN_A} * a[i] + std::int64_t{GAIN_B} * b[i]);
}

template <int PIXELS, int CHANNELS, int GAIN, class From, class To>
void affine(const From* in, const std::int64_t* offsets, To* out) {
  for (int p = 0; p < PIXELS; ++p)
    for (int c = 0; c < CHANNELS; ++c)
      out[p * CHANNELS + c] = static_cast<To>(std::int64_t{GAIN} * in[p * CHANNELS + c] + offsets[c]);
}

}  // namespace bx
