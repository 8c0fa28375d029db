#include "health/probe.hpp"

#include <fmt/format.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <optional>

#include "health/http2_question.hpp"
#include "health/rules.hpp"
#include "lb/net/proxy_protocol.hpp"
#include "lb/net/socket.hpp"

namespace weir::health {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr size_t kMaxHead = 64 << 10;
constexpr size_t kInput = 16 << 10;
constexpr size_t kMaxBody = 64 << 10;  // what expect.body looks at

/// Keeps the first kMaxBody bytes and never reserves what a Content-Length claims.
struct CappedBody {
  using value_type = std::string;
  class reader {
   public:
    template <bool is_request, class Fields>
    reader(http::header<is_request, Fields>&, value_type& body) : body_(body) {}
    void init(const boost::optional<uint64_t>&, error_code& error) { error = {}; }
    template <class Buffers>
    size_t put(const Buffers& buffers, error_code& error) {
      error = {};
      size_t taken = 0;
      for (auto it = asio::buffer_sequence_begin(buffers); it != asio::buffer_sequence_end(buffers); ++it) {
        const asio::const_buffer piece = *it;
        body_.append(static_cast<const char*>(piece.data()), std::min(piece.size(), kMaxBody - body_.size()));
        taken += piece.size();
      }
      return taken;
    }
    void finish(error_code& error) { error = {}; }

   private:
    value_type& body_;
  };
};

/// Ours to run out of: the backend is not to blame.
bool is_local_shortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM || error == EADDRNOTAVAIL;
}

std::string connect_words(int error) {
  switch (error) {
    case ECONNREFUSED: return "connect refused";
    case ETIMEDOUT: return "connect timed out";
    case EHOSTUNREACH: return "host unreachable";
    case ENETUNREACH: return "network unreachable";
    case ENOENT: return "no such socket";
    case EACCES: return "no permission to connect";
    case EAGAIN: return "its queue of connections is full";  // unix sockets alone
    default: return fmt::format("connect failed: {}", error_code(error, boost::system::system_category()).message());
  }
}

std::string read_words(const error_code& error, bool have_head) {
  if (error == http::error::end_of_stream) return "closed without an answer";
  if (error == http::error::partial_message) return "closed in the middle of the answer";
  if (error == http::error::header_limit || error == http::error::buffer_overflow)
    return "the answer's head is over 64 KiB";
  if (error == asio::error::connection_reset || error == asio::error::broken_pipe)
    return have_head ? "connection reset in the middle of the answer" : "connection reset";
  if (error.category() == http::make_error_code(http::error::bad_version).category()) return "the answer is not HTTP";
  return error.message();
}

class SocketProbe final : public Probe, public std::enable_shared_from_this<SocketProbe> {
 public:
  SocketProbe(asio::io_context& io, std::shared_ptr<const ProbeSpec> spec, std::function<void(ProbeResult)> done)
      : spec_(std::move(spec)), done_(std::move(done)), socket_(io), deadline_(io), buffer_(kMaxHead) {}

  void start() {
    deadline_.expires_after(spec_->settings.timeout);
    deadline_.async_wait([self = shared_from_this()](const error_code& error) {
      if (!error) self->on_deadline();
    });
    auto upstream = net::connect_to(spec_->address, std::chrono::milliseconds(0));
    if (upstream.error != 0) {
      // Not from within start(): the caller doesn't hold the probe yet.
      asio::post(socket_.get_executor(),
                 [self = shared_from_this(), error = upstream.error] { self->on_connect_error(error); });
      return;
    }
    error_code error;
    socket_.assign({spec_->address.family(), 0}, upstream.fd.get(), error);
    if (error) {
      asio::post(socket_.get_executor(), [self = shared_from_this(), error] { self->on_connect_error(error.value()); });
      return;
    }
    upstream.fd.release();
    socket_.async_wait(asio::socket_base::wait_write, [self = shared_from_this()](const error_code& failed) {
      if (!failed) self->on_connected();
    });
  }

  void cancel() override {
    done_ = nullptr;
    end();
  }

 private:
  bool over() const { return !done_; }

  void end() {
    deadline_.cancel();
    error_code ignored;
    socket_.close(ignored);
  }

  void finish(ProbeResult::Outcome outcome, std::string reason = {}) {
    if (over()) return;
    const auto done = std::exchange(done_, nullptr);
    end();
    done({outcome, std::move(reason)});
  }
  void fail(std::string reason) { finish(ProbeResult::Outcome::failed, std::move(reason)); }

  void on_connect_error(int error) {
    if (is_local_shortage(error))
      finish(ProbeResult::Outcome::not_done, error_code(error, boost::system::system_category()).message());
    else
      fail(connect_words(error));
  }

  void on_deadline() {
    const std::string time = to_words(spec_->settings.timeout);
    if (!connected_) return fail(fmt::format("connect: no answer within {}", time));
    if (shaking_) return fail(fmt::format("TLS: no answer within {}", time));
    const bool began = (parser_ && parser_->got_some()) || (question_ && question_->status());
    fail((began ? "answer not complete within " : "no answer within ") + time);
  }

  void on_connected() {
    if (over()) return;
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(socket_.native_handle(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error != 0) return on_connect_error(error);
    connected_ = true;
    // A fresh socket has room for it; if it is gone already, what is done next says so.
    if (!spec_->preface.empty())
      (void)::send(socket_.native_handle(), spec_->preface.data(), spec_->preface.size(), MSG_NOSIGNAL);
    if (spec_->tls) return shake_hands();
    ask();
  }

  void shake_hands() {
    SSL_CTX_up_ref(spec_->tls->context());  // the context beneath gives it back
    asio::ssl::context context(spec_->tls->context());
    tls_.emplace(socket_, context);
    spec_->tls->prepare(tls_->native_handle(), spec_->tls_name);
    shaking_ = true;
    tls_->async_handshake(asio::ssl::stream_base::client, [self = shared_from_this()](const error_code& failed) {
      if (self->over()) return;
      self->shaking_ = false;
      if (failed) return self->fail(self->handshake_words(failed));
      const unsigned char* protocol = nullptr;
      unsigned length = 0;
      SSL_get0_alpn_selected(self->tls_->native_handle(), &protocol, &length);
      const std::string_view chosen(reinterpret_cast<const char*>(protocol), length);
      if (self->spec_->http2 && chosen != "h2") return self->fail("TLS: it has not chosen h2");
      self->ask();
    });
  }

  std::string handshake_words(const error_code& error) {
    if (const long why = SSL_get_verify_result(tls_->native_handle());
        why != X509_V_OK && spec_->tls->settings().verify)
      return fmt::format("TLS: {}", X509_verify_cert_error_string(why));
    return fmt::format("TLS: {}", error.message());
  }

  /// Calls it with what bytes are moved by: the socket, or TLS on it.
  template <class Use>
  void with_stream(Use use) {
    if (tls_)
      use(*tls_);
    else
      use(socket_);
  }

  void ask() {
    if (spec_->settings.type == config::Health::Type::tcp) return finish(ProbeResult::Outcome::ok);
    if (spec_->http2) {
      const auto& health = spec_->settings;
      question_.emplace(Http2Question::Asked{health.type == config::Health::Type::grpc, spec_->tls != nullptr,
                                             spec_->authority, health.path, health.service});
      return say();
    }
    with_stream([this](auto& stream) {
      asio::async_write(stream, asio::buffer(spec_->request),
                        [self = shared_from_this()](const error_code& failed, size_t) {
                          if (self->over()) return;
                          // A backend may answer and close without reading: what it said decides.
                          if (failed && failed != asio::error::broken_pipe)
                            return self->fail(read_words(failed, false));
                          self->read_head();
                        });
    });
  }

  void read_head() {
    parser_.emplace();
    parser_->get().result(0u);  // until the status line is read
    parser_->header_limit(kMaxHead);
    parser_->body_limit(boost::none);
    buffer_.reserve(4096);
    with_stream([this](auto& stream) {
      http::async_read_header(stream, buffer_, *parser_, [self = shared_from_this()](const error_code& error, size_t) {
        if (self->over()) return;
        if (error) return self->fail(self->foreign_protocol().value_or(read_words(error, false)));
        self->on_head();
      });
    });
  }

  /// HTTP/2: sends what is to be sent, then waits for more.
  void say() {
    output_ = question_->take_output();
    if (output_.empty()) return listen();
    with_stream([this](auto& stream) {
      asio::async_write(stream, asio::buffer(output_), [self = shared_from_this()](const error_code& failed, size_t) {
        if (self->over()) return;
        if (failed && failed != asio::error::broken_pipe) return self->fail(read_words(failed, false));
        self->listen();
      });
    });
  }

  void listen() {
    if (!question_->problem().empty()) return fail(question_->problem());
    input_.resize(kInput);
    with_stream([this](auto& stream) {
      stream.async_read_some(asio::buffer(input_), [self = shared_from_this()](const error_code& error, size_t size) {
        if (self->over()) return;
        if (error == asio::error::eof) return self->fail("closed without an answer");
        if (error) return self->fail(read_words(error, false));
        const bool more = self->question_->receive(self->input_.data(), size);
        self->judge(more);
      });
    });
  }

  void judge(bool more) {
    if (spec_->settings.type == config::Health::Type::grpc) {
      if (!question_->complete()) return go_on(more);
      const std::string wrong = question_->judge_grpc();
      return wrong.empty() ? finish(ProbeResult::Outcome::ok) : fail(wrong);
    }
    const unsigned status = question_->status();
    if (status == 0) return go_on(more);
    if (!expects(status)) return;
    const std::string& wanted = spec_->settings.expect_body;
    if (wanted.empty() || question_->body().find(wanted) != std::string::npos) return finish(ProbeResult::Outcome::ok);
    if (question_->body().size() >= kMaxBody)
      return fail(fmt::format("the first 64 KiB of the body lack \"{}\"", wanted));
    if (question_->complete()) return fail(fmt::format("body lacks \"{}\"", wanted));
    go_on(more);
  }

  void go_on(bool more) {
    if (more) return say();
    // What it says of us is sent no more: the connection ends here.
    question_->take_output();
    const std::string problem = question_->problem();
    fail(problem.empty() ? "closed in the middle of the answer" : problem);
  }

  /// The parser waits for a whole status line, so that what is none would be called an unfinished one.
  std::optional<std::string> foreign_protocol() const {
    if (parser_->get().result_int() != 0) return std::nullopt;
    const auto bytes = buffer_.cdata();
    const std::string_view begin(static_cast<const char*>(bytes.data()), std::min<size_t>(bytes.size(), 5));
    if (begin.empty() || std::string_view("HTTP/").starts_with(begin)) return std::nullopt;
    return begin.starts_with("\x15\x03") ? "the answer is TLS, not HTTP" : "the answer is not HTTP";
  }

  void on_head() {
    const unsigned status = parser_->get().result_int();
    if (status / 100 == 1 && status != 101) return read_head();  // interim; the deadline bounds how many
    if (!expects(status)) return;
    if (spec_->settings.expect_body.empty()) return finish(ProbeResult::Outcome::ok);
    read_body();
  }

  /// False: it is not, and the check has failed.
  bool expects(unsigned status) {
    const auto& ranges = spec_->settings.expect_status;
    if (std::any_of(ranges.begin(), ranges.end(), [&](auto r) { return r.first <= status && status <= r.last; }))
      return true;
    fail(fmt::format("status {}, expected {}", status, to_words(ranges)));
    return false;
  }

  void read_body() {
    const std::string& body = parser_->get().body();
    const std::string& wanted = spec_->settings.expect_body;
    const size_t from = searched_ < wanted.size() ? 0 : searched_ - wanted.size() + 1;
    if (body.find(wanted, from) != std::string::npos) return finish(ProbeResult::Outcome::ok);
    searched_ = body.size();
    if (body.size() >= kMaxBody) return fail(fmt::format("the first 64 KiB of the body lack \"{}\"", wanted));
    if (parser_->is_done()) return fail(fmt::format("body lacks \"{}\"", wanted));
    with_stream([this](auto& stream) {
      http::async_read_some(stream, buffer_, *parser_, [self = shared_from_this()](const error_code& error, size_t) {
        if (self->over()) return;
        if (error) return self->fail(read_words(error, true));
        self->read_body();
      });
    });
  }

  const std::shared_ptr<const ProbeSpec> spec_;
  std::function<void(ProbeResult)> done_;
  asio::generic::stream_protocol::socket socket_;
  std::optional<asio::ssl::stream<asio::generic::stream_protocol::socket&>> tls_;
  asio::steady_timer deadline_;
  boost::beast::flat_buffer buffer_;
  std::optional<http::response_parser<CappedBody>> parser_;
  std::optional<Http2Question> question_;
  std::string output_, input_;
  size_t searched_ = 0;
  bool connected_ = false, shaking_ = false;
};

}  // namespace

std::shared_ptr<const ProbeSpec> make_probe_spec(const config::Health& health, const config::Backend& backend,
                                                 const std::shared_ptr<const net::TlsClient>& tls,
                                                 const std::string& server_name, ProxyVersion proxy, bool http2) {
  auto spec = std::make_shared<ProbeSpec>();
  spec->address = backend.address;
  spec->settings = health;
  net::ProxyHeader own;
  own.version = proxy;
  own.local = true;
  net::ProxyBytes room;
  spec->preface = net::write_proxy_header(own, room);
  if (backend.tls && (health.type == config::Health::Type::http || backend.tcp)) {
    spec->tls = tls;
    spec->tls_name = server_name.empty() ? backend.url_host() : server_name;
  }
  spec->http2 = http2 && health.type != config::Health::Type::tcp;
  if (spec->http2) spec->authority = health.host.empty() ? backend.authority : health.host;
  if (health.type == config::Health::Type::http && !http2)
    spec->request = fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: weir/" WEIR_VERSION
                                " health\r\nAccept: */*\r\nConnection: close\r\n\r\n",
                                health.path, health.host.empty() ? backend.authority : health.host);
  return spec;
}

std::shared_ptr<Probe> start_probe(asio::io_context& io, std::shared_ptr<const ProbeSpec> spec,
                                   std::function<void(ProbeResult)> done) {
  auto probe = std::make_shared<SocketProbe>(io, std::move(spec), std::move(done));
  probe->start();
  return probe;
}

}  // namespace weir::health
