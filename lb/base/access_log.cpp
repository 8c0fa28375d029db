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

/// Where the text of a field comes from; null: it is made of something else.
TextMember member_of(LogField field) {
  switch (field) {
    case LogField::client: return &AccessRecord::client;
    case LogField::user: return &AccessRecord::user;
    case LogField::method: return &AccessRecord::method;
    case LogField::target: return &AccessRecord::target;
    case LogField::host: return &AccessRecord::host;
    case LogField::listener: return &AccessRecord::listener;
    case LogField::route: return &AccessRecord::route;
    case LogField::pool: return &AccessRecord::pool;
    case LogField::backend: return &AccessRecord::backend;
    case LogField::request_id: return &AccessRecord::request_id;
    case LogField::user_agent: return &AccessRecord::user_agent;
    case LogField::referer: return &AccessRecord::referer;
    case LogField::trace_id: return &AccessRecord::trace_id;
    case LogField::span_id: return &AccessRecord::span_id;
    case LogField::path: return &AccessRecord::path;
    case LogField::query: return &AccessRecord::query;
    default: return nullptr;
  }
}

constexpr size_t kMostTexts = kLogFields.size() + kMostLogHeaders;

std::vector<LogFieldUse> combined_fields() {
  std::vector<LogFieldUse> fields;
  for (const auto field :
       {LogField::client, LogField::user, LogField::method, LogField::target, LogField::referer, LogField::user_agent})
    fields.push_back({field, {}});
  return fields;
}

/// What stands in the ring, followed by the lengths of the texts (uint16_t each), then the texts: those of the fields
/// in their order, then the headers.
struct Packed {
  int64_t wall_ns;
  uint64_t duration_us, upstream_us, bytes_received, bytes_sent;
  uint16_t status, upstream_status, texts;
  uint8_t attempts, minor, grpc_status;
  Cause cause;
};
static_assert(std::is_trivially_copyable_v<Packed> && kLogFieldBytes <= UINT16_MAX);

}  // namespace

struct AccessLog::Impl {
  explicit Impl(const Settings& given)
      : settings(given),
        fields(given.format == AccessFormat::combined ? combined_fields()
               : given.fields.empty()                 ? default_log_fields(false)
                                                      : given.fields),
        json(fields),
        output(LogOutput::open(given.path)) {
    for (const auto& use : fields) {
      if (const TextMember member = member_of(use.field)) texts.push_back(member);
      if (use.header.empty()) continue;
      headers.push_back(use);
      response_headers = response_headers || use.field == LogField::response_header;
    }
    rings.reserve(settings.workers);
    for (size_t i = 0; i < settings.workers; ++i) rings.push_back(std::make_unique<ByteRing>(settings.ring_bytes));
    text.reserve(2 * kChunk);
  }

  void run();
  size_t drain();
  void flush();
  void report(int error, size_t lost_now);
  bool keep_waiting();
  bool take_replacement();
  void format(std::span<const std::byte> bytes);

  const Settings settings;
  const std::vector<LogFieldUse> fields;
  const JsonLine json;
  std::vector<TextMember> texts;
  std::vector<LogFieldUse> headers;
  bool response_headers = false;
  const uint64_t serial = next_serial.fetch_add(1);
  static std::atomic<uint64_t> next_serial;
  std::atomic<uint64_t> openings{0};
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
  std::array<std::string_view, kMostLogHeaders> header_values;
  std::optional<TimePoint> last_event, gives_up;
  uint64_t lost_told = 0;
  std::thread writer;
};

std::atomic<uint64_t> AccessLog::Impl::next_serial{1};

/// The pause follows the traffic: the fullest ring shall be an eighth full at the next look.
void AccessLog::Impl::run() {
  milliseconds pause = kLongestPause;
  for (bool last = false; !last;) {
    {
      std::unique_lock lock(mutex);
      wake.wait_for(lock, pause, [this] { return stopping || replacement; });
      last = stopping;
    }
    take_replacement();
    const size_t found = drain();
    const size_t aim = rings.empty() ? 1 : rings.front()->capacity() / 8;
    const auto wanted = static_cast<int64_t>(static_cast<uint64_t>(pause.count()) * aim / std::max<size_t>(found, 1));
    pause = std::clamp(milliseconds(wanted), kShortestPause, kLongestPause);
  }
}

/// Writes what the rings hold now; the most bytes that were found in one ring.
size_t AccessLog::Impl::drain() {
  size_t most = 0;
  for (const auto& ring : rings) {
    const size_t found = ring->consume([&](std::span<const std::byte> bytes) {
      format(bytes);
      if (text.size() >= kChunk) flush();
    });
    most = std::max(most, found);
  }
  flush();
  return most;
}

void AccessLog::Impl::format(std::span<const std::byte> bytes) {
  Packed packed;
  std::memcpy(&packed, bytes.data(), sizeof(packed));
  AccessRecord record;
  record.wall_ns = packed.wall_ns;
  record.duration_us = packed.duration_us;
  record.upstream_us = packed.upstream_us;
  record.bytes_received = packed.bytes_received;
  record.bytes_sent = packed.bytes_sent;
  record.status = packed.status;
  record.upstream_status = packed.upstream_status;
  record.attempts = packed.attempts;
  record.grpc_status = packed.grpc_status;
  record.minor = packed.minor;
  record.cause = packed.cause;
  std::array<uint16_t, kMostTexts> lengths;
  std::memcpy(lengths.data(), bytes.data() + sizeof(packed), packed.texts * sizeof(uint16_t));
  const char* at = reinterpret_cast<const char*>(bytes.data()) + sizeof(packed) + packed.texts * sizeof(uint16_t);
  for (size_t i = 0; i < texts.size(); ++i) {
    record.*texts[i] = {at, lengths[i]};
    at += lengths[i];
  }
  const size_t with_values = packed.texts - texts.size();
  for (size_t i = 0; i < with_values; ++i) {
    header_values[i] = {at, lengths[texts.size() + i]};
    at += lengths[texts.size() + i];
  }
  record.headers = std::span(header_values).first(with_values);
  if (settings.format == AccessFormat::json)
    json.format(record, text);
  else
    format_combined(record, text);
}

/// The file that reopen() has opened becomes the output. False: there is none.
bool AccessLog::Impl::take_replacement() {
  const std::lock_guard lock(mutex);
  if (!replacement) return false;
  output = std::move(*replacement);
  replacement.reset();
  openings.fetch_add(1, std::memory_order_release);
  return true;
}

bool AccessLog::Impl::keep_waiting() {
  const std::lock_guard lock(mutex);
  if (!stopping) return !replacement;
  const TimePoint now = monotonic_now();
  if (!gives_up) gives_up = now + kLastChance;
  return now < *gives_up;
}

void AccessLog::Impl::flush() {
  for (std::string_view rest = text; !rest.empty();) {
    const auto outcome =
        output.write(rest, static_cast<int>(kStepWhenBlocked.count()), [this] { return keep_waiting(); });
    if (outcome.error == 0) break;
    rest.remove_prefix(outcome.whole_lines);
    // An output that takes nothing was replaced: the new one gets what it didn't.
    if (take_replacement()) continue;
    report(outcome.error, outcome.lost_lines);
    break;
  }
  text.clear();
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
  const auto& texts = impl_->texts;
  const size_t headers = std::min(record.headers.size(), impl_->headers.size()), count = texts.size() + headers;
  const Packed packed{.wall_ns = record.wall_ns,
                      .duration_us = record.duration_us,
                      .upstream_us = record.upstream_us,
                      .bytes_received = record.bytes_received,
                      .bytes_sent = record.bytes_sent,
                      .status = record.status,
                      .upstream_status = record.upstream_status,
                      .texts = static_cast<uint16_t>(count),
                      .attempts = record.attempts,
                      .minor = record.minor,
                      .grpc_status = record.grpc_status,
                      .cause = record.cause};
  std::array<uint16_t, kMostTexts> lengths;
  size_t total = sizeof(packed) + count * sizeof(uint16_t);
  for (size_t i = 0; i < texts.size(); ++i) {
    lengths[i] = static_cast<uint16_t>(cut_log_field(record.*texts[i]).size());
    total += lengths[i];
  }
  for (size_t i = 0; i < headers; ++i) {
    lengths[texts.size() + i] = static_cast<uint16_t>(std::min(record.headers[i].size(), kLogHeaderBytes));
    total += lengths[texts.size() + i];
  }
  ByteRing& ring = *impl_->rings[worker];
  std::byte* place = ring.reserve(total);
  if (!place) return false;
  std::memcpy(place, &packed, sizeof(packed));
  place += sizeof(packed);
  std::memcpy(place, lengths.data(), count * sizeof(uint16_t));
  place += count * sizeof(uint16_t);
  const auto put = [&](std::string_view text, uint16_t length) {
    if (length == 0) return;  // its data() may be null
    std::memcpy(place, text.data(), length);
    place += length;
  };
  for (size_t i = 0; i < texts.size(); ++i) put(record.*texts[i], lengths[i]);
  for (size_t i = 0; i < headers; ++i) put(record.headers[i], lengths[texts.size() + i]);
  ring.commit();
  return true;
}

std::string AccessLog::reopen() {
  if (impl_->settings.path == "stdout") return {};
  try {
    LogOutput fresh = LogOutput::open(impl_->settings.path);
    {
      const std::lock_guard lock(impl_->mutex);
      impl_->replacement = std::move(fresh);
    }
    impl_->wake.notify_one();
    return {};
  } catch (const std::system_error& e) {
    log::error("access_log_reopen_failed", {{"path", impl_->settings.path}, {"error", e.code().message()}});
    return e.code().message();
  }
}

const std::vector<LogFieldUse>& AccessLog::headers() const { return impl_->headers; }
bool AccessLog::wants_response_headers() const { return impl_->response_headers; }
uint64_t AccessLog::serial() const { return impl_->serial; }
uint64_t AccessLog::openings() const { return impl_->openings.load(std::memory_order_acquire); }
const std::string& AccessLog::path() const { return impl_->settings.path; }
uint64_t AccessLog::lost_lines() const { return impl_->lost.load(std::memory_order_relaxed); }

}  // namespace weir
