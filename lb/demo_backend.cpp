#include "lb/demo_backend.hpp"

#include <algorithm>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <charconv>
#include <memory>
#include <stdexcept>
#include <utility>

#include "lb/base/clock.hpp"
#include "lb/base/log.hpp"
#include "lb/demo_session.hpp"
#include "lb/net/socket.hpp"

namespace weir::demo {

namespace asio = boost::asio;
using namespace std::chrono_literals;

const char* const kHelp =
    R"(What it answers:
  GET  /               who answers, and its how many-th request (as JSON with Accept: application/json)
  GET  /headers        the request as it arrived, as JSON
  GET  /slow?by=500ms  the same as /, later
  GET  /status/418     that status
  GET  /bytes/1048576  so many bytes
  GET  /stream         server-sent events, one a second (?every=100ms faster, ?n=5 only five)
  POST /echo           the body back (up to 64 MiB)
  GET  /healthz        200, or 503 after /-/fail
       /ws             a WebSocket that echoes
What it can be told (POST):
  /-/fail              answer 503 to everything (?status=500; ?only=health or ?only=requests)
  /-/slow?by=300ms     delay each answer; by=0 ends it
  /-/ok                be well again
  /-/die               reset all connections and end (?for=10s: come back after that time))";

bool parse_duration(std::string_view text, std::chrono::milliseconds& out) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end == text.data() || number > 3'600'000) return false;
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  uint64_t factor = 1;
  if (unit == "s") {
    factor = 1000;
  } else if (unit == "m") {
    factor = 60'000;
  } else if (unit == "h") {
    factor = 3'600'000;
  } else if (unit != "ms" && !(unit.empty() && number == 0)) {
    return false;
  }
  if (number * factor > 3'600'000) return false;
  out = std::chrono::milliseconds(number * factor);
  return true;
}

bool parse_percent(std::string_view text, uint32_t& out) {
  if (!text.ends_with('%')) return false;
  text.remove_suffix(1);
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number > 100) return false;
  out = number;
  return true;
}

std::string_view query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const auto end = query.find('&');
    const auto part = query.substr(0, end);
    query = end == query.npos ? std::string_view{} : query.substr(end + 1);
    if (part.starts_with(name) && part.substr(name.size()).starts_with('=')) return part.substr(name.size() + 1);
  }
  return {};
}

std::string_view unknown_parameter(std::string_view query, std::initializer_list<std::string_view> known) {
  while (!query.empty()) {
    const auto part = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(part.size() + 1, query.size()));
    const auto name = part.substr(0, part.find('='));
    if (!name.empty() && std::find(known.begin(), known.end(), name) == known.end()) return name;
  }
  return {};
}

Backend::Backend(asio::io_context& context, const Options& given, std::string its_name, const Endpoint& where,
                 std::function<void()> on_death)
    : options(given),
      name(std::move(its_name)),
      delay(given.delay),
      rng(static_cast<uint64_t>(wall_now_ns()) ^ reinterpret_cast<uintptr_t>(this)),
      context_(context),
      address_(where),
      on_death_(std::move(on_death)),
      acceptor_(context) {}

void Backend::listen() {
  auto listener = net::open_listener(address_, 1);
  address_ = listener.address;  // a port of 0 has become a real one, which is kept when it comes back from the dead
  if (name.empty()) name = address_.is_unix() ? "demo" : "demo-" + std::to_string(address_.port());
  acceptor_.assign(Protocol(address_.family(), 0), listener.fds.at(0).release());
  log::info("listening", {{"backend", name}, {"address", address_.to_string()}});
  asio::co_spawn(context_, accept_all(shared_from_this()), asio::detached);
}

asio::awaitable<void> Backend::accept_all(std::shared_ptr<Backend> self) {
  for (;;) {
    Socket socket(context_);
    boost::system::error_code error;
    co_await acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, error));
    if (error == asio::error::operation_aborted || !acceptor_.is_open()) co_return;
    if (error) {  // no descriptors, most likely: not the place to be clever
      asio::steady_timer pause(context_, 100ms);
      co_await pause.async_wait(asio::use_awaitable);
      continue;
    }
    asio::co_spawn(context_, serve(std::move(socket), self), asio::detached);
  }
}

void Backend::die(std::chrono::milliseconds revive_after) {
  log::warn("dies", {{"backend", name}, {"connections", std::to_string(sockets_.size())}});
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  for (Socket* socket : sockets_) {
    socket->set_option(asio::socket_base::linger(true, 0), ignored);  // a reset, as when a process is killed
    socket->close(ignored);
  }
  if (revive_after > 0ms) {
    asio::co_spawn(context_, revive(shared_from_this(), revive_after), asio::detached);
  } else {
    on_death_();
  }
}

void Backend::forget_websocket(const void* websocket) {
  websockets_.erase(websocket);
  if (left_ && websockets_.empty()) std::exchange(left_, {})();
}

void Backend::leave(std::function<void()> left) {
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  if (websockets_.empty()) return left();
  left_ = std::move(left);
  for (const auto& [websocket, goodbye] : websockets_) goodbye();
}

asio::awaitable<void> Backend::revive(std::shared_ptr<Backend>, std::chrono::milliseconds after) {
  asio::steady_timer timer(context_, after);
  co_await timer.async_wait(asio::use_awaitable);
  try {
    listen();
  } catch (const std::exception& error) {
    log::error("stays_dead", {{"backend", name}, {"reason", error.what()}});
    on_death_();
  }
}

int run(const Options& options) {
  asio::io_context context(1);
  asio::signal_set signals(context, SIGINT, SIGTERM);
  size_t alive = options.binds.size();
  std::vector<std::shared_ptr<Backend>> backends;
  for (size_t i = 0; i < options.binds.size(); ++i) {
    const auto where = Endpoint::parse(options.binds[i]);
    if (!where)
      throw std::runtime_error("\"" + options.binds[i] +
                               "\" is no address; write 127.0.0.1:9001, [::1]:9001 or unix:/path");
    const std::string name = i < options.names.size() ? options.names[i] : "";
    auto on_death = [&context, &alive] {
      if (--alive == 0) context.stop();
    };
    backends.push_back(std::make_shared<Backend>(context, options, name, *where, on_death));
    backends.back()->listen();
  }
  // WebSockets are told that their end is coming, as a well-kept application does; whoever does not answer is not
  // waited for long.
  asio::steady_timer patience(context);
  size_t staying = backends.size();
  signals.async_wait([&](boost::system::error_code, int) {
    patience.expires_after(2s);
    patience.async_wait([&context](boost::system::error_code) { context.stop(); });
    for (const auto& backend : backends)
      backend->leave([&context, &staying] {
        if (--staying == 0) context.stop();
      });
  });
  context.run();
  for (const auto& backend : backends) backend->stay();  // its coroutines end with the context, after our variables
  for (const auto& backend : backends)
    log::info("ended", {{"backend", backend->name}, {"requests", std::to_string(backend->requests)}});
  return 0;
}

}  // namespace weir::demo
