// Kernels of the fast engine: one frame a call, all shapes compile-time constants.
//
// A bipolar tensor is packed: 64 channels of a pixel in a word, channel 0 in bit 0, bit 1 = +1; the spare bits of a
// pixel's last word are 0. Numbers lie as they are, row-major, channel innermost.
//
// A convolution keeps output channels in the lanes of a vector, so a word of the window is broadcast, compared with
// the words of 8 output channels at once, and nothing is ever added across lanes. It walks over the taps in place:
// padded taps of value 0 are left out. kPixels pixels and kBlocks blocks of 8 channels share their operands in
// registers. Weights: [bank][group][block][kernel row][tap][word][lane].
//
// A kernel's template parameter S is a struct of its sizes; the generated engine.cpp defines one a step.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__)
#define BX_AVX512 1
#include <immintrin.h>
#endif

namespace bx {

using u64 = std::uint64_t;

constexpr int ceil_div(int a, int b) { return (a + b - 1) / b; }
constexpr u64 low_bits(int n) { return n >= 64 ? ~u64{0} : (u64{1} << n) - 1; }

// -- 64 bytes of lanes, in the vectors that the processor has --------------------------------------------------------
#if defined(BX_AVX512)
constexpr int kNativeBytes = 64, kNumberPixels = 4, kNumberBlocks = 2;
#elif defined(__AVX2__)
constexpr int kNativeBytes = 32, kNumberPixels = 4, kNumberBlocks = 1;
#else
constexpr int kNativeBytes = 16, kNumberPixels = 2, kNumberBlocks = 1;
#endif
constexpr int kWordLanes = 8;  // output channels of a block of a convolution on bits
template <class T>
constexpr int kLanes = 64 / sizeof(T);

template <class T, int BYTES>
struct VectorOf {
  typedef T type __attribute__((vector_size(BYTES)));
};
template <class T>
using Native = typename VectorOf<T, kNativeBytes>::type;

#if defined(BX_AVX512)
template <class T>
struct Lanes {
  Native<T> v;

  static Lanes load(const T* p) {
    Lanes lanes;
    std::memcpy(&lanes.v, p, sizeof lanes.v);
    return lanes;
  }
  // += a ^ x
  void add_flipped(const T* a, T x) { v += load(a).v ^ x; }
  // += a * x
  void add_product(const T* a, T x) { v += load(a).v * x; }
  // n - 2 * this
  Lanes agreement(T n) const { return {n - 2 * v}; }
  // Bit l = (this[l] >= b[l]).
  u64 at_least(const T* b) const {
    const auto x = (__m512i)v, y = (__m512i)load(b).v;
    if constexpr (std::is_same_v<T, std::uint8_t>) return _mm512_cmpge_epu8_mask(x, y);
    else if constexpr (sizeof(T) == 1) return _mm512_cmpge_epi8_mask(x, y);
    else if constexpr (sizeof(T) == 2) return _mm512_cmpge_epi16_mask(x, y);
    else if constexpr (sizeof(T) == 4) return _mm512_cmpge_epi32_mask(x, y);
    else return _mm512_cmpge_epi64_mask(x, y);
  }
};
#else
template <class T>
struct Lanes {
  static constexpr int parts = 64 / kNativeBytes, each = kNativeBytes / sizeof(T);
  Native<T> v[parts];

  static Lanes load(const T* p) {
    Lanes lanes;
    std::memcpy(lanes.v, p, sizeof lanes.v);
    return lanes;
  }
  void add_flipped(const T* a, T x) {
    for (int i = 0; i < parts; ++i) {
      Native<T> other;
      std::memcpy(&other, a + i * each, sizeof other);
      v[i] += other ^ x;
    }
  }
  void add_product(const T* a, T x) {
    for (int i = 0; i < parts; ++i) {
      Native<T> other;
      std::memcpy(&other, a + i * each, sizeof other);
      v[i] += other * x;
    }
  }
  Lanes agreement(T n) const {
    Lanes lanes;
    for (int i = 0; i < parts; ++i) lanes.v[i] = n - 2 * v[i];
    return lanes;
  }
  u64 at_least(const T* b) const {
    using Bytes = typename VectorOf<std::int8_t, each>::type;
    const Lanes other = load(b);
    std::int8_t all[kLanes<T>];
    for (int i = 0; i < parts; ++i) {
      const Bytes bytes = __builtin_convertvector(v[i] >= other.v[i], Bytes);
      std::memcpy(all + i * each, &bytes, each);
    }
    u64 bits = 0;
    for (int i = 0; i < kLanes<T>; i += 8) {
      u64 eight;
      std::memcpy(&eight, all + i, 8);
      // the low bit of byte l moves to bit 56 + l
      bits |= ((eight & 0x0101010101010101u) * 0x0102040810204080u >> 56) << i;
    }
    return bits;
  }
};
#endif

template <class T, class To>
inline void store(const Lanes<T>& lanes, To* to, int count) {
  T values[kLanes<T>];
  std::memcpy(values, &lanes.v, sizeof values);
  for (int l = 0; l < count; ++l) to[l] = static_cast<To>(values[l]);
}

// Number of differing bits of one activation word against the words of 8 output channels, summed over a window.
#if defined(BX_AVX512) && defined(__AVX512VPOPCNTDQ__)
constexpr int kPixels = 4, kBlocks = 2;
struct Mismatches {
  Native<std::int64_t> n{};
  void count(Native<u64> differing) { n += (Native<std::int64_t>)_mm512_popcnt_epi64((__m512i)differing); }
  void add(const u64* w, u64 x) { count(Lanes<u64>::load(w).v ^ x); }
  void add(const u64* w, u64 x, u64 mask) { count((Lanes<u64>::load(w).v ^ x) & mask); }
  Lanes<std::int64_t> get() const { return {n}; }
};
#else
constexpr int kPixels = 1, kBlocks = 1;
struct Mismatches {
  std::int64_t n[kWordLanes] = {};
  void add(const u64* w, u64 x) {
    for (int l = 0; l < kWordLanes; ++l) n[l] += __builtin_popcountll(w[l] ^ x);
  }
  void add(const u64* w, u64 x, u64 mask) {
    for (int l = 0; l < kWordLanes; ++l) n[l] += __builtin_popcountll((w[l] ^ x) & mask);
  }
  Lanes<std::int64_t> get() const { return Lanes<std::int64_t>::load(n); }
};
#endif

// -- packed bits -----------------------------------------------------------------------------------------------------
// Set bits from `bit` on; `value` holds ones only where the tensor has channels.
inline void or_bits(u64* words, int bit, u64 value) {
  const int i = bit >> 6, s = bit & 63;
  words[i] |= value << s;
  if (s && value >> (64 - s)) words[i + 1] |= value >> (64 - s);
}

// `count` <= 64 bits from `bit` on.
inline u64 get_bits(const u64* words, int bit, int count) {
  const int i = bit >> 6, s = bit & 63;
  u64 value = words[i] >> s;
  if (s + count > 64) value |= words[i + 1] << (64 - s);
  return value & low_bits(count);
}

template <int PIXELS, int CHANNELS, class T>
void pack_signs(const T* in, u64* out) {
  constexpr int words = ceil_div(CHANNELS, 64);
  for (int p = 0; p < PIXELS; ++p)
    for (int i = 0; i < words; ++i) {
      const T* from = in + p * CHANNELS + 64 * i;
      u64 word = 0;
      if (sizeof(T) == 1 && 64 * i + 64 <= CHANNELS) {
        T ones[64];
        std::fill(ones, ones + 64, T{1});
        word = Lanes<T>::load(from).at_least(ones);
      } else {
        for (int c = 0; c < std::min(64, CHANNELS - 64 * i); ++c) word |= u64{from[c] > 0} << c;
      }
      out[p * words + i] = word;
    }
}

template <int PIXELS, int CHANNELS, class T>
void unpack_signs(const u64* in, T* out) {
  constexpr int words = ceil_div(CHANNELS, 64);
  for (int p = 0; p < PIXELS; ++p)
    for (int c = 0; c < CHANNELS; ++c) out[p * CHANNELS + c] = (in[p * words + (c >> 6)] >> (c & 63) & 1) ? 1 : -1;
}

template <int COUNT, class From, class To>
void convert(const From* in, To* out) {
  for (int i = 0; i < COUNT; ++i) out[i] = static_cast<To>(in[i]);
}

// The same channels in the same order with another number of them a pixel.
template <int ELEMENTS, int FROM, int TO>
void reshape_bits(const u64* in, u64* out) {
  std::memset(out, 0, sizeof(u64) * (ELEMENTS / TO) * ceil_div(TO, 64));
  for (int e = 0; e < ELEMENTS;) {
    const int count = std::min({64, FROM - e % FROM, TO - e % TO});
    const u64 value = get_bits(in + e / FROM * ceil_div(FROM, 64), e % FROM, count);
    or_bits(out + e / TO * ceil_div(TO, 64), e % TO, value);
    e += count;
  }
}

// -- what a convolution reads ----------------------------------------------------------------------------------------
// A border (of bits 0 = -1, or of a number) around a frame; S::items words or numbers a pixel.
template <class S, class From, class To>
void pad(const From* in, To* out) {
  std::fill(out, out + S::out_height * S::out_width * S::items, static_cast<To>(S::border));
  for (int y = 0; y < S::in_height; ++y)
    for (int i = 0; i < S::in_width * S::items; ++i)
      out[((y + S::top) * S::out_width + S::left) * S::items + i] =
          static_cast<To>(in[y * S::in_width * S::items + i]);
}

// The taps of a kernel row side by side without gaps, [group][row][output column][word]: for groups whose channels
// do not fill words. Taps in the padding are 0.
template <class S>
void gather_taps(const u64* in, u64* out) {
  constexpr int pixel = ceil_div(S::groups * S::tap_bits, 64);
  std::memset(out, 0, sizeof(u64) * S::groups * S::out_height * S::out_width * S::words);
  for (int g = 0; g < S::groups; ++g)
    for (int y = 0; y < S::in_height; ++y)
      for (int ox = 0; ox < S::out_width; ++ox) {
        u64* to = out + ((g * S::out_height + y + S::top) * S::out_width + ox) * S::words;
        for (int k = 0; k < S::kernel_w; ++k) {
          const int x = ox * S::stride_w - S::left + k * S::dilation_w;
          if (x < 0 || x >= S::in_width) continue;
          const u64* from = in + (y * S::in_width + x) * pixel;
          for (int c = 0; c < S::tap_bits; c += 64) {
            const int count = std::min(64, S::tap_bits - c);
            or_bits(to, k * S::tap_bits + c, get_bits(from, g * S::tap_bits + c, count));
          }
        }
      }
}

// The window as a tensor, for the few readers that are no MatVec. `get(pixel, channel)` reads, `put(index, value)`
// writes, value 0 or S::pad_value on padding.
template <class S, class Get, class Put>
void window(Get get, Put put) {
  int index = 0;
  for (int oy = 0; oy < S::out_height; ++oy)
    for (int ox = 0; ox < S::out_width; ++ox)
      for (int g = 0; g < S::groups; ++g)
        for (int ky = 0; ky < S::kernel_h; ++ky)
          for (int kx = 0; kx < S::kernel_w; ++kx) {
            const int y = oy * S::stride_h - S::top + ky * S::dilation_h;
            const int x = ox * S::stride_w - S::left + kx * S::dilation_w;
            const bool inside = y >= 0 && y < S::in_height && x >= 0 && x < S::in_width;
            for (int c = 0; c < S::tap; ++c, ++index)
              put(index, inside ? get(y * S::in_width + x, g * S::tap + c) : S::pad_value);
          }
}

template <class S, class T>
void window_numbers(const T* in, T* out) {
  window<S>([&](int p, int c) { return in[p * S::groups * S::tap + c]; }, [&](int i, T v) { out[i] = v; });
}

template <class S>
void window_bits(const u64* in, std::int8_t* out) {
  constexpr int words = ceil_div(S::groups * S::tap, 64);
  window<S>([&](int p, int c) { return (in[p * words + (c >> 6)] >> (c & 63) & 1) ? 1 : -1; },
            [&](int i, int v) { out[i] = static_cast<std::int8_t>(v); });
}

// -- accumulators to their readers -----------------------------------------------------------------------------------
// One block of accumulators of one pixel: stored if `acc` is given, compared with S::copies thresholds a channel.
// Thresholds: [copy][group][block][lane]; negate: [copy][group][block], one bit a lane.
template <class S, class Acc, class T>
inline void finish(const Lanes<T>& value, int pixel, int g, int block, Acc* acc, const T* thresholds, const u64* negate,
                   u64* bits) {
  constexpr int lanes = kLanes<T>, blocks = ceil_div(S::rows, lanes), channels = S::groups * S::rows;
  const int count = std::min(lanes, S::rows - block * lanes), channel = g * S::rows + block * lanes;
  if (acc) {
    Acc* to = acc + pixel * channels + channel;
    if (S::rows % lanes == 0) store(value, to, lanes);
    else store(value, to, count);
  }
  for (int r = 0; r < S::copies; ++r) {
    const int i = (r * S::groups + g) * blocks + block;
    const u64 plus = (value.at_least(thresholds + i * lanes) ^ negate[i]) & low_bits(count);
    or_bits(bits + pixel * ceil_div(S::copies * channels, 64), r * channels + channel, plus);
  }
}

// finish() sets bits only.
template <class S>
inline void clear_signs(u64* bits) {
  constexpr int words = ceil_div(S::copies * S::groups * S::rows, 64);
  if (S::copies) std::memset(bits, 0, sizeof(u64) * S::out_height * S::out_width * words);
}

struct Range {
  int first, last;  // taps first .. last-1 lie inside the frame
};

// Taps of a window that starts at `start` (maybe negative) in a frame of `size`.
inline Range inside(int start, int taps, int dilation, int size) {
  const int first = start < 0 ? ceil_div(-start, dilation) : 0;
  const int last = start >= size ? 0 : std::min(taps, ceil_div(size - start, dilation));
  return {first, std::max(first, last)};
}

// -- bits times signs ------------------------------------------------------------------------------------------------
template <class S, int P, int Q, bool MASKED>
inline void bit_block(const u64* x, const u64* w, const u64* mask, int rows, int taps,
                      Lanes<std::int64_t> (&sums)[P][Q]) {
  constexpr int row = S::taps * S::words * kWordLanes, block = S::kernel_h * row;
  Mismatches n[P][Q];
  for (int ky = 0; ky < rows; ++ky)
    for (int k = 0; k < taps; ++k)
      for (int i = 0; i < S::words; ++i) {
        const u64* from = x + ky * S::row_step + k * S::tap_step + i;
        const u64* weight = w + ky * row + (k * S::words + i) * kWordLanes;
        for (int p = 0; p < P; ++p)
          for (int q = 0; q < Q; ++q)
            if constexpr (MASKED) n[p][q].add(weight + q * block, from[p * S::pixel_step], mask[i]);
            else n[p][q].add(weight + q * block, from[p * S::pixel_step]);
      }
  for (int p = 0; p < P; ++p)
    for (int q = 0; q < Q; ++q) sums[p][q] = n[p][q].get();
}

// S::gathered: `x` comes from gather_taps, so a kernel row is one tap; S::masked: it has taps in the padding, and
// `masks` says for every output column which bits count.
template <class S, class Acc>
void bit_conv(const u64* x, const u64* weights, const u64* masks, const std::int64_t* thresholds, const u64* negate,
              Acc* acc, u64* bits) {
  constexpr int blocks = ceil_div(S::rows, kWordLanes), tap = S::words * kWordLanes, row = S::taps * tap;
  clear_signs<S>(bits);
  auto run = [&](auto pixels, auto width, auto masked, int g, int block, int oy, int ox) {
    constexpr int P = decltype(pixels)::value, Q = decltype(width)::value;
    const int y = oy * S::stride_h - S::top, x0 = ox * S::stride_w - S::left;
    const Range rows = inside(y, S::kernel_h, S::dilation_h, S::in_height);
    const Range columns = inside(x0, S::kernel_w, S::dilation_w, S::in_width);
    const Range taps = S::gathered ? Range{0, 1} : columns;
    const int column = S::gathered ? ox * S::pixel_step : x0 * S::column_step + taps.first * S::tap_step;
    const int from = g * S::group_step + y * S::line_step + rows.first * S::row_step + column;
    const u64* w = weights + (g * blocks + block) * S::kernel_h * row + rows.first * row + taps.first * tap;
    Lanes<std::int64_t> sums[P][Q];
    bit_block<S, P, Q, decltype(masked)::value>(x + from, w, masks + (S::masked ? ox * S::words : 0),
                                                rows.last - rows.first, taps.last - taps.first, sums);
    const std::int64_t n = std::int64_t{S::tap_bits} * (rows.last - rows.first) * (columns.last - columns.first);
    for (int p = 0; p < P; ++p)
      for (int q = 0; q < Q; ++q)
        finish<S, Acc, std::int64_t>(sums[p][q].agreement(n), oy * S::out_width + ox + p, g, block + q, acc, thresholds,
                                     negate, bits);
  };
  auto image = [&](auto width, int g, int block) {
    using One = std::integral_constant<int, 1>;
    constexpr std::integral_constant<bool, (S::masked != 0)> masked{};
    constexpr int whole = S::inner_first + (S::inner_last - S::inner_first) / kPixels * kPixels;
    for (int oy = 0; oy < S::out_height; ++oy) {
      for (int ox = 0; ox < S::inner_first; ++ox) run(One{}, width, masked, g, block, oy, ox);
      for (int ox = S::inner_first; ox < whole; ox += kPixels)
        run(std::integral_constant<int, kPixels>{}, width, std::false_type{}, g, block, oy, ox);
      for (int ox = whole; ox < S::inner_last; ++ox) run(One{}, width, std::false_type{}, g, block, oy, ox);
      for (int ox = S::inner_last; ox < S::out_width; ++ox) run(One{}, width, masked, g, block, oy, ox);
    }
  };
  for (int g = 0; g < S::groups; ++g) {
    int block = 0;
    if constexpr (blocks >= kBlocks)
      for (; block + kBlocks <= blocks; block += kBlocks) image(std::integral_constant<int, kBlocks>{}, g, block);
    for (; block < blocks; ++block) image(std::integral_constant<int, 1>{}, g, block);
  }
}

// -- numbers times signs, or times numbers (S::products) -------------------------------------------------------------
// A weight is a mask, -1 for -1 and 0 for +1: x ^ mask is x or -x - 1, and `negatives` adds the ones back.
// A is a type that holds every partial sum. Weights: [bank][group][block][tap element][lane].
template <class S, class A, class Acc, int P, int Q>
inline void number_block(const A* x, const A* w, const A* negatives, int pixel, int g, int block, Acc* acc,
                         const A* thresholds, const u64* negate, u64* bits) {
  constexpr int lanes = kLanes<A>, depth = S::kernel_h * S::kernel_w * S::tap;
  Lanes<A> sums[P][Q];
  for (int p = 0; p < P; ++p)
    for (int q = 0; q < Q; ++q) sums[p][q] = Lanes<A>::load(negatives + q * lanes);
  const A* weight = w;
  for (int ky = 0; ky < S::kernel_h; ++ky)
    for (int kx = 0; kx < S::kernel_w; ++kx)
      for (int c = 0; c < S::tap; ++c, weight += lanes) {
        const A* from = x + (ky * S::dilation_h * S::in_width + kx * S::dilation_w) * S::channels + c;
        for (int p = 0; p < P; ++p)
          for (int q = 0; q < Q; ++q)
            if constexpr (S::products) sums[p][q].add_product(weight + q * depth * lanes, from[p * S::stride_w * S::channels]);
            else sums[p][q].add_flipped(weight + q * depth * lanes, from[p * S::stride_w * S::channels]);
      }
  for (int p = 0; p < P; ++p)
    for (int q = 0; q < Q; ++q)
      finish<S, Acc, A>(sums[p][q], pixel + p, g, block + q, acc, thresholds, negate, bits);
}

template <class S, class A, class Acc>
void number_conv(const A* x, const A* weights, const A* negatives, const A* thresholds, const u64* negate, Acc* acc,
                 u64* bits) {
  constexpr int lanes = kLanes<A>, blocks = ceil_div(S::rows, lanes), depth = S::kernel_h * S::kernel_w * S::tap;
  constexpr int whole = S::out_width / kNumberPixels * kNumberPixels;
  clear_signs<S>(bits);
  auto image = [&](auto width, int g, int block) {
    constexpr int Q = decltype(width)::value;
    const A* w = weights + (g * blocks + block) * depth * lanes;
    const A* minus = negatives + (g * blocks + block) * lanes;
    for (int oy = 0; oy < S::out_height; ++oy) {
      const A* line = x + oy * S::stride_h * S::in_width * S::channels + g * S::tap;
      auto run = [&](auto pixels, int ox) {
        number_block<S, A, Acc, decltype(pixels)::value, Q>(line + ox * S::stride_w * S::channels, w, minus,
                                                            oy * S::out_width + ox, g, block, acc, thresholds, negate,
                                                            bits);
      };
      for (int ox = 0; ox < whole; ox += kNumberPixels) run(std::integral_constant<int, kNumberPixels>{}, ox);
      for (int ox = whole; ox < S::out_width; ++ox) run(std::integral_constant<int, 1>{}, ox);
    }
  };
  for (int g = 0; g < S::groups; ++g) {
    int block = 0;
    if constexpr (blocks >= kNumberBlocks)
      for (; block + kNumberBlocks <= blocks; block += kNumberBlocks)
        image(std::integral_constant<int, kNumberBlocks>{}, g, block);
    for (; block < blocks; ++block) image(std::integral_constant<int, 1>{}, g, block);
  }
}

// -- the other operators ---------------------------------------------------------------------------------------------
// Thresholds: [copy][block][lane], in the input's own type.
template <class S, class T>
void threshold(const T* in, const T* thresholds, const u64* negate, u64* out) {
  constexpr int lanes = kLanes<T>, blocks = ceil_div(S::channels, lanes);
  constexpr int words = ceil_div(S::copies * S::channels, 64);
  std::memset(out, 0, sizeof(u64) * S::pixels * words);
  for (int p = 0; p < S::pixels; ++p)
    for (int b = 0; b < blocks; ++b) {
      const auto value = Lanes<T>::load(in + p * S::channels + b * lanes);
      const u64 valid = low_bits(std::min(lanes, S::channels - b * lanes));
      for (int r = 0; r < S::copies; ++r) {
        const int i = r * blocks + b;
        const u64 plus = (value.at_least(thresholds + i * lanes) ^ negate[i]) & valid;
        or_bits(out + p * words, r * S::channels + b * lanes, plus);
      }
    }
}

// `items` words (maximum of signs = OR) or numbers a pixel; the kernel is also the stride.
template <class S, class From, class To, class Combine>
void pool(const From* in, To* out, Combine combine) {
  for (int oy = 0; oy < S::out_height; ++oy)
    for (int ox = 0; ox < S::out_width; ++ox) {
      To* to = out + (oy * S::out_width + ox) * S::items;
      for (int ky = 0; ky < S::kernel_h; ++ky)
        for (int kx = 0; kx < S::kernel_w; ++kx) {
          const int pixel = (oy * S::kernel_h + ky) * S::in_width + ox * S::kernel_w + kx;
          for (int i = 0; i < S::items; ++i) {
            const To value = static_cast<To>(in[pixel * S::items + i]);
            to[i] = ky + kx ? combine(to[i], value) : value;
          }
        }
    }
}

struct Or {
  u64 operator()(u64 a, u64 b) const { return a | b; }
};
struct Max {
  template <class T>
  T operator()(T a, T b) const { return std::max(a, b); }
};
struct Sum {
  template <class T>
  T operator()(T a, T b) const { return static_cast<T>(a + b); }
};

// The lowest index with the largest weights . sums + bias.
template <class S>
std::int64_t best_expert(const std::int64_t* sums, const std::int64_t* weights, const std::int64_t* bias) {
  int best = 0;
  std::int64_t largest = 0;
  for (int e = 0; e < S::experts; ++e) {
    std::int64_t z = bias[e];
    for (int c = 0; c < S::channels; ++c) z += weights[e * S::channels + c] * sums[c];
    if (e == 0 || z > largest) best = e, largest = z;
  }
  return best;
}

// Sums of 64 channels at once: plane k holds bit k of 64 counters.
template <class S, class T>
void gate_bits(const u64* in, const std::int64_t* weights, const std::int64_t* bias, T* token) {
  constexpr int words = ceil_div(S::channels, 64);
  std::int64_t sums[S::channels];
  for (int i = 0; i < words; ++i) {
    u64 planes[32] = {};
    for (int p = 0; p < S::pixels; ++p) {
      u64 carry = in[p * words + i];
      for (int k = 0; carry; ++k) {
        const u64 next = planes[k] & carry;
        planes[k] ^= carry;
        carry = next;
      }
    }
    for (int c = 64 * i; c < std::min(64 * i + 64, S::channels); ++c) {
      std::int64_t ones = 0;
      for (int k = 0; k < 31 && (S::pixels >> k); ++k) ones += std::int64_t(planes[k] >> (c & 63) & 1) << k;
      sums[c] = 2 * ones - S::pixels;
    }
  }
  *token = static_cast<T>(best_expert<S>(sums, weights, bias));
}

template <class S, class From, class T>
void gate_numbers(const From* in, const std::int64_t* weights, const std::int64_t* bias, T* token) {
  std::int64_t sums[S::channels] = {};
  for (int p = 0; p < S::pixels; ++p)
    for (int c = 0; c < S::channels; ++c) sums[c] += in[p * S::channels + c];
  *token = static_cast<T>(best_expert<S>(sums, weights, bias));
}

// Largest first, of equal ones the lowest index.
template <int ELEMENTS, int K, class From, class T>
void top_k(const From* in, T* out) {
  bool taken[ELEMENTS] = {};
  for (int k = 0; k < K; ++k) {
    int best = -1;
    for (int i = 0; i < ELEMENTS; ++i)
      if (!taken[i] && (best < 0 || in[i] > in[best])) best = i;
    taken[best] = true;
    out[k] = static_cast<T>(best);
  }
}

}  // namespace bx
