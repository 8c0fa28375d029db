#include "health/handed.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

#include "lb/base/hash.hpp"

namespace weir::health {

namespace {

using net::handed_number, net::handed_time, net::take_word, net::time_text, net::value_of, net::word_of;

constexpr size_t kFields = 14;
constexpr size_t kReason = 512;              // bytes
constexpr uint32_t kMostInARow = 1'000'000;  // beyond what any rule asks for

constexpr std::array<std::pair<Verdict, std::string_view>, 3> kVerdicts{
    {{Verdict::unknown, "unknown"}, {Verdict::up, "up"}, {Verdict::down, "down"}}};

uint32_t in_a_row(const std::string& text) { return std::min(handed_number<uint32_t>(text), kMostInARow); }

/// Since the machine's start.
TimePoint time_of(const std::string& text) {
  const TimePoint time = handed_time(text);
  if (time < TimePoint{}) throw std::runtime_error(fmt::format("\"{}\" is no time", text.substr(0, 64)));
  return time;
}

TimePoint past_of(const std::string& text, TimePoint now) {
  const TimePoint time = time_of(text);
  if (time > now) throw std::runtime_error("it is of the future");
  return time;
}

std::vector<std::string> line_of(const HandedHealth& one) {
  const auto& [checks, ejection, check_failed, slow_since, reason] = one.known;
  return {one.pool,
          one.backend,
          one.address,
          word_of(kVerdicts, checks.verdict),
          std::to_string(checks.against),
          std::to_string(checks.successes),
          one.checks,
          std::to_string(ejection.row),
          time_text(ejection.until),
          time_text(ejection.ended),
          time_text(slow_since),
          std::to_string(one.since_wall_ns),
          fmt::format("{}{}{}", ejection.active ? "ejected " : "", checks.decide_alone ? "decides_alone " : "",
                      check_failed ? "check_failed" : ""),
          reason.substr(0, kReason)};
}

HandedHealth health_of(const std::vector<std::string>& line, TimePoint now) {
  if (line.size() < kFields) throw std::runtime_error("it is cut short");
  HandedHealth one{line[0], line[1], line[2], line[6], {}, 0};
  auto& [checks, ejection, check_failed, slow_since, reason] = one.known;
  checks = {value_of(kVerdicts, line[3], "verdict"), false, in_a_row(line[4]), in_a_row(line[5])};
  ejection = {false, time_of(line[8]), past_of(line[9], now), in_a_row(line[7])};
  slow_since = past_of(line[10], now);
  one.since_wall_ns = std::clamp<int64_t>(handed_number<int64_t>(line[11]), 0, wall_now_ns());
  for (std::string_view words = line[12]; !words.empty();) {
    const auto word = take_word(words);
    ejection.active |= word == "ejected";
    checks.decide_alone |= word == "decides_alone";
    check_failed |= word == "check_failed";
  }
  reason = line[13].substr(0, kReason);
  return one;
}

}  // namespace

std::string checks_id(const config::Health& health) {
  // All of it: what is added there has to be added here.
  const auto& [type, path, host, expect_status, service, expect_body, interval, timeout, fall, rise, slow_start] =
      health;
  if (type == config::Health::Type::none) return "none";
  std::string text =
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{} {} {} {} {}", static_cast<int>(type), path, host, to_words(expect_status),
                  service, expect_body, interval.count(), timeout.count(), fall, rise, slow_start.count());
  return fmt::format("{:016x}", stable_hash(text));
}

net::SomeLines lines_of(const std::vector<HandedHealth>& backends, size_t most) {
  net::LineCollector lines(most);
  for (const auto& one : backends) lines.add(line_of(one));
  return std::move(lines.out);
}

net::Handed<std::vector<HandedHealth>> handed_health(const net::Lines& lines, TimePoint now) {
  return net::known_of<std::vector<HandedHealth>>(
      lines, [now](const auto& line, auto& known) { known.push_back(health_of(line, now)); });
}

}  // namespace weir::health
