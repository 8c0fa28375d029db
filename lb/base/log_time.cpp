#include "lb/base/log_time.hpp"

#include <ctime>

#include <fmt/format.h>

namespace weir {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

/// Most lines of a log fall into the same second as the one before: the calendar is worked out once a second.
struct Cache {
  int64_t second = -1;
  std::string rfc3339, clf;
};

const Cache& calendar(int64_t second) {
  thread_local Cache cache;
  if (cache.second == second) return cache;
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto time = static_cast<time_t>(second);
  tm utc{};
  gmtime_r(&time, &utc);
  cache.rfc3339 = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                              utc.tm_hour, utc.tm_min, utc.tm_sec);
  cache.clf = fmt::format("{:02}/{}/{:04}:{:02}:{:02}:{:02} +0000", utc.tm_mday, kMonths[utc.tm_mon],
                          utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
  cache.second = second;
  return cache;
}

}  // namespace

void append_rfc3339(int64_t wall_ns, std::string& out) {
  if (wall_ns < 0) wall_ns = 0;
  out += calendar(wall_ns / kSecond).rfc3339;
  const auto ms = static_cast<int>(wall_ns % kSecond / 1'000'000);
  const char digits[4] = {static_cast<char>('0' + ms / 100), static_cast<char>('0' + ms / 10 % 10),
                          static_cast<char>('0' + ms % 10), 'Z'};
  out.append(digits, 4);
}

void append_clf_time(int64_t wall_ns, std::string& out) {
  if (wall_ns < 0) wall_ns = 0;
  out += calendar(wall_ns / kSecond).clf;
}

}  // namespace weir
