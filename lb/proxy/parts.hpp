// A message as it goes out: its pieces for one send.
#pragma once
#include <sys/uio.h>

#include <cstring>
#include <string_view>

#include "lb/proxy/head_writer.hpp"
#include "lb/proxy/worker.hpp"

namespace weir::proxy {

inline iovec part(std::string_view text) { return {const_cast<char*>(text.data()), text.size()}; }

/// Up to four parts: head, size line, data, end.
class Parts {
 public:
  static constexpr size_t kCopyBelow = 16 << 10;  // a body so small is copied behind its head: one send of one piece
  static constexpr std::string_view kCrlf = "\r\n", kLastChunk = "0\r\n\r\n", kCrlfLastChunk = "\r\n0\r\n\r\n";

  void add(std::string_view text) {
    if (!text.empty()) parts_[count_++] = part(text);
  }
  void add_body(std::string_view data, bool complete, bool chunked) {
    if (!chunked) return add(data);
    if (data.empty()) {
      if (complete) add(kLastChunk);
      return;
    }
    HeadWriter line(line_, sizeof line_);
    line.hex(data.size());
    line.add(kCrlf);
    add(line.view());
    add(data);
    add(complete ? kCrlfLastChunk : kCrlf);
  }
  const iovec* data() const { return parts_; }
  int count() const { return count_; }
  size_t bytes() const {
    size_t sum = 0;
    for (int i = 0; i < count_; ++i) sum += parts_[i].iov_len;
    return sum;
  }
  /// Puts everything behind `head`, which stands at the start of `scratch`, if it is little.
  void join(char* scratch, std::string_view head) {
    if (count_ < 2 || bytes() - head.size() > kCopyBelow || head.size() > Worker::kSendScratch - kCopyBelow) return;
    char* at = scratch + head.size();
    for (int i = 1; i < count_; ++i) {
      std::memcpy(at, parts_[i].iov_base, parts_[i].iov_len);
      at += parts_[i].iov_len;
    }
    parts_[0] = {scratch, static_cast<size_t>(at - scratch)};
    count_ = 1;
  }

 private:
  iovec parts_[4];
  int count_ = 0;
  char line_[20];
};

}  // namespace weir::proxy
