// Parsing in the tests: each input is parsed at every split point, from memory of its exact size, and what is accepted
// is shown to Beast.
#pragma once
#include <memory>
#include <string>

#include "tests/catch.hpp"
#include "tests/fuzz/http1_checks.hpp"
#include "tests/fuzz/http1_oracle.hpp"

namespace weir::http1::test {

/// A parsed request that owns its bytes.
struct Request {
  explicit Request(const std::string& text, const RequestRules& rules = {}, size_t step = 1)
      : bytes(text), head(std::make_unique<RequestHead>()) {
    CAPTURE(text.substr(0, 300));
    CHECK(checks::request_splits(bytes.view(), rules, step, *head, result) == "");
    if (result.status != Parse::done) return;
    CHECK(checks::check_request(*head, bytes.view(), rules) == "");
    CHECK(oracle::compare_request(bytes.view(), *head) == "");
    const std::string more = text + "GET /next HTTP/1.1\r\n";  // pipelined bytes change nothing
    const auto next = std::make_unique<RequestHead>();
    CHECK(parse_request(more, rules, *next).status == Parse::done);
    CHECK(checks::equal_heads(*head, *next));
  }
  bool accepted() const { return result.status == Parse::done; }
  /// What is forwarded, one "name: value" a line.
  std::string forwarded() const {
    std::string lines;
    for (const Field& field : head->all())
      if (!field.drop) lines.append(head->name(field)).append(": ").append(head->value(field)).append("\n");
    return lines;
  }

  checks::Exact bytes;
  std::unique_ptr<RequestHead> head;
  ParseResult result;
};

struct Response {
  explicit Response(const std::string& text, Method method = Method::GET, const ResponseRules& rules = {},
                    size_t step = 1)
      : bytes(text), head(std::make_unique<ResponseHead>()) {
    CAPTURE(text.substr(0, 300));
    CHECK(checks::response_splits(bytes.view(), method, rules, step, *head, result) == "");
    if (result.status != Parse::done) return;
    CHECK(checks::check_head(*head, bytes.view()) == "");
    CHECK(oracle::compare_response(bytes.view(), method, *head) == "");
  }
  bool accepted() const { return result.status == Parse::done; }
  std::string forwarded() const {
    std::string lines;
    for (const Field& field : head->all())
      if (!field.drop) lines.append(head->name(field)).append(": ").append(head->value(field)).append("\n");
    return lines;
  }

  checks::Exact bytes;
  std::unique_ptr<ResponseHead> head;
  ParseResult result;
};

/// A request with `fields` (each with its CRLF) after the line and Host.
inline std::string with_fields(const std::string& fields, const std::string& line = "POST /p HTTP/1.1") {
  return line + "\r\nHost: a.example\r\n" + fields + "\r\n";
}
inline std::string with_target(const std::string& target) {
  return "GET " + target + " HTTP/1.1\r\nHost: a.example\r\n\r\n";
}
inline std::string with_host(const std::string& host) { return "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n"; }

inline void refuses(const std::string& text, Cause cause, const RequestRules& rules = {}) {
  const Request request(text, rules);
  CAPTURE(text.substr(0, 300), request.result.detail);
  CHECK(request.result.status == Parse::error);
  CHECK(request.result.cause == cause);
  CHECK(std::string(request.result.detail) != "");
}
inline void refuses_response(const std::string& text, Cause cause = Cause::upstream_bad_response) {
  const Response response(text);
  CAPTURE(text.substr(0, 300), response.result.detail);
  CHECK(response.result.status == Parse::error);
  CHECK(response.result.cause == cause);
  CHECK(std::string(response.result.detail) != "");
}

}  // namespace weir::http1::test
