// `weir top`.
#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <thread>
#include <utility>

#include "config/duration.hpp"
#include "lb/admin/client.hpp"
#include "lb/admin/table.hpp"
#include "lb/admin/top.hpp"
#include "lb/cli_admin.hpp"

namespace weir::cli {
namespace {

using namespace admin;
using Clock = std::chrono::steady_clock;

volatile std::sig_atomic_t ended = 0;

void on_end(int) { ended = 1; }
void on_resize(int) {}  // it only has to wake poll()

TopSample take_sample(Client& client) {
  const auto status = client.request("GET", "/api/v1/status"), pools = client.request("GET", "/api/v1/pools");
  if (status.status != 200 || pools.status != 200)
    throw ClientError(status.status == 401
                          ? fmt::format("{} wants a token; name its file with --token-file", client.target().shown())
                          : fmt::format("{} is no admin API of Weir", client.target().shown()));
  try {
    return parse_top(status.body, pools.body, Clock::now(), std::time(nullptr));
  } catch (const std::exception&) {
    throw ClientError(fmt::format("{} is no admin API of this Weir", client.target().shown()));
  }
}

/// The terminal while it is ours: no echo, no cursor, a screen of its own. Gives it back as it was.
class Screen {
 public:
  Screen() {
    ::tcgetattr(STDIN_FILENO, &before_);
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    put("\x1b[?1049h\x1b[?25l");
    struct sigaction action {};
    action.sa_handler = on_end;
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &action, nullptr);
    action.sa_handler = on_resize;
    ::sigaction(SIGWINCH, &action, nullptr);
  }
  ~Screen() {
    put("\x1b[?25h\x1b[?1049l");
    ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  static void measure(TopView& view) {
    winsize size{};
    const bool known = ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;
    view.width = known ? size.ws_col : 80;
    view.height = known ? size.ws_row : 24;
  }

  /// One write, line by line over what was there: nothing flickers.
  static void draw(const std::vector<std::string>& lines) {
    std::string out = "\x1b[H";
    for (size_t i = 0; i < lines.size(); ++i) out += lines[i] + "\x1b[K" + (i + 1 < lines.size() ? "\r\n" : "");
    put(out + "\x1b[J");
  }

 private:
  static void put(std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }
  termios before_{};
};

/// What a key does. False: quit.
bool obey(std::string_view keys, TopView& view) {
  const size_t page = view.height > 8 ? view.height - 8 : 1;
  const auto up = [&](size_t lines) { view.scroll -= std::min(view.scroll, lines); };
  while (!keys.empty()) {
    size_t used = 1;
    const auto is = [&](std::string_view key) {
      if (!keys.starts_with(key)) return false;
      used = key.size();
      return true;
    };
    if (is("q") || is("Q") || is("\x04")) return false;
    if (is("s")) view.order = static_cast<TopOrder>((static_cast<size_t>(view.order) + 1) % kTopOrders);
    if (is("\x1b[A") || is("\x1bOA") || is("k")) up(1);
    if (is("\x1b[B") || is("\x1bOB") || is("j")) ++view.scroll;
    if (is("\x1b[5~")) up(page);
    if (is("\x1b[6~") || is(" ")) view.scroll += page;
    if (is("\x1b[H") || is("g")) view.scroll = 0;
    keys.remove_prefix(used);
  }
  return true;
}

/// Waits for a key, a resize or `until`. False: quit.
bool wait_for_key(Clock::time_point until, TopView& view) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
  pollfd input{STDIN_FILENO, POLLIN, 0};
  if (::poll(&input, 1, static_cast<int>(std::max<int64_t>(0, left))) <= 0) return !ended;
  char keys[64];
  const ssize_t n = ::read(STDIN_FILENO, keys, sizeof keys);
  if (n == 0 || (n < 0 && errno != EINTR)) return false;  // the terminal is gone
  return n < 0 ? !ended : obey({keys, static_cast<size_t>(n)}, view);
}

int show_live(Client& client, TopSample first, std::chrono::milliseconds interval) {
  constexpr size_t kHistory = 512;
  TopView view;
  view.colours = wants_colours();
  view.keys = true;
  TopSample before = first, now = std::move(first);
  const Screen screen;
  for (auto next = Clock::now() + std::min<Clock::duration>(interval, std::chrono::milliseconds(300));;) {
    Screen::measure(view);
    Screen::draw(top_lines(before, now, view));
    if (!wait_for_key(next, view)) return 0;
    if (ended) return 0;
    if (Clock::now() < next) continue;  // only the view has changed
    next = Clock::now() + interval;
    try {
      TopSample sample = take_sample(client);
      before = std::exchange(now, std::move(sample));
      view.history.push_back(request_rate(before, now));
      if (view.history.size() > kHistory) view.history.pop_front();
      view.trouble.clear();
    } catch (const ClientError& error) {
      view.trouble = error.what();
    }
  }
}

}  // namespace

int top(const AdminWords& words) {
  std::string problem;
  const auto given =
      config::parse_duration(words.interval, std::chrono::milliseconds(100), std::chrono::hours(1), problem);
  if (!given) {
    fmt::print(stderr, "weir: --interval: {}\n", printable(problem));
    return 2;
  }
  const std::chrono::milliseconds interval = *given;
  const auto client = make_client(words);
  TopSample first = take_sample(*client);
  if (::isatty(STDOUT_FILENO) && ::isatty(STDIN_FILENO)) return show_live(*client, std::move(first), interval);
  // No terminal: one picture of one interval, for logs and scripts.
  std::this_thread::sleep_for(interval);
  const TopSample now = take_sample(*client);
  TopView view;
  view.history.push_back(request_rate(first, now));
  for (const auto& line : top_lines(first, now, view)) fmt::print("{}\n", line);
  return 0;
}

}  // namespace weir::cli
