#include "lb/base/access_log.hpp"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include "lb/base/byte_ring.hpp"
#include "lb/base/clock.hpp"
#include "lb/base/escape.hpp"
#include "lb/base/log.hpp"
#include "lb/base/log_output.hpp"
#include "lb/base/quiet_thread.hpp"

namespace weir {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLongestPause{100}, kShortestPause{5}, kStepWhenBlocked{100};
constexpr Duration kEventEvery = std::chrono::seconds(10);  // about write errors
constexpr Duration kLastChance = std::chrono::seconds(2);   // for an output that takes nothing, at the end
constexpr size_t kChunk = 128 << 10;                        // bytes a write(2)

using TextMember = std::string_view AccessRecord::*;
constexpr std::array<TextMember, 12> kTexts{
    &AccessRecord::client,   &AccessRecord::user,       &AccessRecord::method,  &AccessRecord::target,
    &AccessRecord::host,     &AccessRecord::user_agent, &AccessRecord::referer, &AccessRecord::request_id,
    &AccessRecord::listener, &AccessRecord::route,      &AccessRecord::pool,    &AccessRecord::backend};

/// What stands in the ring, followed by the texts in the order of kTexts.
struct Packed {
  int64_t wall_ns;
  uint64_t duration_us, upstream_us, bytes_received, bytes_sent;
  std::array<uint16_t, kTexts.size()> lengths;
  uint16_t status;
  uint8_t attempts, minor;
  Cause cause;
};
static_assert(std::is_trivially_copyable_v<Packed> && kLogFieldBytes <= UINT16_MAX);

AccessRecord unpack(std::span<const std::byte> bytes) {
  Packed packed;
  std::memcpy(&packed, bytes.data(), sizeof(packed));
  AccessRecord record;
  record.wall_ns = packed.wall_ns;
  record.duration_us = packed.duration_us;
  record.upstream_us = packed.upstream_us;
  record.bytes_received = packed.bytes_received;
  record.bytes_sent = packed.bytes_sent;
  record.status = packed.status;
  record.attempts = packed.attempts;
  record.minor = packed.minor;
  record.cause = packed.cause;
  const char* text = reinterpret_cast<const char*>(bytes.data()) + sizeof(packed);
  for (size_t i = 0; i < kTexts.size(); ++i) {
    record.*kTexts[i] = {text, packed.lengths[i]};
    text += packed.lengths[i];
  }
  return record;
}

}  // namespace

struct AccessLog::Impl {
  explicit Impl(const Settings& given) : settings(given), output(LogOutput::open(given.path)) {
    rings.reserve(settings.workers);
    for (size_t i = 0; i < settings.workers; ++i) rings.push_back(std::make_unique<ByteRing>(settings.ring_bytes));
    text.reserve(2 * kChunk);
  }

  void run();
  size_t drain();
  void flush();
  void report(int error, size_t lost_now);
  bool keep_waiting();

  const Settings settings;
  std::vector<std::unique_ptr<ByteRing>> rings;
  std::atomic<uint64_t> lost{0};
  std::atomic<bool> ended{false};
  std::mutex mutex;  // guards the next three
  std::condition_variable wake;
  std::optional<LogOutput> replacement;
  bool stopping = false;
  // The writer thread's own.
  LogOutput output;
  std::string text;
  std::optional<TimePoint> last_event, gives_up;
  uint64_t lost_told = 0;
  std::thread writer;
};

/// The pause follows the traffic: the fullest ring shall be an eighth full at the next look.
void AccessLog::Impl::run() {
  milliseconds pause = kLongestPause;
  for (bool last = false; !last;) {
    {
      std::unique_lock lock(mutex);
      wake.wait_for(lock, pause, [this] { return stopping || replacement; });
      last = stopping;
      if (replacement) {
        output = std::move(*replacement);
        replacement.reset();
      }
    }
    const size_t found = drain();
    const size_t aim = rings.empty() ? 1 : rings.front()->capacity() / 8;
    const auto wanted = static_cast<int64_t>(static_cast<uint64_t>(pause.count()) * aim / std::max<size_t>(found, 1));
    pause = std::clamp(milliseconds(wanted), kShortestPause, kLongestPause);
  }
}

/// Writes what the rings hold now; the most bytes that were found in one ring.
size_t AccessLog::Impl::drain() {
  size_t most = 0;
  const auto format = settings.format == AccessFormat::json ? &format_json : &format_combined;
  for (const auto& ring : rings) {
    const size_t found = ring->consume([&](std::span<const std::byte> bytes) {
      format(unpack(bytes), text);
      if (text.size() >= kChunk) flush();
    });
    most = std::max(most, found);
  }
  flush();
  return most;
}

bool AccessLog::Impl::keep_waiting() {
  const std::lock_guard lock(mutex);
  if (!stopping) return !replacement;
  const TimePoint now = monotonic_now();
  if (!gives_up) gives_up = now + kLastChance;
  return now < *gives_up;
}

void AccessLog::Impl::flush() {
  if (text.empty()) return;
  const auto outcome =
      output.write(text, static_cast<int>(kStepWhenBlocked.count()), [this] { return keep_waiting(); });
  text.clear();
  if (outcome.error != 0) report(outcome.error, outcome.lost_lines);
}

void AccessLog::Impl::report(int error, size_t lost_now) {
  const uint64_t total = lost.load(std::memory_order_relaxed) + lost_now;
  lost.store(total, std::memory_order_relaxed);
  const TimePoint now = monotonic_now();
  if (last_event && now - *last_event < kEventEvery) return;
  log::warn("access_log_write_failed", {{"path", settings.path},
                                        {"error", std::generic_category().message(error)},
                                        {"lines_lost", fmt::to_string(total - lost_told)}});
  last_event = now;
  lost_told = total;
}

AccessLog::AccessLog(const Settings& settings) : impl_(std::make_unique<Impl>(settings)) {
  impl_->writer = start_quiet_thread([impl = impl_.get()] {
    impl->run();
    impl->ended.store(true, std::memory_order_release);
  });
  pthread_setname_np(impl_->writer.native_handle(), "weir-accesslog");
}

AccessLog::~AccessLog() {
  begin_ending();
  impl_->writer.join();
}

void AccessLog::begin_ending() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_one();
}

bool AccessLog::ended() const { return impl_->ended.load(std::memory_order_acquire); }

bool AccessLog::write(size_t worker, const AccessRecord& record) noexcept {
  Packed packed{.wall_ns = record.wall_ns,
                .duration_us = record.duration_us,
                .upstream_us = record.upstream_us,
                .bytes_received = record.bytes_received,
                .bytes_sent = record.bytes_sent,
                .lengths = {},
                .status = record.status,
                .attempts = record.attempts,
                .minor = record.minor,
                .cause = record.cause};
  size_t total = sizeof(packed);
  for (size_t i = 0; i < kTexts.size(); ++i) {
    packed.lengths[i] = static_cast<uint16_t>(cut_log_field(record.*kTexts[i]).size());
    total += packed.lengths[i];
  }
  ByteRing& ring = *impl_->rings[worker];
  std::byte* place = ring.reserve(total);
  if (!place) return false;
  std::memcpy(place, &packed, sizeof(packed));
  place += sizeof(packed);
  for (size_t i = 0; i < kTexts.size(); ++i) {
    if (packed.lengths[i] == 0) continue;  // its data() may be null
    std::memcpy(place, (record.*kTexts[i]).data(), packed.lengths[i]);
    place += packed.lengths[i];
  }
  ring.commit();
  return true;
}

void AccessLog::reopen() {
  if (impl_->settings.path == "stdout") return;
  try {
    LogOutput fresh = LogOutput::open(impl_->settings.path);
    {
      const std::lock_guard lock(impl_->mutex);
      impl_->replacement = std::move(fresh);
    }
    impl_->wake.notify_one();
  } catch (const std::system_error& e) {
    log::error("access_log_reopen_failed", {{"path", impl_->settings.path}, {"error", e.code().message()}});
  }
}

uint64_t AccessLog::lost_lines() const { return impl_->lost.load(std::memory_order_relaxed); }

}  // namespace weir
