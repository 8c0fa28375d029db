#include "lb/route/affinity.hpp"

#include <cstring>
#include <set>

#include "tests/catch.hpp"
#include "tests/unit/route/allocations.hpp"

using namespace weir::route;
using Verdict = Affinity::Verdict;
using namespace std::chrono_literals;

namespace {

constexpr int64_t kNow = 1'800'000'000;
const std::string kOld = "an-old-key-of-forty-characters-0123456789",
                  kNew = "another-key-of-forty-characters-123456789";
const std::vector<std::string> kNames{"a", "b", "c"};

const Affinity::Session kSession = Affinity::new_session(0x123456789abc);

std::string cookie(const Affinity& affinity, uint32_t backend, int64_t now = kNow) {
  char room[Affinity::kMostBytes];
  return {room, affinity.write(backend, kSession, now, room)};
}

std::string hex(const SigningKey::Signature& signature) {
  std::string text;
  for (const uint8_t byte : signature) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

}  // namespace

TEST_CASE("HMAC-SHA256 is that of RFC 4231") {
  CHECK(hex(SigningKey("Jefe").sign("what do ya want for nothing?")) ==
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  CHECK(hex(SigningKey("Jefe").sign("what do ya want ", "for nothing?")) ==
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  // A key longer than a block is hashed first.
  CHECK(hex(SigningKey(std::string(131, '\xaa')).sign("Test Using Larger Than Block-Size Key - Hash Key First")) ==
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST_CASE("base64url as RFC 4648 has it, without padding") {
  const auto encode = [](std::string_view bytes) {
    std::string out((bytes.size() * 4 + 2) / 3, '\0');
    write_base64url(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), out.data());
    return out;
  };
  CHECK(encode("") == "");
  CHECK(encode("f") == "Zg");
  CHECK(encode("fo") == "Zm8");
  CHECK(encode("foobar") == "Zm9vYmFy");
  CHECK(encode("\xff\xfe\xfd") == "__79");
}

TEST_CASE("what one instance writes another reads, in whatever order its backends stand") {
  const Affinity one("app", {kNew}, kNames, 8h), other("app", {kNew}, {"c", "x", "a", "b"}, 8h);
  const std::string at_b = cookie(one, 1);
  const auto found = other.read(at_b, kNow + 1);
  CHECK(found.verdict == Verdict::valid);
  CHECK(found.backend == 3);
  CHECK(found.session == kSession);
  CHECK(at_b.starts_with("v1."));
  CHECK(at_b.size() <= Affinity::kMostBytes);
}

TEST_CASE("two sessions of one backend and one second have two cookies") {
  const Affinity affinity("app", {kNew}, kNames, 8h);
  std::set<std::string> all;
  for (uint64_t i = 0; i < 100; ++i) {
    char room[Affinity::kMostBytes];
    all.insert({room, affinity.write(0, Affinity::new_session(i), kNow, room)});
  }
  CHECK(all.size() == 100);
}

TEST_CASE("a cookie ends with its time, and is renewed at half of it") {
  const Affinity affinity("app", {kNew}, kNames, 100s);
  const std::string text = cookie(affinity, 0);
  CHECK_FALSE(affinity.read(text, kNow + 50).renew);
  CHECK(affinity.read(text, kNow + 51).renew);
  CHECK(affinity.read(text, kNow + 99).verdict == Verdict::valid);
  CHECK(affinity.read(text, kNow + 100).verdict == Verdict::expired);
  // Made when ttl was longer.
  CHECK(Affinity("app", {kNew}, kNames, 10s).read(text, kNow).renew);
}

TEST_CASE("another pool, another key, another backend: worth nothing") {
  const Affinity affinity("app", {kNew}, kNames, 8h);
  const std::string text = cookie(affinity, 0);
  CHECK(Affinity("shop", {kNew}, kNames, 8h).read(text, kNow).verdict == Verdict::forged);
  CHECK(Affinity("app", {kOld}, kNames, 8h).read(text, kNow).verdict == Verdict::forged);
  const auto gone = Affinity("app", {kNew}, {"b", "c"}, 8h).read(text, kNow);
  CHECK(gone.verdict == Verdict::gone);
  CHECK(gone.session == kSession);
}

TEST_CASE("every change of a byte is noticed") {
  const Affinity affinity("app", {kNew, kOld}, kNames, 8h);
  const std::string good = cookie(affinity, 2);
  for (size_t i = 0; i < good.size(); ++i)
    for (const char c : {'A', 'b', '0', '9', '.', '-', ';'}) {
      std::string bad = good;
      if (bad[i] == c) continue;
      bad[i] = c;
      CHECK(affinity.read(bad, kNow).verdict != Verdict::valid);
      CHECK(affinity.read(bad, kNow).verdict != Verdict::gone);
    }
  for (size_t length = 0; length < good.size(); ++length)
    CHECK(affinity.read(good.substr(0, length), kNow).verdict == Verdict::forged);
  for (const char* bad : {"", "v1", "v1...", "v2", "a", "........"})
    CHECK(affinity.read(bad, kNow).verdict == Verdict::forged);
  CHECK(affinity.read(good + "=", kNow).verdict == Verdict::forged);
  // The parts of two cookies don't fit together.
  const std::string other = cookie(affinity, 1);
  CHECK(affinity.read(good.substr(0, 19) + other.substr(19), kNow).verdict == Verdict::forged);
}

TEST_CASE("keys are rotated without losing a session") {
  const Affinity before("app", {kOld}, kNames, 8h), known("app", {kOld, kNew}, kNames, 8h),
      changed("app", {kNew, kOld}, kNames, 8h), after("app", {kNew}, kNames, 8h);
  const Affinity* steps[] = {&before, &known, &changed, &after};
  // Two instances are never more than a step apart, and each reads what the other writes.
  for (size_t i = 0; i + 1 < 4; ++i)
    for (uint32_t backend = 0; backend < kNames.size(); ++backend) {
      CHECK(steps[i]->read(cookie(*steps[i], backend), kNow).backend == backend);
      CHECK(steps[i + 1]->read(cookie(*steps[i], backend), kNow).backend == backend);
      CHECK(steps[i]->read(cookie(*steps[i + 1], backend), kNow).backend == backend);
    }
  CHECK(after.read(cookie(known, 0), kNow).verdict == Verdict::forged);
}

TEST_CASE("many backends and keys, and no allocation a request") {
  std::vector<std::string> names, keys;
  for (int i = 0; i < 500; ++i) names.push_back("backend-" + std::to_string(i));
  for (int i = 0; i < 8; ++i) keys.push_back(kNew + std::to_string(i));
  const Affinity affinity("app", keys, names, 8h);
  const Affinity last("app", {keys[7]}, names, 8h);
  std::set<std::string> ids;
  for (uint32_t b = 0; b < names.size(); ++b) {
    const std::string own = cookie(affinity, b), old = cookie(last, b);
    ids.insert(own.substr(3, Affinity::kIdBytes));
    CHECK(affinity.read(own, kNow).backend == b);
    CHECK(affinity.read(old, kNow).backend == b);
  }
  CHECK(ids.size() == names.size());
  const std::string own = cookie(affinity, 7), unknown = "v1." + std::string(16, 'A') + own.substr(19);
  char room[Affinity::kMostBytes];
  const auto before = allocations();
  affinity.read(own, kNow);
  affinity.read(unknown, kNow);
  affinity.write(3, kSession, kNow, room);
  CHECK(allocations() == before);
}
