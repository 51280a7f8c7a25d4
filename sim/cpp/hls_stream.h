// A stream for C-simulation: unbounded, in order. With BX_RECORD set in the environment, every word written to a
// named stream of ap_uint is appended to <BX_RECORD>/<name>.bin, low byte first.
#pragma once
#include <ap_int.h>

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <string>

namespace hls {

template <typename T>
struct recorder {
  static void put(FILE*, const T&) {}
  static constexpr bool kWanted = false;
};

template <int W>
struct recorder<ap_uint<W>> {
  static constexpr bool kWanted = true;
  static void put(FILE* file, const ap_uint<W>& word) {
    if (W <= 64) {
      const unsigned long long value = word.to_uint64();
      std::fwrite(&value, 1, (W + 7) / 8, file);
      return;
    }
    for (int i = 0; i < W; i += 8) {
      const int high = i + 7 < W ? i + 7 : W - 1;
      std::fputc(static_cast<int>(word.range(high, i)), file);
    }
  }
};

template <typename T>
class stream {
 public:
  stream() = default;
  explicit stream(const char* name) {
    const char* folder = std::getenv("BX_RECORD");
    if (folder && recorder<T>::kWanted) file_ = std::fopen((std::string(folder) + "/" + name + ".bin").c_str(), "wb");
  }
  stream(const stream&) = delete;
  stream& operator=(const stream&) = delete;
  ~stream() {
    if (file_) std::fclose(file_);
  }

  void write(const T& word) {
    if (file_) recorder<T>::put(file_, word);
    words_.push_back(word);
  }
  T read() {
    if (words_.empty()) {
      std::fprintf(stderr, "a stream was read while empty: the cells disagree on the beats of a frame\n");
      std::exit(5);
    }
    T word = words_.front();
    words_.pop_front();
    return word;
  }
  void read(T& word) { word = read(); }
  bool empty() const { return words_.empty(); }
  std::size_t size() const { return words_.size(); }
  stream& operator<<(const T& word) {
    write(word);
    return *this;
  }
  stream& operator>>(T& word) {
    word = read();
    return *this;
  }

 private:
  std::deque<T> words_;
  FILE* file_ = nullptr;
};

}  // namespace hls
