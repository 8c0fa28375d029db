// `weir drain`, `disable` and `enable`.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <thread>

#include "config/duration.hpp"
#include "lb/admin/client.hpp"
#include "lb/admin/table.hpp"
#include "lb/cli_admin.hpp"

namespace weir::cli {
namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kLook{100}, kTell{1000};

constexpr std::chrono::milliseconds kForRequests = std::chrono::seconds(60);  // of --timeout, once no session comes

std::string seconds_since(Clock::time_point then) {
  return fmt::format("{:.1f} s", std::chrono::duration<double>(Clock::now() - then).count());
}

/// "18:20", "1:00:00".
std::string on_a_clock(std::chrono::milliseconds time) {
  const auto all = std::chrono::ceil<std::chrono::seconds>(time).count();
  if (all < 3600) return fmt::format("{}:{:02}", all / 60, all % 60);
  return fmt::format("{}:{:02}:{:02}", all / 3600, all / 60 % 60, all % 60);
}

/// What is in flight with a backend, in the process that serves and in older ones, which finish their connections.
struct Load {
  uint64_t inflight = 0;
  bool known = true;      // all of it, and counted after the order
  std::string of_others;  // ", 1 of them in pid 1234, which …"
  std::vector<int64_t> deaf;

  explicit Load(const json::value& backend) : inflight(backend.at("inflight").to_number<uint64_t>()) {
    const auto* older = backend.as_object().if_contains("older_processes");  // an older daemon doesn't say
    if (!older) return;
    inflight += backend.at("inflight_old").to_number<uint64_t>();
    for (const auto& process : older->as_array()) {
      const auto pid = process.at("pid").to_number<int64_t>();
      const auto& share = process.at("inflight");
      known &= process.at("obeys").as_bool();
      if (!process.at("takes_orders").as_bool()) deaf.push_back(pid);
      if (share.is_null())
        of_others += fmt::format(", and what pid {} has, which finishes its connections, is not known", pid);
      else if (const auto n = share.to_number<uint64_t>())
        of_others += fmt::format(", {} of them in pid {}, which finishes its connections", n, pid);
    }
  }
  std::string shown() const { return fmt::format("{} in flight{}", inflight, of_others); }
};

/// What a backend that drains still has to do.
struct Left {
  Load load;
  bool serves_sessions = false;  // the rest is of them
  uint64_t sessions = 0;
  std::chrono::milliseconds deadline{}, over_in{};
  std::string until;

  explicit Left(const json::value& backend) : load(backend) {
    const auto& fields = backend.as_object();
    const auto* left = fields.if_contains("sessions_left");  // an older daemon doesn't say
    if (!left || left->is_null()) return;
    serves_sessions = true;
    sessions = left->to_number<uint64_t>();
    deadline = std::chrono::milliseconds(backend.at("sessions_deadline_ms").to_number<int64_t>());
    over_in = std::chrono::milliseconds(backend.at("sessions_over_in_ms").to_number<int64_t>());
    until = admin::printable(std::string_view(backend.at("sessions_until").as_string()));
  }
  bool nothing() const { return load.inflight == 0 && load.known && over_in == std::chrono::milliseconds::zero(); }
  std::string shown() const {
    std::string text = load.shown();
    if (!serves_sessions) return text;
    text += ", " + admin::about_sessions(sessions, over_in.count());
    if (over_in == std::chrono::milliseconds::zero()) return text;
    if (sessions == 0) return fmt::format("{}, over in {} if none comes", text, on_a_clock(over_in));
    return fmt::format("{}, {} to the deadline", text, on_a_clock(deadline));
  }
};

/// Tells how much is left: on a terminal in one line that is always there, else a line now and then.
class Progress {
 public:
  explicit Progress(std::string name) : name_(std::move(name)), terminal_(::isatty(STDOUT_FILENO)) {}
  void show(const Left& left) {
    const auto now = Clock::now();
    const std::pair numbers(left.load.inflight, left.sessions);  // where lines are kept, the clock alone is no news
    if (!terminal_ && (left.nothing() || numbers == last_ || now - told_ < kTell)) return;
    const std::string line = fmt::format("{}: {}", name_, left.shown());
    // A line that is broken in two could not be written over.
    if (const size_t width = terminal_width(); terminal_ && width)
      fmt::print("\r{}\x1b[K", admin::cut(line, width - 1));
    else
      fmt::print("{}{}{}", terminal_ ? "\r" : "", line, terminal_ ? "\x1b[K" : "\n");
    std::fflush(stdout);
    last_ = numbers;
    told_ = now;
  }
  void end() const {
    if (!terminal_) return;
    fmt::print("\r\x1b[K");
    std::fflush(stdout);  // before what stderr has to say
  }

 private:
  const std::string name_;
  const bool terminal_;
  std::pair<uint64_t, uint64_t> last_{~uint64_t{0}, 0};
  Clock::time_point told_{};
};

int give_up(const std::string& name, const Left& left, Clock::time_point began) {
  const bool serves = left.over_in > std::chrono::milliseconds::zero();
  fmt::print(stderr, "weir: {} is not drained after {}: {}{}; it takes nothing new until \"weir enable {}\"\n", name,
             seconds_since(began), left.shown(),
             serves ? fmt::format(" (its sessions may come until {}: affinity.drain)", left.until) : "", name);
  return 1;
}

int wait_until_drained(admin::Client& client, const std::string& name, const std::string& path,
                       std::optional<std::chrono::milliseconds> timeout) {
  const auto began = Clock::now();
  Progress progress(name);
  bool had_sessions = false;
  // Twice: a worker that chose the backend just before the order may be about to send.
  for (int nothing = 0;;) {
    const auto backend = ask(client, "GET", path);
    if (backend.at("status") != "draining") {
      progress.end();
      throw admin::ClientError(fmt::format("{} is no longer draining but {}: somebody else gave another order", name,
                                           std::string(backend.at("status").as_string())));
    }
    const Left left(backend);
    had_sessions |= left.serves_sessions;
    if (!timeout) timeout = left.deadline + kForRequests;
    nothing = left.nothing() ? nothing + 1 : 0;
    if (nothing == 2) {
      progress.end();
      fmt::print("{}: drained, nothing in flight{} after {}\n", name, had_sessions ? " and its sessions over" : "",
                 seconds_since(began));
      return 0;
    }
    const auto remaining = std::chrono::ceil<std::chrono::milliseconds>(*timeout - (Clock::now() - began));
    if (nothing == 0 && remaining <= std::chrono::milliseconds::zero()) {
      progress.end();
      return give_up(name, left, began);
    }
    progress.show(left);
    const auto look = std::clamp<std::chrono::milliseconds>(left.over_in, kLook, kTell);
    std::this_thread::sleep_for(std::clamp(remaining, std::chrono::milliseconds(1), look));
  }
}

/// How it is after an order that nobody waits for.
void tell(std::string_view what, const std::string& name, const json::value& answer, const Load& load) {
  const std::string status(answer.at("status").as_string());
  if (what == "enable" && !answer.at("changed").as_bool()) {
    fmt::print("{}: was neither drained nor disabled; it is {}: {}\n", name, status,
               admin::printable(std::string_view(answer.at("reason").as_string())));
    return;
  }
  const bool resets = what == "disable" && answer.at("resets_sessions").as_bool() && load.inflight;
  fmt::print("{}: {}{}; {}{}\n", name, answer.at("changed").as_bool() ? "" : "was so already: ", status,
             what == "drain" ? Left(answer).shown() : load.shown(),
             !resets             ? ""
             : load.deaf.empty() ? ": they are reset (on_eject: close)"
                                 : ": those of the process that serves are reset (on_eject: close)");
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
  std::optional<std::chrono::milliseconds> timeout;
  if (!words.timeout.empty()) {
    std::string problem;
    timeout =
        config::parse_duration(words.timeout, std::chrono::milliseconds(0), std::chrono::hours(24 * 365), problem);
    if (!timeout) {
      fmt::print(stderr, "weir: --timeout: {}\n", admin::printable(problem));
      return 2;
    }
  }
  const auto client = make_client(words);
  const std::string path = fmt::format("/api/v1/pools/{}/backends/{}", pool, encoded(backend));
  const auto answer = ask(*client, "POST", fmt::format("{}/{}", path, what));
  const bool changed = answer.at("changed").as_bool();
  if (answer.at("usable").to_number<uint64_t>() == 0)
    fmt::print(stderr, "weir: warning: pool {} has no usable backend left\n", pool);
  const Load load(answer);
  for (const int64_t pid : load.deaf)
    fmt::print(stderr, "weir: warning: pid {}, which finishes its connections, takes no orders: it goes on with {}\n",
               pid, words.backend);
  if (what == "drain" && !words.no_wait) {
    if (!changed) fmt::print("{}: was draining already\n", words.backend);
    return wait_until_drained(*client, words.backend, path, timeout);
  }
  tell(what, words.backend, answer, load);
  return 0;
}

}  // namespace weir::cli
