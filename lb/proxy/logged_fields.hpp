// Headers for the access log (`log.fields`): those of the request are found at its end, those of the backend's answer
// are copied when it comes, for its head is gone then.
#pragma once
#include <array>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "lb/base/access_log.hpp"
#include "lb/net/http1.hpp"

namespace weir::proxy {

/// The fields of one answer; nothing is allocated once it has held the largest.
struct LoggedFields {
  uint64_t log = 0;  // AccessLog::serial() of the one that wanted them
  size_t count = 0;
  std::array<uint16_t, kMostLogHeaders> lengths;
  std::string text;

  void take(const AccessLog& for_log, const http1::Head& answer);
};

/// A worker's memory for values that have several lines.
class LogHeaders {
 public:
  /// The values of `log`'s header fields, in `values`. `answer`: of this request's answer, or null. Valid until the
  /// next call.
  std::span<const std::string_view> find(const AccessLog& log, const http1::Head& request, const LoggedFields* answer,
                                         std::array<std::string_view, kMostLogHeaders>& values);

 private:
  std::string joined_;
};

}  // namespace weir::proxy
