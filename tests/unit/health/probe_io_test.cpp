// Probes against real servers in this process. Time-outs that must pass are short; all others are so long that no
// machine reaches them.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "health/probe.hpp"
#include "tests/catch.hpp"
#include "tests/unit/health/servers.hpp"

namespace weir::health {
using namespace std::chrono_literals;
using namespace test;

namespace {

config::Health http_health(config::milliseconds timeout = 30s) {
  config::Health health;
  health.type = config::Health::Type::http;
  health.timeout = timeout;
  return health;
}

config::Backend backend_at(const Endpoint& address) {
  config::Backend backend;
  backend.name = "b";
  backend.address = address;
  backend.authority = address.is_unix() ? "localhost" : address.to_string();
  return backend;
}

/// "ok", or the reason.
std::string outcome(asio::io_context& io, const config::Health& health, const Endpoint& address) {
  std::optional<ProbeResult> result;
  const auto probe = start_probe(io, make_probe_spec(health, backend_at(address)), [&](ProbeResult r) {
    CHECK_FALSE(result);
    result = std::move(r);
  });
  CHECK_FALSE(result);  // never from within
  if (!run_until(io, [&] { return result.has_value(); })) return "the probe never ended";
  if (result->outcome == ProbeResult::Outcome::not_done) return "not done: " + result->reason;
  CHECK((result->outcome == ProbeResult::Outcome::ok) == result->reason.empty());
  return result->outcome == ProbeResult::Outcome::ok ? "ok" : result->reason;
}

std::string outcome(const config::Health& health, Behaviour behaviour) {
  asio::io_context io;
  FakeBackend backend(io, std::move(behaviour));
  return outcome(io, health, backend.address);
}

std::string temporary_socket() {
  return (std::filesystem::temp_directory_path() / fmt::format("weir-probe-{}.sock", ::getpid())).string();
}

}  // namespace

TEST_CASE("what an HTTP check says of an answer") {
  auto health = http_health();
  const std::string ok_body = "{\"status\":\"ok\"}";
  CHECK(outcome(health, answers_status(200)) == "ok");
  CHECK(outcome(health, answers_status(204)) == "ok");
  CHECK(outcome(health, answers("HTTP/1.0 200 OK\r\n\r\nhello")) == "ok");
  CHECK(outcome(health, answers("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")) == "ok");
  CHECK(outcome(health, answers_status(500)) == "status 500, expected 200-299");
  CHECK(outcome(health, answers_status(301)) == "status 301, expected 200-299");
  CHECK(outcome(health, answers("HTTP/1.1 101 Switching Protocols\r\n\r\n")) == "status 101, expected 200-299");
  health.expect_status = {{200, 200}, {401, 403}};
  CHECK(outcome(health, answers_status(402)) == "ok");
  CHECK(outcome(health, answers_status(204)) == "status 204, expected 200, 401-403");

  health = http_health();
  health.expect_body = "\"ok\"";
  CHECK(outcome(health, answers_status(200, ok_body)) == "ok");
  CHECK(outcome(health, answers_status(200, "failing")) == "body lacks \"\"ok\"\"");
  CHECK(outcome(health, answers_status(204)) == "body lacks \"\"ok\"\"");
  CHECK(outcome(health, answers("HTTP/1.1 200 OK\r\n\r\n" + ok_body)) == "ok");
  CHECK(outcome(health, answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                "2\r\n\"o\r\n2\r\nk\"\r\n0\r\n\r\n")) == "ok");
  CHECK(outcome(health, answers("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")) ==
        "closed in the middle of the answer");
}

TEST_CASE("what an HTTP check says of backends that don't answer properly") {
  const auto health = http_health();
  CHECK(outcome(health, answers("")) == "closed without an answer");
  CHECK(outcome(health, answers("SSH-2.0-OpenSSH_9.2\r\n")) == "the answer is not HTTP");
  CHECK(outcome(health, answers(std::string("\x15\x03\x01\x00\x02\x02\x46", 7))) == "the answer is TLS, not HTTP");
  CHECK(outcome(health, answers("HTTP/1.1 200 OK\r\nContent-Le")) == "closed in the middle of the answer");
  CHECK(outcome(health, answers("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")) == "the answer is not HTTP");
  CHECK(outcome(health, resets()) == "connection reset");
  CHECK(outcome(health, floods("HTTP/1.1 200 OK\r\nX: ", 'x')) == "the answer's head is over 64 KiB");
}

TEST_CASE("a large body is read no further than 64 KiB") {
  auto health = http_health();
  health.expect_body = "needle";
  CHECK(outcome(health, floods("HTTP/1.1 200 OK\r\n\r\n", 'x')) == "the first 64 KiB of the body lack \"needle\"");
  CHECK(outcome(health, floods("HTTP/1.1 200 OK\r\n\r\nneedle", 'x')) == "ok");
  // A length that nobody could reserve.
  CHECK(outcome(health, floods("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n", 'x')) ==
        "the first 64 KiB of the body lack \"needle\"");
  const std::string pad(65'536 - 6, 'x');
  CHECK(outcome(health, answers_status(200, pad + "needle" + pad)) == "ok");
  CHECK(outcome(health, answers_status(200, pad + "xneedle")) == "the first 64 KiB of the body lack \"needle\"");
  // Not asked for, it isn't read at all.
  CHECK(outcome(http_health(), floods("HTTP/1.1 200 OK\r\n\r\n", 'x')) == "ok");
}

TEST_CASE("the time-out is that of the whole check") {
  CHECK(outcome(http_health(60ms), stalls()) == "no answer within 60ms");
  auto health = http_health(500ms);  // time enough for a first byte
  CHECK(outcome(health, trickles("HTTP/1.1 200 OK\r\n", 'X')) == "answer not complete within 500ms");
  health.expect_body = "ok";
  CHECK(outcome(health, trickles("HTTP/1.1 200 OK\r\n\r\n", 'x')) == "answer not complete within 500ms");
}

TEST_CASE("nobody listens") {
  asio::io_context io;
  Endpoint address;
  {
    FakeBackend gone(io, stalls());
    address = gone.address;
  }
  CHECK(outcome(io, http_health(), address) == "connect refused");
  auto tcp = http_health();
  tcp.type = config::Health::Type::tcp;
  CHECK(outcome(io, tcp, address) == "connect refused");
}

TEST_CASE("a TCP check asks for a connection and nothing else") {
  asio::io_context io;
  FakeBackend backend(io, stalls());
  auto tcp = http_health();
  tcp.type = config::Health::Type::tcp;
  CHECK(outcome(io, tcp, backend.address) == "ok");
  CHECK(run_until(io, [&] { return backend.accepted == 1; }));
  CHECK(backend.last_request.empty());
}

TEST_CASE("the request of a check") {
  asio::io_context io;
  FakeBackend backend(io, answers_status(200));
  auto health = http_health();
  health.path = "/healthz?deep=1";
  CHECK(outcome(io, health, backend.address) == "ok");
  CHECK(backend.last_request == fmt::format("GET /healthz?deep=1 HTTP/1.1\r\nHost: {}\r\nUser-Agent: weir/" WEIR_VERSION
                                            " health\r\nAccept: */*\r\nConnection: close\r\n\r\n",
                                            backend.address.to_string()));
  health.host = "app.example.com";
  CHECK(outcome(io, health, backend.address) == "ok");
  CHECK(backend.last_request.find("\r\nHost: app.example.com\r\n") != std::string::npos);
}

TEST_CASE("unix sockets") {
  const std::string path = temporary_socket();
  std::filesystem::remove(path);
  const auto address = *Endpoint::parse("unix:" + path);
  asio::io_context io;
  CHECK(outcome(io, http_health(), address) == "no such socket");
  {
    FakeBackend backend(io, answers_status(200), "unix:" + path);
    CHECK(outcome(io, http_health(), address) == "ok");
    CHECK(backend.last_request.find("\r\nHost: localhost\r\n") != std::string::npos);
  }
  CHECK(outcome(io, http_health(), address) == "connect refused");
  std::filesystem::remove(path);
}

TEST_CASE("IPv6, where there is any") {
  asio::io_context io;
  std::unique_ptr<FakeBackend> backend;
  try {
    backend = std::make_unique<FakeBackend>(io, answers_status(200), "[::1]:0");
  } catch (const boost::system::system_error&) {
    WARN("no IPv6 on this machine");
    return;
  }
  CHECK(outcome(io, http_health(), backend->address) == "ok");
}

TEST_CASE("a cancelled check says nothing and leaves nothing behind") {
  asio::io_context io;
  std::optional<FakeBackend> backend(std::in_place, io, stalls());
  bool called = false;
  const auto token = std::make_shared<int>(0);
  auto probe = start_probe(io, make_probe_spec(http_health(), backend_at(backend->address)),
                           [&called, token](const ProbeResult&) { called = true; });
  CHECK(run_until(io, [&] { return !backend->last_request.empty(); }));
  probe->cancel();
  probe.reset();
  backend.reset();
  io.restart();
  io.run();  // returns: nothing is left to wait for, long before the time-out of 30 s
  CHECK_FALSE(called);
  CHECK(token.use_count() == 1);
}

}  // namespace weir::health
