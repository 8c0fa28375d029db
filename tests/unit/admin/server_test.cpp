#include "lb/admin/server.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <future>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include "lb/admin/broadcast.hpp"
#include "lb/base/log.hpp"
#include "lb/base/unique_fd.hpp"
#include "tests/catch.hpp"
#include "tests/unit/admin/fixture.hpp"

using namespace weir;
using namespace weir::admin;
using weir::admin::test::Fixture;

namespace {

/// The server on a control thread of its own.
struct Running {
  Running() {
    before = log::set_sink([this](std::string_view line) { events += line; });
    address = server.listen(*Endpoint::parse("127.0.0.1:0"), Surface::everything);
    metrics = server.listen(*Endpoint::parse("127.0.0.1:0"), Surface::metrics_only);
    unannounced = events;
    server.announce();
    log::set_sink(before);
    thread = std::thread([this] { control.run(); });
  }
  ~Running() {
    stop();
    guard.reset();
    thread.join();
  }
  void on_control(std::function<void()> work) {
    std::promise<void> done;
    boost::asio::post(control, [&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }
  void stop() {
    on_control([this] { server.stop(); });
  }

  Fixture fixture;
  std::string events, unannounced;
  log::Sink before;
  boost::asio::io_context control{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard{control.get_executor()};
  Server server{control, fixture.sources()};
  Endpoint address, metrics;
  std::thread thread;
};

class Client {
 public:
  explicit Client(const Endpoint& where) : fd_(::socket(where.family(), SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval limit{20, 0};  // a test that hangs ends
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    REQUIRE(::connect(fd_.get(), where.address(), where.length) == 0);
  }
  void send(const std::string& bytes) { ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  /// Everything up to the end of the connection.
  std::string rest() {
    std::string all;
    char buffer[4096];
    for (ssize_t n; (n = ::recv(fd_.get(), buffer, sizeof(buffer), 0)) > 0;) all.append(buffer, static_cast<size_t>(n));
    return all;
  }
  /// Up to and with `mark`.
  std::string until(const std::string& mark) {
    std::string all;
    char c;
    while (!all.ends_with(mark) && ::recv(fd_.get(), &c, 1, 0) == 1) all += c;
    return all;
  }

 private:
  UniqueFd fd_;
};

std::string round_trip(const Endpoint& where, const std::string& bytes) {
  Client client(where);
  client.send(bytes);
  return client.rest();
}

std::string get(const Endpoint& where, const std::string& path, const std::string& more = "Host: localhost\r\n") {
  return round_trip(where, "GET " + path + " HTTP/1.1\r\n" + more + "Connection: close\r\n\r\n");
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

}  // namespace

TEST_CASE("it answers over a socket, with the protective fields", "[admin][net]") {
  Running running;
  const auto metrics = get(running.address, "/metrics");
  CHECK(metrics.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(has(metrics, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  CHECK(has(metrics, "Cache-Control: no-store\r\n"));
  CHECK(has(metrics, "X-Content-Type-Options: nosniff\r\n"));
  CHECK(has(metrics, "\nweir_build_info{"));
  const auto index = get(running.address, "/");
  CHECK(has(index, "Content-Security-Policy: default-src 'none'; "));
  CHECK(has(get(running.address, "/api/v1/pools"), "\"name\": \"search\""));
  CHECK(get(running.address, "/-/ready").starts_with("HTTP/1.1 503 "));
  CHECK(get(running.address, "/nothing").starts_with("HTTP/1.1 404 Not Found\r\n"));
}

TEST_CASE("the events name the real ports", "[admin][net]") {
  Running running;
  CHECK(running.address.port() != 0);
  CHECK(running.unannounced == "");
  CHECK(has(running.events,
            "info listening listener=admin address=127.0.0.1:" + std::to_string(running.address.port()) + "\n"));
  CHECK(has(running.events,
            "info listening listener=metrics address=127.0.0.1:" + std::to_string(running.metrics.port()) + "\n"));
}

TEST_CASE("a metrics listener has nothing else", "[admin][net]") {
  Running running;
  CHECK(get(running.metrics, "/metrics").starts_with("HTTP/1.1 200 "));
  CHECK(get(running.metrics, "/-/healthy").starts_with("HTTP/1.1 200 "));
  CHECK(get(running.metrics, "/api/v1/pools").starts_with("HTTP/1.1 404 "));
  CHECK(get(running.metrics, "/").starts_with("HTTP/1.1 404 "));
}

TEST_CASE("strangers' names and origins are refused", "[admin][net]") {
  Running running;
  const auto rebound = get(running.address, "/api/v1/pools", "Host: evil.example\r\n");
  CHECK(rebound.starts_with("HTTP/1.1 403 Forbidden\r\n"));
  CHECK(has(rebound, "Content-Type: application/problem+json\r\n"));
  CHECK(get(running.metrics, "/metrics", "Host: evil.example\r\n").starts_with("HTTP/1.1 403 "));
  CHECK(get(running.address, "/", "Host: localhost\r\nOrigin: http://evil.example\r\n").starts_with("HTTP/1.1 403 "));
  CHECK(get(running.address, "/", "Host: localhost\r\nOrigin: http://localhost\r\n").starts_with("HTTP/1.1 200 "));
  CHECK(get(running.address, "/", "").starts_with("HTTP/1.1 400 "));
  CHECK(get(running.address, "/", "Host: localhost\r\nHost: localhost\r\n").starts_with("HTTP/1.1 400 "));
  CHECK(round_trip(running.address, "GET /-/healthy HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200 "));
}

TEST_CASE("changes need the token over TCP, and refusals are counted and logged", "[admin][net]") {
  std::string events;
  Running running;
  const auto post = [&](const std::string& more, const char* path = "/api/v1/pools/app/backends/a/drain") {
    return round_trip(running.address, std::string("POST ") + path + " HTTP/1.1\r\nHost: localhost\r\n" + more +
                                           "Content-Length: 0\r\nConnection: close\r\n\r\n");
  };
  const auto before = log::set_sink([&](std::string_view line) { events += line; });
  CHECK(post("").starts_with("HTTP/1.1 403 Forbidden\r\n"));
  running.on_control([&] { running.fixture.inventory->token = "0123456789abcdef"; });
  const auto asked = post("");
  CHECK(asked.starts_with("HTTP/1.1 401 Unauthorized\r\n"));
  CHECK(has(asked, "WWW-Authenticate: Bearer realm=\"weir\"\r\n"));
  CHECK(post("Authorization: Bearer 0123456789abcdeX\r\n").starts_with("HTTP/1.1 401 "));
  CHECK(post("Authorization: Bearer 0123456789abcdef\r\n").starts_with("HTTP/1.1 200 "));
  CHECK(post("Authorization: Bearer 0123456789abcdef\r\nOrigin: http://evil.example\r\n").starts_with("HTTP/1.1 403 "));
  log::set_sink(before);
  CHECK(running.fixture.process.admin_refused[static_cast<size_t>(AdminRefusal::token)] == 3);
  CHECK(running.fixture.process.admin_refused[static_cast<size_t>(AdminRefusal::origin)] == 1);
  CHECK(has(events, "warn admin_refused peer=127.0.0.1:"));
  CHECK(has(events, "method=POST target=/api/v1/pools/app/backends/a/drain reason=token"));
  CHECK_FALSE(has(events, "0123456789"));
}

TEST_CASE("methods", "[admin][net]") {
  Running running;
  running.on_control([&] { running.fixture.inventory->token = "0123456789abcdef"; });
  const auto post = round_trip(running.address,
                               "POST /metrics HTTP/1.1\r\nHost: [::1]\r\nAuthorization: Bearer "
                               "0123456789abcdef\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
  CHECK(post.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"));
  CHECK(has(post, "Allow: GET, HEAD\r\n"));
  const auto head =
      round_trip(running.address, "HEAD /-/healthy HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
  CHECK(head.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(has(head, "Content-Length: 3\r\n"));
  CHECK(head.ends_with("\r\n\r\n"));
}

TEST_CASE("a connection is kept, and pipelined requests are answered in order", "[admin][net]") {
  Running running;
  Client client(running.address);
  client.send("GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(client.until("ok\n").starts_with("HTTP/1.1 200 "));
  client.send(
      "HEAD /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\nGET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n"
      "GET /-/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  const auto rest = client.rest();
  CHECK(rest.find("\r\n\r\nHTTP/1.1 200 ") < rest.find("ok\nHTTP/1.1 503 "));
  CHECK(rest.ends_with("first health checks pending\n"));
}

TEST_CASE("what breaks HTTP or is too large is answered, then closed", "[admin][net]") {
  Running running;
  CHECK(round_trip(running.address, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400 Bad Request\r\n"));
  CHECK(round_trip(running.address, "GET / HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n")
            .starts_with("HTTP/1.1 431 "));
  CHECK(round_trip(running.address,
                   "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30000\r\n\r\n" + std::string(30'000, 'x'))
            .starts_with("HTTP/1.1 413 "));
  CHECK(get(running.address, "/-/healthy").starts_with("HTTP/1.1 200 "));
}

TEST_CASE("connections are bounded", "[admin][net]") {
  Running running;
  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 0; i < Server::kConnections; ++i) {
    clients.push_back(std::make_unique<Client>(running.address));
    clients.back()->send("GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n");
    REQUIRE(clients.back()->until("ok\n").ends_with("ok\n"));
  }
  clients.front()->send("GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n");  // no longer idle longest
  REQUIRE(clients.front()->until("ok\n").ends_with("ok\n"));
  CHECK(get(running.address, "/-/healthy").ends_with("ok\n"));
  CHECK(clients[1]->rest() == "");
  clients.front()->send("GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  CHECK(clients.front()->rest().ends_with("ok\n"));
}

TEST_CASE("who fills one listener keeps nobody out of another", "[admin][net]") {
  Running running;
  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 0; i < 2 * Server::kConnections; ++i) {
    clients.push_back(std::make_unique<Client>(running.metrics));
    clients.back()->send("GET /-/healthy HT");  // begun, and never ended
  }
  CHECK(get(running.address, "/-/healthy").ends_with("ok\n"));
  CHECK(get(running.metrics, "/-/healthy").ends_with("ok\n"));
  CHECK(clients.front()->rest() == "");
}

TEST_CASE("events are snapshots, one a second, to a bounded number of listeners", "[admin][net]") {
  Running running;
  const std::string ask = "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 0; i < Broadcast::kStreams; ++i) {
    clients.push_back(std::make_unique<Client>(running.address));
    clients.back()->send(ask);
    const auto head = clients.back()->until("\r\n\r\n");
    CHECK(has(head, "Content-Type: text/event-stream\r\n"));
    CHECK(clients.back()->until("data: ") == "retry: 1000\n\ndata: ");
    CHECK(has(clients.back()->until("\n\n"), "\"pools\":["));
  }
  CHECK(round_trip(running.address, ask).starts_with("HTTP/1.1 503 "));
  CHECK(get(running.address, "/-/healthy").ends_with("ok\n"));
  const auto second = clients[0]->until("\n\n");
  CHECK(second == clients[1]->until("\n\n"));  // made once for all
  clients[2].reset();
  std::string head;
  for (int tries = 0; tries < 400 && !head.starts_with("HTTP/1.1 200 "); ++tries) {
    Client again(running.address);
    again.send(ask);
    head = again.until("\r\n\r\n");
  }
  CHECK(head.starts_with("HTTP/1.1 200 "));
  running.stop();
  CHECK_FALSE(has(clients[0]->rest(), "HTTP/1.1"));
}

TEST_CASE("a session is opened with the token, and its cookie stands for it", "[admin][net]") {
  Running running;
  running.on_control([&] { running.fixture.inventory->token = "0123456789abcdef"; });
  const auto post = [&](const std::string& path, const std::string& more) {
    return round_trip(running.address, "POST " + path + " HTTP/1.1\r\nHost: localhost\r\n" + more +
                                           "Content-Length: 0\r\nConnection: close\r\n\r\n");
  };
  CHECK(post("/api/v1/session", "Authorization: Bearer 0123456789abcdeX\r\n").starts_with("HTTP/1.1 401 "));
  const auto opened = post("/api/v1/session", "Authorization: Bearer 0123456789abcdef\r\n");
  const std::string name = "weir_session_" + std::to_string(running.address.port()),
                    field = "Set-Cookie: " + name + "=";
  REQUIRE(has(opened, field));
  const auto cookie = "Cookie: " + name + "=" + opened.substr(opened.find(field) + field.size(), 64) + "\r\n";
  const std::string drain = "/api/v1/pools/app/backends/a/drain", origin = "Origin: http://localhost\r\n";
  CHECK(post(drain, cookie + origin).starts_with("HTTP/1.1 200 "));
  CHECK(post(drain, cookie).starts_with("HTTP/1.1 401 "));
  CHECK(post(drain, cookie + "Origin: http://localhost:81\r\n").starts_with("HTTP/1.1 403 "));
  CHECK(post("/api/v1/session/end", cookie + origin).starts_with("HTTP/1.1 200 "));
  CHECK(post(drain, cookie + origin).starts_with("HTTP/1.1 401 "));
}

TEST_CASE("stop closes everything", "[admin][net]") {
  Running running;
  Client idle(running.address);
  idle.send("GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n");
  idle.until("ok\n");
  running.stop();
  CHECK(idle.rest() == "");
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  CHECK(::connect(fd.get(), running.address.address(), running.address.length) != 0);
  running.stop();
}

TEST_CASE("a port in use is one clear line", "[admin][net]") {
  Running running;
  running.on_control([&] {
    try {
      running.server.listen(running.address, Surface::everything);
      running.events = "no exception";
    } catch (const std::system_error& e) {
      running.events = e.what();
    }
  });
  CHECK(has(running.events, "cannot listen on " + running.address.to_string()));
  CHECK(has(running.events, "Address already in use"));
}

TEST_CASE("a unix socket, for the owner and the group", "[admin][net]") {
  Running running;
  char folder[] = "/tmp/weir-admin-XXXXXX";
  REQUIRE(::mkdtemp(folder));
  const std::string path = std::string(folder) + "/admin.sock";
  const auto before = log::set_sink([](std::string_view) {});
  running.on_control([&] { running.server.listen(*Endpoint::parse("unix:" + path), Surface::everything); });
  log::set_sink(before);
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0660);
  CHECK(get(*Endpoint::parse("unix:" + path), "/-/healthy", "Host: weir\r\n").starts_with("HTTP/1.1 200 "));
  CHECK(round_trip(*Endpoint::parse("unix:" + path),
                   "POST /api/v1/pools/app/backends/b/drain HTTP/1.1\r\nHost: weir\r\n"
                   "Content-Length: 0\r\nConnection: close\r\n\r\n")
            .starts_with("HTTP/1.1 200 "));
  CHECK(running.fixture.backend(0, 1).ordered_by == "uid " + std::to_string(::getuid()));
  running.stop();
  CHECK(::access(path.c_str(), F_OK) != 0);
  ::rmdir(folder);
}

TEST_CASE("the command line's socket: its folder is made, and what can't be had is one line", "[admin][net]") {
  Running running;
  char folder[] = "/tmp/weir-admin-XXXXXX";
  REQUIRE(::mkdtemp(folder));
  const std::string below = std::string(folder) + "/weir", path = below + "/admin.sock";
  std::string events;
  const auto before = log::set_sink([&](std::string_view line) { events += line; });
  running.on_control([&] {
    CHECK(running.server.listen_on_socket(path));
    CHECK_FALSE(running.server.listen_on_socket(path));  // as a second weir would
    CHECK_FALSE(running.server.listen_on_socket(std::string(folder) + "/none/none/admin.sock"));
    running.server.announce();
  });
  log::set_sink(before);
  CHECK(has(events, "info listening listener=admin_socket address=unix:" + path + "\n"));
  CHECK(has(events, "warn admin_socket_failed path=" + path + " reason=\"cannot listen on unix:" + path));
  CHECK(has(events, "warn admin_socket_failed path=" + std::string(folder) + "/none/none/admin.sock"));
  CHECK(get(*Endpoint::parse("unix:" + path), "/-/healthy").starts_with("HTTP/1.1 200 "));
  running.stop();
  ::rmdir(below.c_str());
  ::rmdir(folder);
}
