// Orders for backends that DNS may still name.
#include "lb/discover/waiting_orders.hpp"

#include "tests/catch.hpp"

using namespace weir::discover;
using weir::net::HandedOrder;

namespace {

std::vector<std::string> shown(const std::vector<HandedOrder>& orders) {
  std::vector<std::string> out;
  for (const auto& order : orders) out.push_back(order.pool + "/" + order.backend + " " + order.order);
  return out;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("an order waits for its backend, once") {
  WaitingOrders waiting;
  CHECK(waiting.empty());
  waiting.add({{"app", "a", "drain", "uid 0", 7}, {"app", "b", "disable", "", 8}});
  CHECK_FALSE(waiting.take("web", "a"));
  const auto order = waiting.take("app", "a");
  REQUIRE(order);
  CHECK(order->by == "uid 0");
  CHECK(order->at_ns == 7);
  CHECK_FALSE(waiting.take("app", "a"));
  CHECK(shown(waiting.all()) == Texts{"app/b disable"});
}

TEST_CASE("an order is forgotten when its pool awaits nobody") {
  WaitingOrders waiting;
  waiting.add({{"app", "a", "drain", "", 1}, {"web", "a", "drain", "", 1}});
  CHECK(shown(waiting.forget([](const auto& pool) { return pool == "app"; })) == Texts{"web/a drain"});
  CHECK(shown(waiting.all()) == Texts{"app/a drain"});
  CHECK(waiting.forget([](const auto&) { return true; }).empty());
}

TEST_CASE("no more orders wait than are allowed") {
  WaitingOrders waiting;
  std::vector<HandedOrder> many;
  for (size_t i = 0; i < WaitingOrders::kMost + 5; ++i) many.push_back({"app", std::to_string(i), "drain", "", 1});
  waiting.add(many);
  CHECK(waiting.forget([](const auto&) { return true; }).size() == 5);
  CHECK(waiting.all().size() == WaitingOrders::kMost);
}
