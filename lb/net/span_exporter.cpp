#include "lb/net/span_exporter.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "lb/base/log.hpp"
#include "lb/base/quiet_thread.hpp"
#include "lb/net/http_post.hpp"
#include "lb/net/otlp_json.hpp"

namespace weir::trace {

namespace {

constexpr Milliseconds kLongestLook{1000}, kShortestLook{20};
constexpr Duration kLastChance = std::chrono::seconds(2);   // to give all away, at the end
constexpr Duration kEventEvery = std::chrono::seconds(10);  // about a collector that fails
constexpr size_t kBatchRequests = 512, kBatchBytes = 1 << 20;

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "";
}

/// Whole seconds; a date, or anything else, is 0.
uint64_t seconds_in(std::string_view text) {
  uint64_t seconds = 0;
  for (const char c : text) {
    if (c < '0' || c > '9' || seconds > 1'000'000) return 0;
    seconds = seconds * 10 + static_cast<uint64_t>(c - '0');
  }
  return seconds;
}

}  // namespace

Verdict judge(uint16_t status) {
  if (status / 100 == 2) return Verdict::sent;
  const bool again = status == 0 || status == 429 || (status >= 502 && status <= 504);
  return again ? Verdict::repeat : Verdict::give_up;
}

Milliseconds pause_after(uint32_t tries, std::string_view retry_after, Rng& random) {
  const auto whole = std::min(kLongestPause, kFirstPause * (1 << std::min(tries - 1, 10u)));
  const auto half = static_cast<uint32_t>(whole.count() / 2);
  const Milliseconds drawn(half + random.below(half + 1));
  return std::min(kLongestPause, std::max(drawn, Milliseconds(1000 * seconds_in(retry_after))));
}

struct SpanExporter::Impl {
  Impl(Settings given, TraceCounters& all)
      : settings(std::move(given)),
        counters(all),
        queue(settings.workers, settings.queue),
        resource{settings.service, settings.version, host_name(), ::getpid()},
        random(settings.seed) {}

  void run();
  bool rest(Milliseconds pause);
  bool send_batch();
  void deliver(size_t spans);
  TimePoint deadline(TimePoint usual);
  void failed(const std::string& why, size_t spans_lost);

  const Settings settings;
  TraceCounters& counters;
  SpanQueue queue;
  const Resource resource;
  std::atomic<bool> ended{false}, stopping{false};
  std::mutex mutex;
  std::condition_variable wake;
  // The exporter's thread alone:
  Rng random;
  std::string batch;
  std::optional<TimePoint> last_event, gives_up;
  uint64_t lost_untold = 0;
  bool failing = false;
  std::thread thread;
};

/// The pause follows the traffic: the queue shall be an eighth full at the next look.
void SpanExporter::Impl::run() {
  Milliseconds pause = kLongestLook;
  for (bool last = false; !last;) {
    last = rest(pause);
    const uint64_t found = queue.waiting();
    while (send_batch()) {
    }
    const auto wanted = static_cast<uint64_t>(pause.count()) * (settings.queue / 8) / std::max<uint64_t>(found, 1);
    pause = std::clamp(Milliseconds(wanted), kShortestLook, kLongestLook);
  }
}

/// True: the end has begun.
bool SpanExporter::Impl::rest(Milliseconds pause) {
  std::unique_lock lock(mutex);
  return wake.wait_for(lock, pause, [this] { return stopping.load(); });
}

bool SpanExporter::Impl::send_batch() {
  batch.clear();
  begin_batch(resource, batch);
  size_t spans = 0, requests = 0;
  while (requests < kBatchRequests && batch.size() < kBatchBytes) {
    const size_t taken = queue.take(
        [&](const RequestSpan& request) {
          append_request(request, batch);
          spans += request.spans();
        },
        16);
    if (taken == 0) break;
    requests += taken;
  }
  if (requests == 0) return false;
  end_batch(batch);
  deliver(spans);
  return true;
}

/// Tries again as long as it may be of use; what waits meanwhile fills the queue.
void SpanExporter::Impl::deliver(size_t spans) {
  const std::string head = fmt::format(
      "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: weir/{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n"
      "Connection: close\r\n\r\n",
      settings.path, settings.authority, settings.version, batch.size());
  for (uint32_t tries = 1;; ++tries) {
    const TimePoint usual = monotonic_now() + settings.timeout;
    const auto answer = net::post(settings.collector, head, batch, [&] { return deadline(usual); });
    const Verdict verdict = judge(answer.status);
    (verdict == Verdict::sent ? counters.posts_ok : counters.posts_failed).fetch_add(1);
    if (verdict == Verdict::sent) {
      const uint64_t rejected = std::min<uint64_t>(rejected_spans(answer.body), spans);
      counters.exported.fetch_add(spans - rejected);
      counters.failed.fetch_add(rejected);
      if (rejected) return failed("it rejected some of the spans", rejected);
      if (std::exchange(failing, false))
        log::info("tracing_export_works", {{"collector", settings.collector.to_string()}});
      return;
    }
    const std::string why = answer.failure.empty() ? fmt::format("status {}", answer.status) : answer.failure;
    const bool too_late = stopping && monotonic_now() >= deadline(TimePoint::max());
    if (verdict == Verdict::give_up || tries >= kMostTries || too_late) {
      counters.failed.fetch_add(spans);
      return failed(why, spans);
    }
    failed(why, 0);
    if (rest(pause_after(tries, answer.retry_after, random))) tries = std::max(tries, kMostTries - 1);
  }
}

/// While the process runs, the usual one; once it ends, soon.
TimePoint SpanExporter::Impl::deadline(TimePoint usual) {
  if (!stopping) return usual;
  if (!gives_up) gives_up = monotonic_now() + kLastChance;
  return std::min(usual, *gives_up);
}

void SpanExporter::Impl::failed(const std::string& why, size_t spans_lost) {
  lost_untold += spans_lost;
  failing = true;
  const TimePoint now = monotonic_now();
  if (last_event && now - *last_event < kEventEvery) return;
  log::warn(
      "tracing_export_failed",
      {{"collector", settings.collector.to_string()}, {"reason", why}, {"spans_lost", fmt::to_string(lost_untold)}});
  last_event = now;
  lost_untold = 0;
}

SpanExporter::SpanExporter(Settings settings, TraceCounters& counters)
    : impl_(std::make_unique<Impl>(std::move(settings), counters)) {
  impl_->thread = start_quiet_thread([impl = impl_.get()] {
    impl->run();
    impl->ended.store(true, std::memory_order_release);
  });
  pthread_setname_np(impl_->thread.native_handle(), "weir-tracing");
}

SpanExporter::~SpanExporter() {
  begin_ending();
  impl_->thread.join();
}

void SpanExporter::begin_ending() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_one();
}

bool SpanExporter::ended() const { return impl_->ended.load(std::memory_order_acquire); }

void SpanExporter::write(size_t worker, const RequestSpan& request) noexcept {
  if (!impl_->queue.write(worker, request))
    impl_->counters.dropped.fetch_add(request.spans(), std::memory_order_relaxed);
}

}  // namespace weir::trace
