// What every cell includes: ap_uint, hls::stream and small helpers.
#pragma once
#ifndef AP_INT_MAX_W
#define AP_INT_MAX_W 4096  // widest beat; the headers' own limit is 1024, that of Vitis HLS 4096
#endif
#include <ap_int.h>
#include <hls_stream.h>

namespace bx {

// Bits needed to hold 0..n.
constexpr int bits_for(unsigned long long n) { return n < 2 ? 1 : 1 + bits_for(n / 2); }

}  // namespace bx
