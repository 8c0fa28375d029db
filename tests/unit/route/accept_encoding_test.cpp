#include "lb/route/accept_encoding.hpp"

#include <string>
#include <vector>

#include "tests/catch.hpp"

using namespace weir;
using route::AcceptEncoding;

namespace {

constexpr auto br = ContentCoding::br;
constexpr auto gzip = ContentCoding::gzip;

std::string chosen(const std::vector<std::string_view>& lines, std::vector<ContentCoding> offered = {br, gzip}) {
  AcceptEncoding accepted;
  for (const auto line : lines) accepted.add(line);
  const auto coding = accepted.choose(offered);
  return coding ? std::string(to_string(*coding)) : "identity";
}

}  // namespace

TEST_CASE("the coding of the highest quality, the first offered among equals") {
  const std::vector<std::pair<std::string_view, std::string_view>> cases{
      {"gzip", "gzip"},
      {"br", "br"},
      {"gzip, br", "br"},
      {"gzip;q=1.0, br;q=0.999", "gzip"},
      {"gzip;q=0.5, br;q=0.501", "br"},
      {"deflate, compress, zstd", "identity"},
      {"x-gzip", "gzip"},
      {"GZIP;Q=0.7", "gzip"},
      {" \tgzip\t ;\t q=0.7 ", "gzip"},
      {",,gzip,,", "gzip"},
      {"*", "br"},
      {"*;q=0.1, br;q=0", "gzip"},
      {"br;q=0, gzip;q=0", "identity"},
      {"*;q=0", "identity"},
      {"gzip, *;q=0", "gzip"},
  };
  for (const auto& [line, expected] : cases) {
    INFO(line);
    CHECK(chosen({line}) == expected);
  }
  CHECK(chosen({}) == "identity");
  CHECK(chosen({""}) == "identity");
  CHECK(chosen({"gzip, br"}, {gzip, br}) == "gzip");
  CHECK(chosen({"br"}, {gzip}) == "identity");
}

TEST_CASE("identity is given to those who want it more") {
  CHECK(chosen({"identity"}) == "identity");
  CHECK(chosen({"identity, gzip;q=0.9"}) == "identity");
  CHECK(chosen({"identity;q=0.5, gzip;q=0.5"}) == "gzip");
  CHECK(chosen({"identity;q=0, gzip;q=0.001"}) == "gzip");
  // By "*", too: whatever isn't named has that quality.
  CHECK(chosen({"gzip;q=0.1, br;q=0.1, *;q=0.5"}) == "identity");
  CHECK(chosen({"gzip;q=0.5, *;q=0.5"}, {gzip}) == "gzip");
}

TEST_CASE("several lines are one list, and the first word on a coding counts") {
  CHECK(chosen({"gzip;q=0.2", "br;q=0.1"}) == "gzip");
  CHECK(chosen({"gzip;q=0, gzip"}) == "identity");
  CHECK(chosen({"gzip", "gzip;q=0"}) == "gzip");
}

TEST_CASE("what can't be read counts for nothing") {
  for (const std::string_view line :
       {"gzip;q=", "gzip;q=2", "gzip;q=1.001", "gzip;q=0.1234", "gzip;q=-1", "gzip;q=1e0", "gzip;x=1", "gzip;",
        "gzip;q", "gz ip", "gzip;q=.5", "gzip;q=1;q=1", "\"gzip\""}) {
    INFO(line);
    CHECK(chosen({line}) == "identity");
  }
  CHECK(chosen({"gzip;q=nonsense, br;q=0.1"}) == "br");
}

TEST_CASE("qualities in thousandths") {
  CHECK(route::parse_quality("0") == 0);
  CHECK(route::parse_quality("1") == 1000);
  CHECK(route::parse_quality("0.") == 0);
  CHECK(route::parse_quality("1.000") == 1000);
  CHECK(route::parse_quality("0.5") == 500);
  CHECK(route::parse_quality("0.05") == 50);
  CHECK(route::parse_quality("0.999") == 999);
  for (const std::string_view text : {"", "2", "01", "1.1", "1.001", "0.0000", "0,5", "0.5 ", " 0.5", "0x1", "q"}) {
    INFO(text);
    CHECK_FALSE(route::parse_quality(text));
  }
}
