// Functions that Vitis HLS would refuse or make slow: a comment names the rule that each breaks, where it breaks it.
#pragma once
#include <ap_int.h>
#include <hls_stream.h>
#include <vector>  // breaks: library
#ifndef __SYNTHESIS__
#include <cstdio>
#endif

namespace broken {

int counter = 0;  // breaks: static state
int twice(int x);
int (*const chosen)(int) = &twice;  // breaks: function pointer

inline int allocates() {
  int* place = new int(1);  // breaks: dynamic memory
  const int value = *place;
  delete place;  // breaks: dynamic memory
  return value;
}

inline int* allocates_in_c() { return static_cast<int*>(malloc(4)); }  // breaks: dynamic memory

inline int of_any_size(int n) {
  int line[n];  // breaks: dynamic memory
  line[0] = n;
  return line[0];
}

inline int calls_itself(int n) {
  return n < 2 ? 1 : n * calls_itself(n - 1);  // breaks: recursion
}

int odd(int n);
inline int even(int n) {
  return n == 0 ? 1 : odd(n - 1);  // breaks: recursion
}
inline int odd(int n) { return n == 0 ? 0 : even(n - 1); }

template <int N>
int endless(int x) {
  return x == 0 ? N : endless<N>(x - 1);  // breaks: recursion
}

constexpr int bits(int n) { return n < 2 ? 1 : 1 + bits(n / 2); }
inline int at_run_time(int n) {
  return bits(n);  // breaks: recursion
}

struct Shape {
  virtual int area() const { return 0; }  // breaks: virtual
};

inline int throws(int n) {
  if (n < 0) throw n;  // breaks: exception
  return n;
}

inline int catches(int n) {
  try {  // breaks: exception
    return throws(n);
  } catch (...) {
    return 0;
  }
}

inline bool asks_for_its_type(const Shape& shape) {
  return typeid(shape) == typeid(Shape);  // breaks: run-time type  // breaks: library
}

struct Square : Shape {};
inline bool casts(Shape* shape) {
  return dynamic_cast<Square*>(shape) != nullptr;  // breaks: run-time type
}

inline int contains(const std::vector<int>& values) {  // breaks: library
  return values.empty();  // breaks: library
}

inline int counts_bits(unsigned x) {
  return __builtin_popcount(x);  // breaks: library
}

inline int calls(int (*function)(int)) {  // breaks: function pointer
  return function(1);
}

inline int jumps(int n) {
  if (n > 3) goto end;  // breaks: goto
  ++n;
end:
  return n;
}

inline int remembers() {
  static int calls_so_far = 0;  // breaks: static state
  return ++calls_so_far;
}

template <int N>
void to_no_constant(hls::stream<ap_uint<8>>& out, int n) {
  for (int i = 0; i < n; ++i) {  // breaks: loop bound
#pragma HLS PIPELINE II = 1
    out.write(i);
  }
  for (int i = n; i < N; ++i) {  // breaks: loop bound
#pragma HLS PIPELINE II = 1
    out.write(i);
  }
  for (int i = 1; i < N; i *= 2) {  // breaks: loop bound
#pragma HLS PIPELINE II = 1
    out.write(i);
  }
  for (int i = 0; i < N; i += n) {  // breaks: loop bound
#pragma HLS PIPELINE II = 1
    out.write(i);
  }
  for (int i = 0; i < N; ++i) {  // breaks: loop bound
#pragma HLS PIPELINE II = 1
    out.write(i);
    if (i == n) i = N;
  }
  while (n > 0) {  // breaks: loop bound
#pragma HLS PIPELINE II = 1
    out.write(n--);
  }
}

template <int N>
void not_pipelined(hls::stream<ap_uint<8>>& in, hls::stream<ap_uint<8>>& out) {
  for (int i = 0; i < N; ++i) {  // breaks: pipeline
    out.write(in.read());
  }
}

template <int N>
void every_second_cycle(hls::stream<ap_uint<8>>& in, hls::stream<ap_uint<8>>& out) {
  for (int i = 0; i < N; ++i) {  // breaks: pipeline
#pragma HLS PIPELINE II = 2
    out.write(in.read());
  }
}

template <int N>
void late(hls::stream<ap_uint<8>>& in, hls::stream<ap_uint<8>>& out) {
  for (int i = 0; i < N; ++i) {  // breaks: pipeline
    const ap_uint<8> beat = in.read();
#pragma HLS PIPELINE II = 1
    out.write(beat);
  }
}

template <int N>
void drains(hls::stream<ap_uint<8>>& in, hls::stream<ap_uint<16>>& out) {
  for (int i = 0; i < N; ++i) {  // breaks: pipeline
    ap_uint<16> sum = 0;
    for (int j = 0; j < N; ++j) {
#pragma HLS PIPELINE II = 1
      sum += in.read();
    }
    out.write(sum);
  }
}

template <int N>
void inner_loop(hls::stream<ap_uint<N>>& in, hls::stream<ap_uint<16>>& out) {
  for (int i = 0; i < N; ++i) {
#pragma HLS PIPELINE II = 1
    const ap_uint<N> beat = in.read();
    ap_uint<16> sum = 0;
    for (int j = 0; j < N; ++j) {  // breaks: pipeline
      sum += beat[j];
    }
    out.write(sum);
  }
}

template <int N>
void unrolled_in_part(ap_uint<N>& word) {
  for (int j = 0; j < N; ++j) {  // breaks: pipeline
#pragma HLS UNROLL factor = 2
    word[j] = 0;
  }
}

inline int apart(int x) { return 3 * x; }  // breaks: pipeline
template <int N>
void calls_apart(hls::stream<ap_uint<8>>& out) {
  for (int i = 0; i < N; ++i) {
#pragma HLS PIPELINE II = 1
    out.write(apart(i));
  }
}

template <int N>
void two_at_once(hls::stream<ap_uint<8>>& in, hls::stream<ap_uint<8>>& out) {
  for (int i = 0; i < N; ++i) {  // breaks: pipeline
#pragma HLS PIPELINE II = 1
    out.write(in.read() + in.read());
  }
}

template <int N>
void pragmas(hls::stream<ap_uint<8>>& in, hls::stream<ap_uint<8>>& out) {
#pragma HLS ARRAY_PARTITON variable = line complete  // breaks: pragma
#pragma HLS ARRAY_PARTITION variable = line complete  // breaks: pragma
  ap_uint<8> line[N], word = 0;
#pragma HLS ARRAY_PARTITION variable = lines complete  // breaks: pragma
#pragma HLS ARRAY_RESHAPE variable = word complete  // breaks: pragma
#pragma HLS ARRAY_RESHAPE variable = line cyclic factor = LANES  // breaks: pragma
#pragma HLS BIND_STORAGE variable = line implementation = bram type = ram_2p  // breaks: pragma
#pragma HLS BIND_STORAGE variable = line impl = bram  // breaks: pragma
#pragma HLS STREAM variable = line depth = 2  // breaks: pragma
#pragma HLS PIPELINE II = 1  // breaks: pragma
  for (int i = 0; i < N; ++i) {
#pragma HLS PIPELINE II = 1
#pragma HLS INLINE  // breaks: pragma
    line[i] = in.read();
    out.write(line[i] + word);
  }
}

template <int N>
void copy(hls::stream<ap_uint<N>>& in, hls::stream<ap_uint<N>>& out) {
  out.write(in.read());
}

template <int N>
void region(hls::stream<ap_uint<N>>& in, hls::stream<ap_uint<N>>& out, int n) {  // breaks: dataflow
#pragma HLS DATAFLOW
  hls::stream<ap_uint<N>> shallow;  // breaks: stream depth
  hls::stream<ap_uint<N>> read_twice;  // breaks: dataflow
#pragma HLS STREAM variable = read_twice depth = 2
  hls::stream<ap_uint<N>> written_twice;  // breaks: dataflow
#pragma HLS STREAM variable = written_twice depth = 2
  hls::stream<ap_uint<N>> dangling;  // breaks: dataflow
#pragma HLS STREAM variable = dangling depth = 2
  ap_uint<N> shared[4];  // breaks: dataflow
  copy<N>(in, shallow);
  copy<N>(shallow, read_twice);
  copy<N>(read_twice, written_twice);
  copy<N>(read_twice, written_twice);
  copy<N>(written_twice, dangling);
  if (n == 0) copy<N>(in, out);  // breaks: dataflow
}

}  // namespace broken
