// What the processes of an upgrade say to each other.
#include "lb/net/handover.hpp"

#include "tests/catch.hpp"

using namespace weir::net;

TEST_CASE("messages come back as they went, whatever stands in them", "[handover]") {
  const std::vector<Message> messages{{"serving", {}},
                                      {"failed", {{"reason", "tab\there, line\nbreak, 100%, 100%41, %"}}},
                                      {"ready", {{"."}, {""}, {"", ""}, {"unused", "web 127.0.0.1:0"}, {"ä", "."}}}};
  std::string stream;
  for (const auto& message : messages) stream += encode(message);
  for (const auto& message : messages) CHECK(take_message(stream) == message);
  CHECK(stream.empty());
}

TEST_CASE("a message is taken once it is whole", "[handover]") {
  const Message message{"go", {{"order", "app", "b1"}}};
  const std::string text = encode(message);
  std::string received;
  for (size_t i = 0; i < text.size(); ++i) {
    CHECK_FALSE(take_message(received));
    received += text[i];
  }
  CHECK(take_message(received) == message);
  CHECK_FALSE(take_message(received));
  for (size_t first = 0; first < text.size(); ++first) {
    std::string part = text.substr(0, first);
    CHECK_FALSE(take_message(part));
    part = text;
    CHECK(take_message(part, first) == message);
  }
}

TEST_CASE("a message without an end is given up", "[handover]") {
  std::string endless(kMostOfAMessage + 1, 'x');
  CHECK_THROWS(take_message(endless));
}

TEST_CASE("a handover comes back as it went", "[handover]") {
  Handover sent;
  sent.version = "1.2.3";
  sent.upgrades_ok = 7;
  sent.upgrades_failed = 2;
  sent.sockets = {{"127.0.0.1:80", {5, 6}}, {"admin 127.0.0.1:0", {9}}, {"unix:/a\tb", {11}}};
  sent.passed = {{"web", 3}};
  sent.processes = {{100, 12, 20}, {101, 13}};
  sent.takes_orders = true;
  sent.names = {{"app.test", "a", ""}, {}, {"b\t.test"}};
  sent.serving = {{"app", "a"}};
  sent.ticket_secret = "secret";
  sent.changes = {{"{}"}};
  const auto got = Handover::from(sent.to_message());
  CHECK(got.version == "1.2.3");
  CHECK(got.upgrades_ok == 7);
  CHECK(got.upgrades_failed == 2);
  REQUIRE(got.sockets.size() == 3);
  CHECK(got.sockets[0].key == "127.0.0.1:80");
  CHECK(got.sockets[0].fds == std::vector<int>{5, 6});
  CHECK(got.sockets[2].key == "unix:/a\tb");
  REQUIRE(got.passed.size() == 1);
  CHECK(got.passed[0].name == "web");
  CHECK(got.passed[0].fd == 3);
  REQUIRE(got.processes.size() == 2);
  CHECK(got.processes[1].pid == 101);
  CHECK(got.processes[0].channel == 20);
  CHECK(got.processes[1].fd == 13);
  CHECK(got.processes[1].channel == -1);
  CHECK(got.takes_orders);
  CHECK(got.names == sent.names);
  CHECK(got.changes == sent.changes);
  CHECK(got.serving == sent.serving);
  CHECK(got.ticket_secret == "secret");
  CHECK(got.descriptors() == std::vector<int>{5, 6, 9, 11, 3, 12, 13, 20});
  CHECK(got.numbered_from(4).descriptors() == std::vector<int>{4, 5, 6, 7, 8, 9, 10, 11});
}

TEST_CASE("what a newer Weir adds is passed over; what is broken is not", "[handover]") {
  const Message newer{"handover", {{"version", "9", "more"}, {"moon", "full"}, {"socket", "k", "4"}}};
  CHECK(Handover::from(newer).sockets.size() == 1);
  CHECK_THROWS(Handover::from({"nonsense", {}}));
  CHECK_THROWS(Handover::from({"handover", {{"socket"}}}));
  CHECK_THROWS(Handover::from({"handover", {{"socket", "k", "x"}}}));
  CHECK_THROWS(Handover::from({"handover", {{"process", "1", "2x"}}}));
}

TEST_CASE("orders come back as they went", "[handover]") {
  const std::vector<HandedOrder> sent{{"app", "b 1", "drain", "uid 0", 123456789012345},
                                      {"app", "b2", "disable", "", 1}};
  const auto got = orders_of(orders_message("go", sent));
  REQUIRE(got.size() == 2);
  CHECK(got[0].backend == "b 1");
  CHECK(got[0].by == "uid 0");
  CHECK(got[0].at_ns == 123456789012345);
  CHECK(got[1].order == "disable");
  CHECK_THROWS(orders_of({"go", {{"order", "app"}}}));
}

TEST_CASE("what goes at the last moment comes back as it went", "[handover]") {
  const Go sent{{{"app", "b1", "drain", "uid 0", 1}}, {{"app", "b\t1", "down"}, {}, {"app", "b2"}}};
  auto message = sent.to_message();
  CHECK(message.word == "go");
  message.lines.push_back({"moon", "full"});
  const auto got = Go::from(message);
  REQUIRE(got.orders.size() == 1);
  CHECK(got.orders[0].backend == "b1");
  CHECK(got.health == sent.health);
  CHECK(Go::from({"go", {}}).health.empty());
  CHECK_THROWS(Go::from({"go", {{"order", "app"}}}));
}

TEST_CASE("what is in flight comes back as it was counted", "[handover]") {
  CHECK(asked_by(count_message(77)) == 77);
  const auto got = inflight_of(inflight_message({77, {{"app", "b 1", 3}}}));
  REQUIRE(got);
  CHECK(got->asked_ns == 77);
  REQUIRE(got->backends.size() == 1);
  CHECK(got->backends[0].backend == "b 1");
  CHECK(got->backends[0].inflight == 3);
  CHECK_FALSE(inflight_of({"moon", {}}));
  CHECK_THROWS(inflight_of({"inflight", {}}));
  CHECK_THROWS(inflight_of({"inflight", {{"asked", "1"}, {"backend", "app", "b1", "many"}}}));
}
