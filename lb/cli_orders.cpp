// `weir drain`, `disable` and `enable`.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <thread>

#include "lb/admin/client.hpp"
#include "lb/admin/table.hpp"
#include "lb/cli_admin.hpp"
#include "lb/demo_session.hpp"

namespace weir::cli {
namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;
constexpr auto kLook = std::chrono::milliseconds(100);
constexpr auto kTell = std::chrono::seconds(1);

uint64_t inflight_of(const json::value& backend) { return backend.at("inflight").to_number<uint64_t>(); }

/// Empty: no sessions are sent to it any more.
std::string sessions_until(const json::value& backend) {
  const auto* until = backend.as_object().if_contains("sessions_until");
  return until && until->is_string() ? admin::printable({until->as_string().data(), until->as_string().size()})
                                     : std::string();
}

std::string seconds_since(Clock::time_point then) {
  return fmt::format("{:.1f} s", std::chrono::duration<double>(Clock::now() - then).count());
}

/// Tells how many are left: on a terminal in one line, else a line now and then.
class Progress {
 public:
  explicit Progress(std::string name) : name_(std::move(name)), terminal_(::isatty(STDOUT_FILENO)) {}
  void show(uint64_t inflight) {
    const auto now = Clock::now();
    if (inflight == last_ || (!terminal_ && last_ != kNone && now - told_ < kTell)) return;
    fmt::print("{}{}: {} in flight{}", terminal_ ? "\r" : "", name_, inflight, terminal_ ? "\x1b[K" : "\n");
    std::fflush(stdout);
    last_ = inflight;
    told_ = now;
  }
  void end() const {
    if (terminal_ && last_ != kNone) fmt::print("\r\x1b[K");
  }

 private:
  static constexpr uint64_t kNone = ~uint64_t{0};
  const std::string name_;
  const bool terminal_;
  uint64_t last_ = kNone;
  Clock::time_point told_{};
};

int wait_until_drained(admin::Client& client, const std::string& name, const std::string& path,
                       std::chrono::milliseconds timeout) {
  const auto began = Clock::now();
  Progress progress(name);
  // Twice: a worker that chose the backend just before the order may be about to send.
  for (int nothing = 0;;) {
    const auto backend = ask(client, "GET", path);
    const uint64_t inflight = inflight_of(backend);
    if (backend.at("status") != "draining") {
      progress.end();
      throw admin::ClientError(fmt::format("{} is no longer draining but {}: somebody else gave another order", name,
                                           std::string(backend.at("status").as_string())));
    }
    const std::string sessions = sessions_until(backend);
    nothing = inflight == 0 && sessions.empty() ? nothing + 1 : 0;
    if (nothing == 2) {
      progress.end();
      fmt::print("{}: drained, nothing in flight after {}\n", name, seconds_since(began));
      return 0;
    }
    if (Clock::now() - began >= timeout) {
      progress.end();
      if (!sessions.empty())
        fmt::print(stderr, "weir: {} still gets the requests of its sessions, until {} (affinity.drain)\n", name,
                   sessions);
      fmt::print(stderr, "weir: {} still has {} in flight after {}; it stays drained until \"weir enable {}\"\n", name,
                 inflight, seconds_since(began), name);
      return 1;
    }
    if (inflight) progress.show(inflight);
    std::this_thread::sleep_for(std::min<Clock::duration>(kLook, timeout));
  }
}

}  // namespace

int order(std::string_view what, const AdminWords& words) {
  const size_t slash = words.backend.find('/');
  const std::string pool = words.backend.substr(0, slash);
  const std::string backend = slash == std::string::npos ? "" : words.backend.substr(slash + 1);
  constexpr const char* kNames = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
  constexpr const char* kBackendNames = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-:[]%";
  if (pool.empty() || backend.empty() || pool.find_first_not_of(kNames) != std::string::npos ||
      backend.find_first_not_of(kBackendNames) != std::string::npos) {
    fmt::print(stderr, "weir: \"{}\" names no backend; write POOL/BACKEND, as `weir status` shows them\n",
               admin::printable(words.backend));
    return 2;
  }
  std::chrono::milliseconds timeout{};
  if (what == "drain" && !demo::parse_duration(words.timeout, timeout)) {
    fmt::print(stderr, "weir: --timeout {}: not a time; write one like 30s (at most 1h)\n", words.timeout);
    return 2;
  }
  const auto client = make_client(words);
  const std::string path = fmt::format("/api/v1/pools/{}/backends/{}", pool, encoded(backend));
  const auto answer = ask(*client, "POST", fmt::format("{}/{}", path, what));
  const bool changed = answer.at("changed").as_bool();
  if (answer.at("usable").to_number<uint64_t>() == 0)
    fmt::print(stderr, "weir: warning: pool {} has no usable backend left\n", pool);
  if (what == "drain") {
    if (!changed) fmt::print("{}: was draining already\n", words.backend);
    if (!words.no_wait) return wait_until_drained(*client, words.backend, path, timeout);
  }
  const bool resets = what == "disable" && answer.at("resets_sessions").as_bool();
  fmt::print("{}: {}{}; {} in flight{}\n", words.backend,
             changed ? "" : "was so already: ", std::string(answer.at("status").as_string()), inflight_of(answer),
             resets ? ": they are reset (on_eject: close)" : "");
  return 0;
}

}  // namespace weir::cli
