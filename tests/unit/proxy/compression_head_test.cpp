// What compression writes into a response's head.
#include <memory>
#include <string>

#include "lb/proxy/head_writer.hpp"
#include "tests/catch.hpp"

using namespace weir;
using namespace weir::proxy;

namespace {

std::string written(std::string bytes, const CompressionFields& fields, const config::HeaderRules& rules = {}) {
  auto head = std::make_unique<http1::ResponseHead>();
  REQUIRE(http1::parse_response(bytes, http1::Method::GET, {}, *head).status == http1::Parse::done);
  head->base = bytes.data();
  for (auto& field : head->all())
    if (http1::equals_ignore_case(head->name(field), "vary") || http1::equals_ignore_case(head->name(field), "etag"))
      field.drop = true;
  config::Route route;
  route.response_headers = rules;
  ResponseContext context;
  context.route = &route;
  context.chunked = true;
  context.compression = &fields;
  char buffer[1024];
  HeadWriter out(buffer, sizeof buffer);
  write_response_head(out, *head, context);
  return std::string(out.view());
}

const std::string kHead =
    "HTTP/1.1 200 OK\r\nDate: x\r\nVary: Origin\r\nVary: \r\nvary: Cookie\r\nETag: \"a\"\r\nContent-Length: 9\r\n\r\n";

}  // namespace

TEST_CASE("coding, weak tag and one merged Vary") {
  const CompressionFields fields{.coding = "br", .strong_etag = "\"a\"", .vary = true};
  CHECK(
      written(kHead, fields) ==
      "HTTP/1.1 200 OK\r\nDate: x\r\nVary: Origin, Cookie, Accept-Encoding\r\nETag: W/\"a\"\r\nContent-Encoding: br\r\n"
      "Transfer-Encoding: chunked\r\n\r\n");
  CHECK(written("HTTP/1.1 200 OK\r\nDate: x\r\n\r\n", {.vary = true}) ==
        "HTTP/1.1 200 OK\r\nDate: x\r\nVary: Accept-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n");
}

TEST_CASE("what the route's rules say of Vary and ETag stands; the coding is told in any case") {
  const CompressionFields fields{.coding = "gzip", .strong_etag = "\"a\"", .vary = true};
  config::HeaderRules rules;
  rules.set = {{"Vary", "X"}};
  rules.remove = {"etag", "content-encoding"};
  CHECK(written(kHead, fields, rules) ==
        "HTTP/1.1 200 OK\r\nDate: x\r\nVary: X\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n");
}
