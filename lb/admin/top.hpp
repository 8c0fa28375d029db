// What `weir top` shows, without a terminal: two samples of the API in, lines out.
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "lb/admin/latency.hpp"

namespace weir::admin {

struct TopBackend {
  std::string name, status, reason;
  uint64_t since_seconds = 0;  // how long it has been in its status
  double weight = 0;
  bool backup = false;
  uint64_t inflight = 0, connections = 0;
  uint64_t requests = 0, failures = 0, server_errors = 0;  // since the start
  Latency latency;                                         // since the start
};

struct TopPool {
  std::string name, algorithm;
  uint64_t inflight = 0, waiting = 0, retrying = 0;
  std::vector<TopBackend> backends;
};

struct TopSample {
  std::chrono::steady_clock::time_point at{};
  std::string version, file, state;  // "ready", "not ready", "ending"
  uint64_t pid = 0, generation = 0, uptime_seconds = 0, connections = 0, requests = 0, memory_bytes = 0;
  std::vector<TopPool> pools;
};

/// The answers of /api/v1/status and /api/v1/pools; `now_seconds`: since the epoch. Throws std::exception on anything
/// else.
TopSample parse_top(std::string_view status, std::string_view pools, std::chrono::steady_clock::time_point at,
                    int64_t now_seconds);

enum class TopOrder : uint8_t { file, requests, inflight, p99, failures };
inline constexpr size_t kTopOrders = 5;

struct TopView {
  size_t width = 0, height = 0;  // 0: as much as there is
  size_t scroll = 0;             // lines of the table above the first one shown; corrected when it is too much
  TopOrder order = TopOrder::file;
  bool colours = false, keys = false;  // `keys`: say which there are
  std::string trouble;                 // why `now` is old; empty: it isn't
  std::deque<double> history;          // requests a second, the newest last
};

/// Requests a second between two samples of the same process; 0 if they are not.
double request_rate(const TopSample& before, const TopSample& now);

/// The picture, at most view.height lines of at most view.width characters.
std::vector<std::string> top_lines(const TopSample& before, const TopSample& now, TopView& view);

/// "▁▂▃█": the last `width` of the values, scaled by the greatest of them.
std::string sparkline(const std::deque<double>& values, size_t width);
/// A bar of `share` (0 to 1) of `width` characters, in eighths.
std::string bar(double share, size_t width);

}  // namespace weir::admin
