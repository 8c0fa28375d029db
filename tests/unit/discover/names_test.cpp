// When names are asked again, and what is kept of them.
#include "tests/catch.hpp"
#include "tests/unit/discover/support.hpp"

using namespace weir;
using namespace weir::discover;
using namespace weir::discover::test;

TEST_CASE("a name is asked at once, and again when its TTL is over") {
  Fixture f(pool("app.test"));
  CHECK(f.names.next() == at(0s));
  CHECK(f.names.due(at(0s)) == std::vector<Question>{{"app.test", DnsType::a}});
  CHECK(f.names.due(at(1s)).empty());  // under way
  CHECK_FALSE(f.names.first_round_done());
  CHECK(f.names.take({"app.test", DnsType::a}, found({"10.0.0.1"}, 30), at(1s)));
  CHECK(f.names.first_round_done());
  CHECK(f.names.next() >= at(31s));
  CHECK(f.names.next() <= at(33s));
  CHECK(f.names.due(at(30s)).empty());
  CHECK(f.names.due(at(33s)).size() == 1);
  CHECK_FALSE(f.names.take({"app.test", DnsType::a}, found({"10.0.0.1"}, 30), at(33s)));  // nothing has changed
}

TEST_CASE("TTLs have bounds") {
  Fixture f(pool("app.test"));
  f.config.resolver.min_ttl = 5s;
  f.config.resolver.max_ttl = 60s;
  f.configure(0s);
  f.answer("app.test", DnsType::a, found({"10.0.0.1"}, 0), 0s);
  CHECK(f.names.next() >= at(5s));
  CHECK(f.names.next() <= at(6s));
  f.answer("app.test", DnsType::a, found({"10.0.0.1"}, 86400), 10s);
  CHECK(f.names.next() <= at(74s));
}

TEST_CASE("an hour without DNS loses no backend") {
  Fixture f(pool("app.test"));
  f.answer("app.test", DnsType::a, found({"10.0.0.1", "10.0.0.2"}), 0s);
  const Texts both{"10.0.0.1:80", "10.0.0.2:80"};
  CHECK(f.serving() == both);
  size_t asked = 0;
  for (Duration now = 0s; now < 1h; now += 1s) {
    for (const auto& question : f.names.due(at(now))) {
      f.names.take(question, failed(), at(now));
      ++asked;
    }
    f.names.expire(at(now));
    REQUIRE(f.serving() == both);
  }
  CHECK(asked > 110);  // every half minute
  CHECK(asked < 130);
  const View view = f.names.host("app.test");
  CHECK(view.state == State::failing);
  CHECK(view.good_at == at(0s));  // its age
  CHECK(view.reason == "no answer in time");
  CHECK(f.answer("app.test", DnsType::a, found({"10.0.0.2"}), 2h));
  CHECK(f.serving() == Texts{"10.0.0.2:80"});
}

TEST_CASE("after a failure it is asked soon, then less and less often") {
  Fixture f(pool("app.test"));
  std::vector<int64_t> gaps;
  Duration now = 0s;
  for (int i = 0; i < 8; ++i) {
    f.answer("app.test", DnsType::a, failed(), now);
    const Duration gap = f.names.next() - at(now);
    gaps.push_back(std::chrono::duration_cast<std::chrono::seconds>(gap).count());
    now += gap;
  }
  CHECK(gaps == std::vector<int64_t>{1, 2, 4, 8, 16, 30, 30, 30});
}

TEST_CASE("a name that is gone keeps its addresses for keep_missing") {
  Fixture f(pool("app.test"));
  f.answer("app.test", DnsType::a, found({"10.0.0.1"}), 0s);
  f.answer("app.test", DnsType::a, missing(), 40s);
  CHECK(f.serving() == Texts{"10.0.0.1:80"});
  CHECK_FALSE(f.names.expire(at(40s + 5min - 1s)));
  CHECK(f.serving() == Texts{"10.0.0.1:80"});
  CHECK(f.names.next() <= at(40s + 5min));
  CHECK(f.names.expire(at(40s + 5min)));
  CHECK(f.serving().empty());
  CHECK(f.last->unresolved == Texts{"app.test"});
}

TEST_CASE("keep_missing: off believes an absence at once, an outage never") {
  Fixture f(pool("app.test"));
  f.config.resolver.keep_missing = 0ms;
  f.configure(0s);
  f.answer("app.test", DnsType::a, found({"10.0.0.1"}), 0s);
  f.answer("app.test", DnsType::a, failed(), 40s);
  CHECK(f.serving() == Texts{"10.0.0.1:80"});
  CHECK(f.answer("app.test", DnsType::a, missing(), 50s));
  CHECK(f.serving().empty());
}

TEST_CASE("an outage after an absence begins no new time, and does not end the old one") {
  Fixture f(pool("app.test"));
  f.answer("app.test", DnsType::a, found({"10.0.0.1"}), 0s);
  f.answer("app.test", DnsType::a, missing(), 40s);
  f.answer("app.test", DnsType::a, failed(), 60s);
  CHECK_FALSE(f.names.expire(at(1h)));  // nobody says that it is gone
  CHECK(f.serving() == Texts{"10.0.0.1:80"});
}

TEST_CASE("both families make one name") {
  Fixture f(pool("app.test"));
  f.config.resolver.family = config::Resolver::Family::any;
  f.configure(0s);
  CHECK(f.names.due(at(0s)).size() == 2);
  f.names.take({"app.test", DnsType::a}, missing(), at(0s));
  CHECK(f.names.host("app.test").state == State::pending);  // the other one may still come
  f.names.take({"app.test", DnsType::aaaa}, found({"fd00::1"}), at(0s));
  CHECK(f.serving() == Texts{"[fd00::1]:80"});
  CHECK(f.names.host("app.test").state == State::ok);
  f.answer("app.test", DnsType::a, found({"10.0.0.1"}), 60s);
  CHECK(f.serving() == Texts{"10.0.0.1:80", "[fd00::1]:80"});
  // One family is gone while the other is there: that is meant so.
  f.answer("app.test", DnsType::a, missing(), 120s);
  CHECK(f.serving() == Texts{"[fd00::1]:80"});
  // One family fails: what is known of it stays.
  f.answer("app.test", DnsType::aaaa, failed(), 180s);
  f.answer("app.test", DnsType::a, found({"10.0.0.1"}), 240s);
  CHECK(f.serving() == Texts{"10.0.0.1:80", "[fd00::1]:80"});
}

TEST_CASE("a configuration that keeps a name keeps what is known of it") {
  Fixture f(pool("app.test"));
  f.answer("app.test", DnsType::a, found({"10.0.0.1"}), 0s);
  f.configure(1s);
  CHECK(f.names.host("app.test").addresses.size() == 1);
  CHECK(f.names.due(at(1s)).empty());
  f.config.pools[0].discover->name = "other.test";
  f.configure(2s);
  CHECK(f.names.entries().size() == 1);
  CHECK_FALSE(f.names.take({"app.test", DnsType::a}, found({"10.0.0.9"}), at(3s)));  // nobody waits for it
}
