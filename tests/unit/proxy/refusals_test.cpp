#include "lb/proxy/refusals.hpp"

#include "tests/catch.hpp"

using weir::proxy::Refusals;

TEST_CASE("Refusals: however many requests one GOAWAY hits, none is a failure", "[proxy]") {
  Refusals refusals;
  uint64_t asked[50];
  for (auto& number : asked) number = refusals.ask();
  for (const auto number : asked) CHECK_FALSE(refusals.failed(number));
  CHECK_FALSE(refusals.failed(asked[0]));
}

TEST_CASE("Refusals: who is asked again and refuses again fails", "[proxy]") {
  Refusals refusals;
  CHECK_FALSE(refusals.failed(refusals.ask()));
  for (int i = 0; i < 5; ++i) {
    const auto number = refusals.ask();
    CHECK(refusals.failed(number));
    CHECK(refusals.failed(number));
  }
}

TEST_CASE("Refusals: an answer in between absolves", "[proxy]") {
  Refusals refusals;
  const auto early = refusals.ask();
  CHECK_FALSE(refusals.failed(refusals.ask()));
  refusals.answered();
  CHECK_FALSE(refusals.failed(refusals.ask()));
  CHECK_FALSE(refusals.failed(early));
  CHECK(refusals.failed(refusals.ask()));
}
