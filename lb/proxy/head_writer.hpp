// Writes the heads that leave the proxy: the request for the backend, the response for the client. Pure: bytes in,
// bytes out.
#pragma once
#include <cstring>
#include <string>
#include <string_view>

#include "config/model.hpp"
#include "lb/net/http1.hpp"

namespace weir::proxy {

/// Appends to a fixed piece of memory; what does not fit sets overflow() and is left out.
class HeadWriter {
 public:
  HeadWriter(char* begin, size_t size) : begin_(begin), at_(begin), end_(begin + size) {}
  void add(std::string_view text) { add_all(text); }
  /// All of them, or none: room is looked for once.
  template <typename... Texts>
  void add_all(Texts... texts) {
    const size_t size = (std::string_view(texts).size() + ...);
    if (static_cast<size_t>(end_ - at_) < size) {
      overflow_ = true;
      return;
    }
    (copy(std::string_view(texts)), ...);
  }
  void field(std::string_view name, std::string_view value) { add_all(name, ": ", value, "\r\n"); }
  void number(uint64_t value);
  void status(uint16_t value);  // 100–999
  void hex(uint64_t value);
  bool overflow() const { return overflow_; }
  std::string_view view() const { return {begin_, static_cast<size_t>(at_ - begin_)}; }
  size_t size() const { return static_cast<size_t>(at_ - begin_); }

 private:
  void copy(std::string_view text) {
    if (text.empty()) return;  // memcpy must not see a null pointer
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }

  char* begin_;
  char* at_;
  char* end_;
  bool overflow_ = false;
};

/// What the proxy knows beyond the client's head.
struct RequestContext {
  std::string_view path;  // forwarded form, before `rewrite`
  std::string_view matched_path;
  const config::Route* route = nullptr;
  const config::Pool* pool = nullptr;
  const config::Backend* backend = nullptr;
  std::string_view peer;    // the address of the TCP peer
  std::string_view client;  // the address that is believed
  std::string_view request_id;
  std::string_view user;     // who was let in by auth; empty: nobody
  std::string_view granted;  // field lines of forward-auth's answer, to be sent on
  std::string_view port;     // of the listener; empty: it has none
  bool trusted = false;      // may the peer's X-Forwarded-*, Forwarded and X-Request-Id stand?
  bool forwarded = false;    // also send RFC 7239 Forwarded
  bool upgrade = false;
  bool trailers = false;  // the client takes them, and so does the connection to the backend
  http1::Framing framing = http1::Framing::none;
  uint32_t max_forwards = ~uint32_t{0};  // received Max-Forwards, to be sent one less
  std::string_view hidden_cookie = {};   // pairs of this name are not passed on; empty: all are
  std::string_view traceparent = {};     // line, in place of the request's; empty: that and its state are passed on
  bool tracestate = false;               // beside a traceparent of ours, the request's tracestate goes on
  bool tls = false;                      // the client came by TLS
  std::string_view identity = {};        // field lines that say what its certificate says
};
void write_request_head(HeadWriter& out, const http1::RequestHead& head, const RequestContext& context);

/// The path that write_request_head writes: the forwarded form, with the route's `rewrite`.
std::string upstream_path(const config::Route& route, const http1::NormalizedPath& path);

/// The question of forward-auth: a GET with the head's fields, less its conditions, and where the request would go.
void write_auth_head(HeadWriter& out, const http1::RequestHead& head, const RequestContext& context,
                     const config::ForwardAuth& how);

/// What compression says in the response's head.
struct CompressionFields {
  std::string_view coding = {};       // Content-Encoding; empty: the body goes on as it came
  std::string_view strong_etag = {};  // to be written as a weak one; empty: there is none
  bool vary = false;                  // Accept-Encoding joins what Vary says; its lines are marked drop
};

struct ResponseContext {
  const config::Route* route = nullptr;
  std::string_view date;  // added when the backend sent none (RFC 9110 §6.6.1)
  bool keep_alive = true;
  uint8_t downstream_minor = 1;
  bool chunked = false;                                  // the body follows in chunks
  bool upgrade = false;                                  // 101
  std::string_view cookie_name = {}, cookie_value = {};  // to be set; empty: none
  bool tls = false;                                      // the client came by TLS
  std::string_view hsts = {};                            // the line of Strict-Transport-Security; empty: none
  const CompressionFields* compression = nullptr;        // null: nothing
};
void write_response_head(HeadWriter& out, const http1::ResponseHead& head, const ResponseContext& context);
/// A 1xx other than 101, as it came less its hop-by-hop fields.
void write_interim_head(HeadWriter& out, const http1::ResponseHead& head);

/// Field lines of an answer of ours, each with its line end, as a route's `response_headers` want them.
std::string with_rules(std::string_view lines, const config::HeaderRules& rules);

/// The standard reason phrase, empty for an unknown status.
std::string_view reason_phrase(uint16_t status);

}  // namespace weir::proxy
