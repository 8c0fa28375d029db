// A session over a socket pair, with small buffers in the kernel: what a connection sees of it.
#include "lb/net/tls_session.hpp"

#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "tests/catch.hpp"
#include "tests/unit/net/tls_support.hpp"

using namespace weir;
using namespace weir::net;
using namespace weir::net::test;

namespace {

std::string pattern(size_t size) {
  std::string text(size, '\0');
  uint32_t state = 1;
  for (char& c : text) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return text;
}

/// Both ends in one thread, in turns.
struct Pair {
  explicit Pair(int version = TLS1_3_VERSION, int kernel_bytes = 0) {
    int fds[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    if (kernel_bytes)
      for (const int fd : fds) ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kernel_bytes, sizeof kernel_bytes);
    server = Stream(UniqueFd(fds[0]));
    client = Stream(UniqueFd(fds[1]));
    std::vector<TlsProblem> problems;
    made = TlsServer::build(settings_with({make_certificate("a.test", "DNS:a.test")}), kNow, problems);
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(context, version);
    SSL_CTX_set_mode(context, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    server.start_tls(made->accept(scratch, server.fd()));
    client.start_tls(std::make_unique<TlsSession>(context, nullptr, scratch, client.fd()));
    SSL_set_connect_state(client.tls()->native());
  }
  ~Pair() {
    client = Stream();
    server = Stream();
    SSL_CTX_free(context);
    CHECK(buffers.used() == 0);
  }

  void shake_hands() {
    IoResult ours{}, theirs{};
    for (int i = 0; i < 20 && (!server.tls()->established() || !client.tls()->established()); ++i) {
      if (!client.tls()->established()) theirs = client.tls()->handshake();
      if (client.tls()->established()) client.tls()->flush();  // else it would go out with the first bytes
      if (!server.tls()->established()) ours = server.tls()->handshake();
    }
    REQUIRE(ours.status == IoStatus::ok);
    REQUIRE(theirs.status == IoStatus::ok);
  }

  BufferPool buffers;
  TlsScratch scratch{buffers};
  Stream server, client;
  std::shared_ptr<const TlsServer> made;
  SSL_CTX* context = nullptr;
};

/// As the connections do it: what is not taken is kept, and offered again.
struct Sender {
  Stream& stream;
  std::string waiting;
  bool failed = false;
  void offer() {
    while (!waiting.empty()) {
      const auto result = stream.send(waiting.data(), waiting.size());
      failed = result.status == IoStatus::error;
      if (result.status != IoStatus::ok) return;
      waiting.erase(0, result.bytes);
    }
  }
};

}  // namespace

TEST_CASE("TLS: bytes arrive whole and in order, however small the kernel's buffers and the reader's", "[tls]") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  const int kernel = GENERATE(4608, 30'000, 1 << 20);
  const size_t piece = GENERATE(1000, 16'384, 262'144);
  Pair pair(version, kernel);
  pair.shake_hands();
  const std::string sent = pattern(600'000);
  Sender sender{pair.server, sent};
  std::string got;
  std::vector<char> room(piece);
  int idle = 0;
  while (got.size() < sent.size() && idle < 3) {
    sender.offer();
    ++idle;
    for (;;) {
      const auto result = pair.client.receive(room.data(), room.size());
      if (result.status != IoStatus::ok) {
        CHECK(result.status == IoStatus::would_block);
        break;
      }
      idle = 0;
      got.append(room.data(), result.bytes);
      if (!result.more) break;
    }
  }
  CHECK(sender.waiting.empty());
  CHECK(got == sent);
  CHECK_FALSE(pair.server.tls()->unsent());
}

TEST_CASE("TLS: several parts are sent as one record", "[tls]") {
  Pair pair;
  pair.shake_hands();
  std::string head = "head ", line = "5\r\n", body = pattern(20'000);
  const iovec parts[] = {
      {head.data(), head.size()}, {nullptr, 0}, {line.data(), line.size()}, {body.data(), body.size()}};
  const auto sent = pair.server.send(parts, 4);
  CHECK(sent.bytes == head.size() + line.size() + body.size());
  std::string got(30'000, '\0');
  const auto first = pair.client.receive(got.data(), got.size());
  CHECK(first.bytes == sent.bytes);
  got.resize(first.bytes);
  CHECK(got == head + line + body);
}

TEST_CASE("TLS: what is decrypted already needs no event", "[tls]") {
  Pair pair;
  pair.shake_hands();
  const std::string sent = pattern(50'000);
  Sender sender{pair.server, sent};
  sender.offer();
  char room[100];
  size_t got = 0;
  for (;;) {
    const auto result = pair.client.receive(room, sizeof room);
    if (result.status != IoStatus::ok) break;
    got += result.bytes;
    if (!result.more) break;
    if (got < 40'000) CHECK(pair.client.unread());
  }
  CHECK(got == sent.size());
  CHECK_FALSE(pair.client.unread());
}

TEST_CASE("TLS: an end that is told, and one that is not", "[tls]") {
  char room[100];
  {
    Pair pair;
    pair.shake_hands();
    Sender{pair.server, "last words"}.offer();
    pair.server.shutdown_send();
    CHECK(pair.client.receive(room, sizeof room).bytes == 10);
    CHECK(pair.client.receive(room, sizeof room).status == IoStatus::end);
    CHECK(pair.client.receive(room, sizeof room).status == IoStatus::end);
    Sender back{pair.client, "an answer"};
    back.offer();
    CHECK(pair.server.receive(room, sizeof room).bytes == 9);
  }
  {
    Pair pair;
    pair.shake_hands();
    Sender{pair.server, "half of it"}.offer();
    pair.server.close_with_reset();
    CHECK(pair.client.receive(room, sizeof room).bytes == 10);
    CHECK(pair.client.receive(room, sizeof room).status == IoStatus::error);
    CHECK(pair.client.receive(room, sizeof room).status == IoStatus::error);
  }
  {
    Pair pair;
    pair.shake_hands();
    pair.server.close();
    CHECK(pair.client.receive(room, sizeof room).status == IoStatus::end);
  }
}

TEST_CASE("TLS: close_notify waits for what is before it, and the FIN for close_notify", "[tls]") {
  Pair pair(TLS1_3_VERSION, 4608);
  pair.shake_hands();
  const std::string sent = pattern(100'000);
  Sender sender{pair.server, sent};
  std::string got;
  char room[20'000];
  bool told = false;
  IoStatus last = IoStatus::would_block;
  for (int i = 0; i < 1000 && last != IoStatus::end; ++i) {
    sender.offer();
    if (sender.waiting.empty() && !std::exchange(told, true)) pair.server.shutdown_send();
    if (pair.server.tls()->unsent()) pair.server.tls()->flush();
    const auto result = pair.client.receive(room, sizeof room);
    last = result.status;
    if (last == IoStatus::ok) got.append(room, result.bytes);
  }
  CHECK(last == IoStatus::end);
  CHECK(got == sent);
}

TEST_CASE("TLS: the records before the one that fails have gone, and the next call says that it failed", "[tls]") {
  const bool withheld = GENERATE(false, true);  // one of the first call is still on its way
  constexpr size_t kRecord = TlsScratch::kRecord;
  Pair pair(TLS1_3_VERSION, withheld ? 4608 : 1 << 20);
  pair.shake_hands();
  std::string sent = pattern(3 * kRecord), room(4 * kRecord, '\0'), got;
  const auto read = [&] {
    for (;;) {
      const auto result = pair.client.receive(room.data(), room.size());
      if (result.status != IoStatus::ok) return;
      got.append(room, 0, result.bytes);
    }
  };
  size_t done = 0;
  if (withheld) {
    CHECK(pair.server.send(sent.data(), sent.size()).status == IoStatus::would_block);
    while (pair.server.tls()->unsent()) {
      read();
      pair.server.tls()->flush();
    }
  }
  // Before the record after the first, the connection breaks.
  struct Break {
    int fd, records;
  } when{pair.server.fd(), withheld ? 1 : 2};
  const auto watch = [](int write, int, int type, const void*, size_t, SSL*, void* argument) {
    auto& own = *static_cast<Break*>(argument);
    if (write && type == SSL3_RT_HEADER && --own.records == 0) ::shutdown(own.fd, SHUT_RDWR);
  };
  SSL_set_msg_callback(pair.server.tls()->native(), watch);
  SSL_set_msg_callback_arg(pair.server.tls()->native(), &when);
  const auto first = pair.server.send(sent.data(), sent.size());
  CHECK(first.status == IoStatus::ok);
  CHECK(first.bytes == kRecord);
  done += first.bytes;
  const auto second = pair.server.send(sent.data() + done, sent.size() - done);
  CHECK(second.status == IoStatus::error);
  CHECK(second.error == EPIPE);
  read();
  CHECK((got == sent.substr(0, done)));
}

TEST_CASE("TLS: a record that OpenSSL refuses after others have gone brings an event", "[tls]") {
  Pair pair;
  pair.shake_hands();
  const std::string sent = pattern(2 * TlsScratch::kRecord);
  struct Fault {
    SSL* ssl;
    int records;
  } fault{pair.server.tls()->native(), 2};
  const auto refuse = [](int write, int, int type, const void*, size_t, SSL*, void* argument) {
    auto& own = *static_cast<Fault*>(argument);
    if (write && type == SSL3_RT_HEADER && --own.records == 1) SSL_set_shutdown(own.ssl, SSL_SENT_SHUTDOWN);
  };
  SSL_set_msg_callback(fault.ssl, refuse);
  SSL_set_msg_callback_arg(fault.ssl, &fault);
  CHECK(pair.server.send(sent.data(), sent.size()).bytes == TlsScratch::kRecord);
  pollfd event{pair.server.fd(), 0, 0};
  CHECK(::poll(&event, 1, 0) == 1);
  CHECK((event.revents & POLLHUP) != 0);
  CHECK(pair.server.send(sent.data(), 1).status == IoStatus::error);
}

TEST_CASE("TLS: why a handshake fails", "[tls]") {
  const auto failure = [](const std::string& bytes) {
    Pair pair;
    pair.client.drop_tls();
    CHECK(pair.client.send(bytes.data(), bytes.size()).bytes == bytes.size());
    pair.client.shutdown_send();
    for (int i = 0; i < 5; ++i)
      if (pair.server.tls()->handshake().status == IoStatus::error) return pair.server.tls()->failure();
    return TlsFailure::none;
  };
  CHECK(failure("GET / HTTP/1.1\r\nHost: a\r\n\r\n") == TlsFailure::plain_http);
  CHECK(failure("PROPFIND / HTTP/1.1\r\n\r\n") == TlsFailure::plain_http);
  CHECK(failure(std::string(100, '\0')) == TlsFailure::not_tls);
  CHECK(failure("ssh-2.0\r\n") == TlsFailure::not_tls);
  CHECK(failure("\x16\x03") == TlsFailure::closed);
  CHECK(failure(std::string("\x16\x03\x01\x00\x04\x63\x00\x00\x00", 9)) == TlsFailure::protocol);
  CHECK(to_string(TlsFailure::overload) == "overload");
}

TEST_CASE("TLS: tickets that wait go out with the first record", "[tls]") {
  for (const bool wait : {false, true}) {
    Pair pair;
    pair.shake_hands();
    REQUIRE(pair.server.tls()->tls13());
    if (wait) pair.server.tls()->let_tickets_wait();
    char byte;
    CHECK(pair.server.receive(&byte, 1).status == IoStatus::would_block);
    CHECK(pair.client.unread() != wait);
    CHECK_FALSE(pair.server.tls()->unsent());
    CHECK(pair.server.send("x", 1).bytes == 1);
    CHECK(pair.client.receive(&byte, 1).bytes == 1);
    CHECK(SSL_SESSION_has_ticket(SSL_get0_session(pair.client.tls()->native())));
  }
}

TEST_CASE("TLS: what was agreed", "[tls]") {
  Pair pair;
  SSL_set_tlsext_host_name(pair.client.tls()->native(), "a.test");
  const unsigned char offered[] = "\x02h2\x08http/1.1";
  SSL_set_alpn_protos(pair.client.tls()->native(), offered, sizeof offered - 1);
  pair.shake_hands();
  CHECK(pair.server.tls()->tls13());
  CHECK_FALSE(pair.server.tls()->resumed());
  CHECK(pair.server.tls()->alpn() == "http/1.1");
  CHECK(pair.server.tls()->server_name() == "a.test");
  CHECK(pair.server.tls()->identity().empty());
}
