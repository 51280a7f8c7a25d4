// What every cell includes: ap_uint, hls::stream and small helpers.
#pragma once
#include <ap_int.h>
#include <hls_stream.h>

namespace bx {

// Bits needed to hold 0..n.
constexpr int bits_for(unsigned long long n) { return n < 2 ? 1 : 1 + bits_for(n / 2); }

}  // namespace bx
