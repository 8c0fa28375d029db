// RFC 7617.
#include "lb/net/basic_auth.hpp"

#include <array>
#include <string>

#include "tests/catch.hpp"

using namespace weir::http1;

namespace {

std::array<char, kMaxCredentials> buffer;

std::string decoded(std::string_view value) {
  BasicCredentials given;
  if (!parse_basic(value, buffer, given)) return "refused";
  return std::string(given.user) + "|" + std::string(given.password);
}

std::string base64(std::string_view bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k) bits = bits << 8 | (i + k < bytes.size() ? static_cast<uint8_t>(bytes[i + k]) : 0);
    for (size_t k = 0; k < 4; ++k) out += i + k <= bytes.size() ? kDigits[bits >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

}  // namespace

TEST_CASE("credentials") {
  CHECK(decoded("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==") == "Aladdin|open sesame");  // the RFC's own
  CHECK(decoded("bAsIc   QWxhZGRpbjpvcGVuIHNlc2FtZQ==") == "Aladdin|open sesame");
  CHECK(decoded("Basic " + base64("a:b:c")) == "a|b:c");
  CHECK(decoded("Basic " + base64("a:")) == "a|");
  CHECK(decoded("Basic " + base64(":b")) == "|b");
  CHECK(decoded("Basic " + base64("test:123\xc2\xa3")) == "test|123\xc2\xa3");
  const std::string longest(255, 'x');
  CHECK(decoded("Basic " + base64(longest + ":" + longest)) == longest + "|" + longest);
}

TEST_CASE("what is none") {
  for (const std::string value :
       {"", "Basic", "Basic ", "Basic  ", "Bearer QTpi", "BasicQTpi", "Basic QTpi=", "Basic QTpi QTpi", "Basic QTpi\t",
        "Basic Q:pi", "Basic QTp", "Basic QT==pi==", "Basic ====", "Basic =", "Basic QTpi-_==", "Basic YQ=="})
    CHECK(decoded(value) == "refused");
  CHECK(decoded("Basic YTpi") == "a|b");
  CHECK(decoded("Basic YTo=") == "a|");
  CHECK(decoded("Basic YTp=") == "refused");  // stray bits: the same bytes in another form
  CHECK(decoded("Basic " + base64(std::string_view("a:b\0c", 5))) == "refused");
  CHECK(decoded("Basic " + base64("a:b\r\nX: y")) == "refused");
  CHECK(decoded("Basic " + base64("a\x7f:b")) == "refused");
  CHECK(decoded("Basic " + base64(std::string(256, 'x') + ":y")) == "refused");
  CHECK(decoded("Basic " + base64("x:" + std::string(256, 'y'))) == "refused");
  CHECK(decoded("Basic " + base64(std::string(100'000, 'y'))) == "refused");
}

TEST_CASE("whose scheme it is") {
  CHECK(is_basic("Basic x"));
  CHECK(is_basic("BASIC "));
  CHECK_FALSE(is_basic("Basic"));
  CHECK_FALSE(is_basic("Bearer abc"));
  CHECK_FALSE(is_basic(""));
}
