#include "lb/net/http2_request.hpp"

#include <algorithm>
#include <array>

#include "lb/net/http1.hpp"
#include "lb/net/http2_fields.hpp"

namespace weir::http2 {

namespace {

constexpr uint32_t kOverhead = 64;  // counted for each field, so that many small ones are not free (E4)

consteval std::array<bool, 256> name_bytes() {
  std::array<bool, 256> table{};
  for (const char c : std::string_view("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"))
    table[static_cast<unsigned char>(c)] = true;
  return table;
}
constexpr std::array<bool, 256> kNameBytes = name_bytes();

bool is_name(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return kNameBytes[static_cast<unsigned char>(c)]; });
}

/// Nothing that would end a line.
bool is_value(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte >= 0x20 && byte != 0x7f) || byte == '\t';
  });
}

/// … nor a word of the request line.
bool is_word(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) > 0x20 && c != 0x7f; });
}

bool takes_content(std::string_view method) { return method == "POST" || method == "PUT" || method == "PATCH"; }

}  // namespace

bool valid_field(std::string_view name, std::string_view value) { return is_name(name) && is_value(value); }

RequestText::Verdict RequestText::add(net::BufferPool& pool, const Http2Limits& limits, std::string_view name,
                                      std::string_view value) {
  if (verdict_ != Verdict::ok) return verdict_;
  bytes_ += static_cast<uint32_t>(name.size() + value.size()) + kOverhead;
  if (++fields_ > limits.fields || bytes_ > limits.field_bytes) return verdict_ = Verdict::too_large;
  if (name.starts_with(':')) return verdict_ = add_pseudo(pool, name, value);
  if (!begun_ && begin(pool) != Verdict::ok) return verdict_;
  if (!valid_field(name, value) || connection_specific(name, value)) return verdict_ = Verdict::malformed;
  switch (name.size()) {
    case 4:
      if (name != "host") break;
      if (host_) return verdict_ = Verdict::malformed;
      host_ = true;
      if (!authority_.set) break;
      // Who routes by the one must not be told apart from who routes by the other.
      if (!http1::equals_ignore_case(value, piece(authority_))) verdict_ = Verdict::malformed;
      return verdict_;
    case 6:
      if (name != "cookie") break;
      if (!cookies_.empty()) cookies_.append(pool, "; ");
      cookies_.append(pool, value);
      return Verdict::ok;
    case 14:
      if (name != "content-length") break;
      if (websocket_) return verdict_ = Verdict::malformed;
      length_ = true;
      break;
    case 17:
      if (websocket_ && name == "sec-websocket-key") return Verdict::ok;
      break;
    default: break;
  }
  line(pool, name, value);
  return Verdict::ok;
}

RequestText::Verdict RequestText::add_pseudo(net::BufferPool& pool, std::string_view name, std::string_view value) {
  Piece* const piece = name == ":method"      ? &method_
                       : name == ":scheme"    ? &scheme_
                       : name == ":authority" ? &authority_
                       : name == ":path"      ? &path_
                       : name == ":protocol"  ? &protocol_
                                              : nullptr;
  if (!piece || piece->set || begun_ || value.empty() || !is_word(value)) return Verdict::malformed;
  *piece = {text_.size(), static_cast<uint32_t>(value.size()), true};
  text_.append(pool, value);
  return Verdict::ok;
}

/// The request line and Host.
RequestText::Verdict RequestText::begin(net::BufferPool& pool) {
  begun_ = true;
  const bool connect = method_.set && piece(method_) == "CONNECT";
  websocket_ = connect && protocol_.set && piece(protocol_) == "websocket";
  const bool plain_connect = connect && !protocol_.set;
  const bool whole = method_.set && (plain_connect ? authority_.set && !scheme_.set && !path_.set
                                                   : scheme_.set && path_.set && (connect || !protocol_.set));
  if (!whole || (websocket_ && !authority_.set)) return verdict_ = Verdict::malformed;
  if (scheme_.set && piece(scheme_) != "http" && piece(scheme_) != "https") return verdict_ = Verdict::malformed;
  if (path_.set && piece(path_)[0] != '/' && piece(path_) != "*") return verdict_ = Verdict::malformed;
  // The pieces move when the buffer grows: room for all first.
  const uint32_t room = method_.length + path_.length + authority_.length + 128;
  text_.prepare(pool, room);
  begin_ = text_.size();
  text_.append(pool, websocket_ ? std::string_view("GET") : piece(method_));
  text_.append(pool, " ");
  text_.append(pool, path_.set ? piece(path_) : std::string_view("*"));
  text_.append(pool, " HTTP/1.1\r\n");
  if (authority_.set) line(pool, "host", piece(authority_));
  if (websocket_) text_.append(pool, "connection: upgrade\r\nupgrade: websocket\r\n");
  return Verdict::ok;
}

void RequestText::line(net::BufferPool& pool, std::string_view name, std::string_view value) {
  const auto bytes = static_cast<uint32_t>(name.size() + value.size() + 4);
  char* at = text_.prepare(pool, bytes);
  at = std::copy(name.begin(), name.end(), at);
  *at++ = ':';
  *at++ = ' ';
  at = std::copy(value.begin(), value.end(), at);
  *at++ = '\r';
  *at = '\n';
  text_.commit(bytes);
}

RequestText::Verdict RequestText::finish(net::BufferPool& pool, bool body, std::string_view key) {
  if (verdict_ != Verdict::ok) return verdict_;
  if (!begun_ && begin(pool) != Verdict::ok) return verdict_;
  if (!cookies_.empty()) {
    line(pool, "cookie", cookies_.view());
    cookies_.release(pool);
  }
  if (websocket_) {
    if (!body) return verdict_ = Verdict::malformed;  // nothing could ever be said
    line(pool, "sec-websocket-key", key);
  } else if (!length_ && body) {
    text_.append(pool, "transfer-encoding: chunked\r\n");
  } else if (!length_ && takes_content(piece(method_))) {
    text_.append(pool, "content-length: 0\r\n");  // RFC 9110 §8.6
  }
  text_.append(pool, "\r\n");
  return Verdict::ok;
}

void RequestText::release(net::BufferPool& pool) {
  text_.release(pool);
  cookies_.release(pool);
  *this = {};
}

}  // namespace weir::http2
