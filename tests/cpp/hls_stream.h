// A stream of limited depth between threads: a write to a full stream waits, as in hardware.
#pragma once
#include <ap_int.h>

#include <condition_variable>
#include <deque>
#include <mutex>

namespace hls {

template <typename T>
class stream {
 public:
  std::size_t depth = 1 << 30;

  stream() = default;
  explicit stream(const char*) {}

  void write(const T& word) {
    std::unique_lock<std::mutex> lock(mutex_);
    moved_.wait(lock, [this] { return words_.size() < depth; });
    words_.push_back(word);
    moved_.notify_all();
  }
  T read() {
    std::unique_lock<std::mutex> lock(mutex_);
    moved_.wait(lock, [this] { return !words_.empty(); });
    T word = words_.front();
    words_.pop_front();
    moved_.notify_all();
    return word;
  }
  bool empty() {
    std::lock_guard<std::mutex> lock(mutex_);
    return words_.empty();
  }

 private:
  std::deque<T> words_;
  std::mutex mutex_;
  std::condition_variable moved_;
};

}  // namespace hls
