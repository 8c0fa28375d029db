// What one process hands to the next of names: as it was, in bounds, and nothing that it can't be.
#include "lb/discover/handed.hpp"

#include "tests/catch.hpp"
#include "tests/unit/discover/support.hpp"

using namespace weir;
using namespace weir::discover;
using namespace weir::discover::test;

namespace {

/// What the next process knows, at that time.
Fixture next(const Fixture& old, Duration now) {
  Fixture fresh(old.config.pools[0]);
  fresh.names = Names(2);
  fresh.names.recall(handed_names(lines_of(old.names.entries()).lines, at(now)).known);
  fresh.configure(now);
  return fresh;
}

std::vector<std::string> good_line() { return {"app.test", "a", "ok", "1", "1", "2", "0", "", "10.0.0.1:0"}; }

}  // namespace

TEST_CASE("the next process knows addresses, age and TTL, and asks when they are due") {
  Fixture old(pool("app.test"));
  old.answer("app.test", DnsType::a, found({"10.0.0.1", "10.0.0.2"}, 30), 0s);
  Fixture fresh = next(old, 10s);
  CHECK(fresh.names.first_round_done());
  CHECK(fresh.serving() == Texts{"10.0.0.1:80", "10.0.0.2:80"});
  CHECK(fresh.names.host("app.test").good_at == at(0s));
  CHECK(fresh.names.due(at(29s)).empty());
  CHECK(fresh.names.next() == old.names.next());
  CHECK(fresh.names.due(at(33s)).size() == 1);
}

TEST_CASE("an outage goes on in the next process") {
  Fixture old(pool("app.test"));
  old.answer("app.test", DnsType::a, found({"10.0.0.1"}, 1), 0s);
  for (const Duration now : {2s, 4s, 8s}) old.answer("app.test", DnsType::a, failed(), now);
  Fixture fresh = next(old, 9s);
  CHECK(fresh.serving() == Texts{"10.0.0.1:80"});
  CHECK(fresh.names.host("app.test").state == State::failing);
  CHECK(fresh.names.host("app.test").reason == "no answer in time");
  CHECK(fresh.names.host("app.test").since == at(2s));
  fresh.answer("app.test", DnsType::a, failed(), 13s);
  CHECK(fresh.names.next() >= at(21s));  // the fourth in a row
}

TEST_CASE("what is missing is kept no longer than without an upgrade") {
  Fixture old(pool("app.test"));
  old.answer("app.test", DnsType::a, found({"10.0.0.1"}), 0s);
  old.answer("app.test", DnsType::a, missing(), 40s);
  Fixture fresh = next(old, 2min);
  CHECK(fresh.serving() == Texts{"10.0.0.1:80"});
  CHECK(fresh.names.expire(at(40s + 5min)));
  CHECK(fresh.serving().empty());
}

TEST_CASE("services come with what they lead to") {
  Fixture old(pool("_http._tcp.app.test", true));
  old.answer("_http._tcp.app.test", DnsType::srv, services({{"a.test", 8080, 0, 3}, {"b.test", 8081, 5, 1}}), 0s);
  old.answer("a.test", DnsType::a, found({"10.0.0.1"}), 0s);
  old.answer("b.test", DnsType::a, found({"10.0.0.2"}), 0s);
  Fixture fresh = next(old, 1s);
  CHECK(fresh.serving() == Texts{"10.0.0.1:8080", "10.0.0.2:8081"});
  CHECK(fresh.last->backends[0].weight == 3);
  CHECK(fresh.last->backends[1].backup);
  CHECK(fresh.names.entries().size() == 3);
}

TEST_CASE("a name that was never answered is asked by the next one, and one that nobody wants is forgotten") {
  Fixture old(pool("app.test"));
  CHECK(lines_of(old.names.entries()).lines.empty());
  old.answer("app.test", DnsType::a, found({"10.0.0.1"}), 0s);
  old.config.pools[0] = pool("other.test");
  Fixture fresh = next(old, 1s);
  CHECK(fresh.names.entries().size() == 1);
  CHECK(fresh.names.due(at(1s)) == std::vector<Question>{{"other.test", DnsType::a}});
}

TEST_CASE("a question that is due is asked at once, one far away within the rules") {
  for (const auto& [next, latest] : {std::pair{"0", 0s}, std::pair{"9000000000000000000", 300s}}) {
    auto line = good_line();
    line[5] = next;
    Fixture fresh(pool("app.test"));
    fresh.names = Names(2);
    fresh.names.recall(handed_names({line}, at(0s)).known);
    fresh.configure(0s);
    CHECK(fresh.names.next() == at(latest));
  }
}

TEST_CASE("lines that can't be are passed over, one by one") {
  CHECK(handed_names({good_line()}, at(0s)).known.size() == 1);
  const auto refused = [](size_t field, const std::string& text, const std::string& why) {
    auto bad = good_line();
    if (field < bad.size())
      bad[field] = text;
    else
      bad.push_back(text);
    auto good = good_line();
    good[0] = "b.test";
    const auto handed = handed_names({bad, good}, at(0s));
    CHECK(handed.known.size() == 1);
    CHECK(handed.wrong == 1);
    INFO(text << ": " << handed.first_why);
    CHECK(handed.first_why.find(why) != std::string::npos);
  };
  refused(0, "", "host name");
  refused(0, "a b", "host name");
  refused(1, "mx", "there is no type \"mx\"");
  refused(2, "pending", "there is no state");
  refused(3, "x", "is no number");
  refused(3, "9000000000000000000", "of the future");
  refused(4, "9000000000000000000", "of the future");
  refused(5, "", "is no number");
  refused(6, "-1", "is no number");
  refused(9, "unix:/run/x", "is no address");
  refused(9, ":80", "is no address");
  refused(9, "10.0.0.256:0", "is no address");
  CHECK(handed_names({{}, {"app.test"}, {"app.test", "a", "ok", "1", "1", "2", "0"}}, at(0s)).wrong == 3);
  auto long_one = good_line();
  long_one.resize(long_one.size() + 1024, "10.0.0.2:0");
  CHECK(handed_names({long_one}, at(0s)).first_why == "it has too many records");
  for (const std::string service : {"1 2 3", "1 2 70000 a.test", "1 2 3 a..b", "x 2 3 a.test"})
    CHECK(handed_names({{"s.test", "srv", "ok", "1", "1", "2", "0", "", service}}, at(0s)).wrong == 1);
}

TEST_CASE("as much as fits is handed on") {
  Names names(1);
  config::Resolver rules;
  rules.family = config::Resolver::Family::ipv4;
  std::set<Question> roots;
  for (int i = 0; i < 100; ++i) roots.insert({"n" + std::to_string(i) + ".test", DnsType::a});
  names.configure(rules, roots, at(0s));
  for (const auto& question : names.due(at(0s))) names.take(question, found({"10.0.0.1"}), at(0s));
  CHECK(lines_of(names.entries()).lines.size() == 100);
  const auto some = lines_of(names.entries(), 10'000);
  CHECK(some.lines.size() + some.left_out == 100);
  CHECK(some.left_out > 20);
  CHECK(some.lines.size() > 20);
}

TEST_CASE("the backends that serve come back as they were") {
  auto old = pool("app.test");
  for (const char* address : {"10.0.0.1:80", "[fd00::1]:80", "unix:/run/app.sock"}) {
    config::Backend backend;
    backend.name = address;
    backend.address = *Endpoint::parse(address);
    backend.authority = "app.test:80";
    backend.weight = 7;
    backend.discovered = backend.address.family() == AF_INET6;
    backend.backup = backend.discovered;
    backend.tls = backend.address.is_unix();
    old.backends.push_back(backend);
  }
  const auto handed = handed_pools(lines_of({&old}).lines);
  CHECK(handed.wrong == 0);
  REQUIRE(handed.known.contains("app"));
  const auto& got = handed.known.at("app").backends;
  REQUIRE(got.size() == 3);
  for (size_t i = 0; i < got.size(); ++i) {
    CHECK(got[i].same_target(old.backends[i]));
    CHECK(got[i].authority == "app.test:80");
    CHECK(got[i].weight == 7);
    CHECK(got[i].discovered == old.backends[i].discovered);
    CHECK(got[i].backup == old.backends[i].backup);
    CHECK(got[i].tls == old.backends[i].tls);
  }
  CHECK(lines_of({&old}, 200).left_out == 2);
}

TEST_CASE("a backend that can't be is passed over") {
  const std::vector<std::string> good{"app", "a", "10.0.0.1:80", "app.test", "1", "later words"};
  CHECK(handed_pools({good}).known.size() == 1);
  for (const auto& [field, text] : std::vector<std::pair<size_t, std::string>>{
           {2, "10.0.0.1"}, {2, ""}, {3, "a\r\nX: y"}, {3, ""}, {4, "1001"}, {4, ""}, {4, "-1"}}) {
    auto bad = good;
    bad[field] = text;
    CHECK(handed_pools({bad}).wrong == 1);
  }
  CHECK(handed_pools({{"app"}, {}}).first_why == "it is cut short");
}
