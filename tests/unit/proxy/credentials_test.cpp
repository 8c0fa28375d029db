// Passwords: what crypt(5) says, and what is remembered of it.
#include "lb/proxy/credentials.hpp"

#include "lb/proxy/password_checker.hpp"
#include "tests/catch.hpp"

using namespace weir;
using namespace weir::proxy;
using namespace std::chrono_literals;

namespace {
const TimePoint kNow{1000s};
}  // namespace

TEST_CASE("passwords against hashes that other tools made") {
  const std::string bcrypt = "$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2";
  const std::string sha512 =
      "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1";
  const std::string sha256 = "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5";
  CHECK(password_matches("Hello world!", sha512));
  CHECK_FALSE(password_matches("Hello world", sha512));
  CHECK_FALSE(password_matches("", sha512));
  CHECK(password_matches("Hello world!", sha256));
  CHECK_FALSE(password_matches("hello world!", sha256));
  CHECK(password_matches("correct horse", bcrypt));
  CHECK_FALSE(password_matches("Hello world!", bcrypt));
  CHECK_FALSE(password_matches("x", "x"));
  CHECK_FALSE(password_matches("x", "*"));
}

TEST_CASE("the digest tells user, password and stored hash apart") {
  const auto digest = digest_credentials("h", "ann", "secret");
  CHECK(digest == digest_credentials("h", "ann", "secret"));
  CHECK(digest != digest_credentials("h", "ann", "secreT"));
  CHECK(digest != digest_credentials("h", "anns", "ecret"));
  CHECK(digest != digest_credentials("g", "ann", "secret"));
}

TEST_CASE("what is remembered expires") {
  CredentialCache cache;
  const auto digest = digest_credentials("h", "ann", "secret");
  CHECK(cache.find(digest, kNow) == TimePoint{});
  cache.remember(digest, kNow + 5min);
  CHECK(cache.find(digest, kNow) == kNow + 5min);
  CHECK(cache.find(digest, kNow + 5min - 1ns) == kNow + 5min);
  CHECK(cache.find(digest, kNow + 5min) == TimePoint{});
  CHECK(cache.find(digest_credentials("h", "ann", "other"), kNow) == TimePoint{});
}

TEST_CASE("the cache is bounded; what expires first makes room") {
  CredentialCache cache;
  const auto digest_of = [](int i) { return digest_credentials("h", "ann", std::to_string(i)); };
  for (int i = 0; i < 5000; ++i) cache.remember(digest_of(i), kNow + std::chrono::seconds(i + 1));
  int kept = 0;
  for (int i = 0; i < 5000; ++i) kept += cache.find(digest_of(i), kNow) != TimePoint{};
  CHECK(kept == 1024);
  CHECK(cache.find(digest_of(4999), kNow) != TimePoint{});
  CHECK(cache.find(digest_of(0), kNow) == TimePoint{});
  cache.remember(digest_of(4999), kNow + 10h);  // anew, in its own place
  CHECK(cache.find(digest_of(4999), kNow) == kNow + 10h);
}
