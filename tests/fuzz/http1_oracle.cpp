#include "tests/fuzz/http1_oracle.hpp"

#include <algorithm>
#include <boost/beast/http.hpp>
#include <utility>
#include <vector>

namespace weir::http1::oracle {
namespace {

namespace http = boost::beast::http;
using FieldList = std::vector<std::pair<std::string, std::string>>;

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  return result;
}

// Beast keeps fields of one name together, so only the order among them can be compared.
void group(FieldList& fields) {
  std::stable_sort(fields.begin(), fields.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
}

// The names as they stand in `copy`, see neutral().
FieldList our_fields(const Head& head, std::string_view copy) {
  FieldList fields;
  for (const Field& field : head.all())
    fields.emplace_back(lower(copy.substr(field.name, field.name_length)), head.value(field));
  group(fields);
  return fields;
}

template <class Message>
FieldList their_fields(const Message& message) {
  FieldList fields;
  for (const auto& field : message) {
    const auto name = field.name_string();
    const auto value = field.value();
    fields.emplace_back(lower({name.data(), name.size()}), std::string(value.data(), value.size()));
  }
  group(fields);
  return fields;
}

std::string text(boost::beast::string_view view) { return {view.data(), view.size()}; }

template <class Parser>
std::string read_head(Parser& parser, std::string_view bytes) {
  parser.header_limit(1 << 24);
  parser.body_limit(boost::none);
  boost::beast::error_code error;
  parser.put(boost::asio::buffer(bytes.data(), bytes.size()), error);
  if (error && error != http::error::need_more) return "Beast refuses: " + error.message();
  if (!parser.is_header_done()) return "Beast wants more";
  return {};
}

template <class Parser>
std::string compare_framing(const Parser& parser, const Head& head) {
  // Not the other way round: in HTTP/1.0 Beast lets keep-alive win over close.
  if (head.keep_alive && !parser.keep_alive()) return "Beast would not keep the connection";
  if (head.framing == Framing::none) return {};
  if ((head.framing == Framing::chunked) != parser.chunked()) return "chunked differs";
  if ((head.framing == Framing::length) != parser.content_length().has_value()) return "length differs";
  if (head.framing == Framing::length && *parser.content_length() != head.content_length)
    return "Content-Length differs";
  return {};
}

bool is_token_list(std::string_view list) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    const std::string_view element = trim(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
    if (element.find_first_of(" \t\"(),/:;<=>?@[\\]{}") != element.npos) return false;
    for (char c : element)
      if (static_cast<unsigned char>(c) >= 0x80) return false;
  }
  return true;
}

// Fields that Beast gives a meaning and we don't get another name: Proxy-Connection, and in answers a Connection that
// is no list of tokens, which we take for "close" since refusing the answer would help no one.
std::string neutral(std::string_view bytes, const Head& head) {
  std::string result(bytes.substr(0, head.size));
  for (const Field& field : head.all()) {
    const bool unreadable = field.id == FieldId::connection && !is_token_list(head.value(field));
    if (field.id == FieldId::proxy_connection || unreadable) result[field.name] = 'x';
  }
  return result;
}

// The one difference of status lines: we accept them without the last blank (A13).
std::string with_last_blank(std::string result) {
  constexpr size_t kStatusEnd = sizeof "HTTP/1.1 200" - 1;
  if (result[kStatusEnd] == '\r') result.insert(kStatusEnd, 1, ' ');
  return result;
}

}  // namespace

std::string compare_request(std::string_view bytes, const RequestHead& head) {
  http::request_parser<http::empty_body> parser;
  const std::string copy = neutral(bytes, head);
  const std::string difference = read_head(parser, copy);
  if (!difference.empty()) return difference;
  const auto& message = parser.get();
  if (text(message.method_string()) != head.method_view()) return "method differs";
  if (text(message.target()) != head.view(head.target, head.target_length)) return "target differs";
  if (message.version() != 10u + head.minor) return "version differs";
  if (their_fields(message) != our_fields(head, copy)) return "fields differ";
  if (head.framing == Framing::none && (parser.chunked() || parser.content_length())) return "Beast sees a body";
  return compare_framing(parser, head);
}

std::string compare_response(std::string_view bytes, Method request_method, const ResponseHead& head) {
  http::response_parser<http::empty_body> parser;
  if (request_method == Method::HEAD || (request_method == Method::CONNECT && head.status / 100 == 2))
    parser.skip(true);
  const std::string copy = neutral(bytes, head);
  const std::string difference = read_head(parser, with_last_blank(copy));
  if (!difference.empty()) return difference;
  const auto& message = parser.get();
  if (message.result_int() != head.status) return "status differs";
  // Without a reason Beast makes up the usual one.
  if (head.reason_length != 0 && text(message.reason()) != head.view(head.reason, head.reason_length))
    return "reason differs";
  if (message.version() != 10u + head.minor) return "version differs";
  if (their_fields(message) != our_fields(head, copy)) return "fields differ";
  if ((head.framing == Framing::until_close) != parser.need_eof()) return "until_close differs";
  if (head.framing == Framing::none && !parser.is_done()) return "Beast sees a body";
  return compare_framing(parser, head);
}

std::string compare_chunked(std::string_view bytes, size_t consumed, std::string_view body) {
  http::request_parser<http::string_body> parser;
  parser.eager(true);
  parser.header_limit(1 << 24);
  parser.body_limit(boost::none);
  constexpr std::string_view kHead = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  boost::beast::error_code error;
  size_t taken = parser.put(boost::asio::buffer(kHead.data(), kHead.size()), error);
  if (taken != kHead.size()) return "Beast did not take the head";
  taken = parser.put(boost::asio::buffer(bytes.data(), bytes.size()), error);
  if (error || !parser.is_done()) {
    // Beast applies framing fields of trailers; we drop them unread (A9).
    const std::string all = lower(bytes);
    for (const char* name : {"content-length", "transfer-encoding", "connection"})
      if (all.find(name) != all.npos) return {};
    return "Beast refuses: " + error.message();
  }
  if (taken != consumed) return "Beast ends elsewhere";
  if (parser.get().body() != body) return "body differs";
  return {};
}

}  // namespace weir::http1::oracle
