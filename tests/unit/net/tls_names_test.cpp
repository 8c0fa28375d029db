#include "lb/net/tls_names.hpp"

#include "lb/net/tls_tickets.hpp"
#include "tests/catch.hpp"

using namespace weir::net;

TEST_CASE("which certificate for which name", "[tls]") {
  TlsNames names;
  CHECK(names.add("example.com", 0));
  CHECK(names.add("*.example.com", 1));
  CHECK(names.add("www.example.com", 2));
  CHECK(names.add("127.0.0.1", 3));
  CHECK(names.add("::1", 3));
  CHECK_FALSE(names.add("Example.COM", 9));
  CHECK_FALSE(names.add("*.EXAMPLE.com", 9));
  CHECK(names.find("example.com") == 0);
  CHECK(names.find("EXAMPLE.com.") == 0);
  CHECK(names.find("a.example.com") == 1);
  CHECK(names.find("www.example.com") == 2);  // the exact one
  CHECK(names.find("127.0.0.1") == 3);
  CHECK(names.find("[::1]") == 3);
  for (const char* other : {"a.b.example.com", ".example.com", "com", "", "xexample.com", "*.com", "0.0.1"}) {
    INFO(other);
    CHECK(names.find(other) == TlsNames::kNone);
  }
  CHECK(names.find(std::string(300, 'a') + ".example.com") == TlsNames::kNone);
}

TEST_CASE("what a name of a certificate stands for", "[tls]") {
  CHECK(TlsNames::covers("*.b.test", "x.b.test"));
  CHECK(TlsNames::covers("b.test", "B.test."));
  CHECK_FALSE(TlsNames::covers("*.b.test", "b.test"));
  CHECK_FALSE(TlsNames::covers("*.b.test", "x.y.b.test"));
}

namespace {
bool same(const TicketKey& a, const TicketKey& b) { return a.name == b.name && a.cipher == b.cipher && a.mac == b.mac; }
}  // namespace

TEST_CASE("keys of tickets change with time, and are the same wherever the secret is", "[tls]") {
  constexpr int64_t kPeriod = TicketKeys::kPeriod.count(), kStart = 100 * kPeriod;
  const TicketKeys here({"secret"}, "web"), there({"secret"}, "web"), other({"another"}, "web"), use({"secret"}, "x");
  const TicketKey key = here.current(kStart);
  CHECK(same(key, there.current(kStart + kPeriod - 1)));
  CHECK_FALSE(same(key, here.current(kStart + kPeriod)));
  CHECK_FALSE(same(key, other.current(kStart)));
  CHECK_FALSE(same(key, use.current(kStart)));
  TicketKey found{};
  CHECK(there.find(key.name.data(), kStart + 2 * kPeriod - 1, found));  // as long as a ticket holds
  CHECK(same(found, key));
  CHECK_FALSE(there.find(key.name.data(), kStart + 2 * kPeriod, found));
  CHECK(there.find(key.name.data(), kStart - 1, found));  // made by a clock that is ahead
  CHECK_FALSE(other.find(key.name.data(), kStart, found));
  CHECK_FALSE(use.find(key.name.data(), kStart, found));
}

TEST_CASE("a new secret encrypts, the old one still decrypts", "[tls]") {
  const TicketKeys before({"old"}, "web"), after({"new", "old"}, "web");
  TicketKey found{};
  CHECK(after.find(before.current(1000).name.data(), 1000, found));
  CHECK_FALSE(same(after.current(1000), before.current(1000)));
  CHECK_FALSE(before.find(after.current(1000).name.data(), 1000, found));
}
