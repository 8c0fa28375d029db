#include "health/usable.hpp"

#include <set>
#include <string>
#include <vector>

#include "lb/base/rng.hpp"
#include "tests/catch.hpp"
#include "tests/unit/health/pool_of.hpp"

namespace weir::health {
namespace {

BackendStatus status_of(char c) {
  switch (c) {
    case 'U': return BackendStatus::up;
    case 'D': return BackendStatus::down;
    case 'E': return BackendStatus::ejected;
    case 'X': return BackendStatus::draining;
    case 'O': return BackendStatus::disabled;
    default: return BackendStatus::unknown;
  }
}

/// "UUD/U": three primaries, a backup. A digit 0 instead of a status: up, but without a weight.
Usable usable_of(const std::string& text, uint32_t panic_percent) {
  config::Pool pool;
  std::vector<BackendView> views;
  bool backup = false;
  for (const char c : text) {
    if (c == '/') {
      backup = true;
      continue;
    }
    config::Backend backend;
    backend.backup = backup;
    backend.weight = c == '0' ? 0 : 1;
    pool.backends.push_back(backend);
    views.push_back({c == '0' ? BackendStatus::up : status_of(c), 1000});
  }
  pool.panic_percent = panic_percent;
  return usable_backends(pool, views);
}

std::string outcome(const std::string& text, uint32_t panic_percent = 0) {
  const Usable usable = usable_of(text, panic_percent);
  std::string out;
  for (const auto& entry : usable.entries) out += std::to_string(entry.backend);
  if (usable.panic) out += " panic";
  if (usable.backups) out += " backups";
  return out;
}

}  // namespace

TEST_CASE("who serves") {
  struct Case {
    const char *what, *states;
    uint32_t panic;
    const char* expected;
  };
  const Case cases[] = {
      {"all", "UUU", 0, "012"},
      {"not yet probed is usable", "??U", 0, "012"},
      {"not those that are down or ejected", "UDEU", 0, "03"},
      {"weight 0 takes nothing", "U0U", 0, "02"},
      {"backups wait while a primary is usable", "UDD/UU", 0, "0"},
      {"backups serve when no primary is usable", "DDE/UU", 0, "34 backups"},
      {"only backups that are usable", "DD/DU", 0, "3 backups"},
      {"a pool of backups alone", "/UU", 0, "01 backups"},
      {"nobody is usable: the ejected ones before those whose checks fail", "DED", 0, "1 panic"},
      {"… also among the backups", "DD/ED", 0, "2 panic"},
      {"nobody is usable: all", "DDD", 0, "012 panic"},
      {"nobody is usable: backups, too", "DD/D", 0, "012 panic"},
      {"panic never wakes weight 0", "D0D", 0, "02 panic"},
      {"no backends", "", 0, ""},
      {"no backend with a weight", "00", 0, ""},
      {"half is not below 50 %", "UUDD", 50, "01"},
      {"a quarter is: all serve", "UDDD", 50, "0123 panic"},
      {"with the ejected ones it is enough", "UEDD", 50, "01 panic"},
      {"weight 0 doesn't count", "U0D", 50, "0"},
      {"backups serve before the primaries panic, if none is usable", "DDDD/U", 50, "4 backups"},
      {"in panic usable backups help", "UDDD/U", 50, "01234 panic"},
      {"panic at 100 %: one is missing", "UUD", 100, "012 panic"},
      {"panic at 100 %: none is", "UUU", 100, "012"},
      {"what the operator takes out takes nothing", "UXO", 0, "0"},
      {"… not even in panic", "DXO", 0, "0 panic"},
      {"… and is missed by nobody", "UXXX", 50, "0"},
      {"… backups stand in for it", "XO/U", 0, "2 backups"},
      {"all are taken out", "XO/X", 0, ""},
  };
  for (const auto& c : cases) {
    INFO(c.what);
    CHECK(outcome(c.states, c.panic) == c.expected);
  }
}

TEST_CASE("the weight is the configured one times the slow-start share, never 0") {
  config::Pool pool = test::pool_of(3);
  pool.backends[0].weight = 5;
  pool.backends[1].weight = 1000;
  const std::vector<BackendView> views{{BackendStatus::up, 1000}, {BackendStatus::up, 100}, {BackendStatus::up, 0}};
  const Usable usable = usable_backends(pool, views);
  REQUIRE(usable.entries.size() == 3);
  CHECK(usable.entries[0].weight == 5000);
  CHECK(usable.entries[1].weight == 100'000);
  CHECK(usable.entries[2].weight == 1);
}

TEST_CASE(
    "whatever the states: somebody serves if anybody has a weight, nobody twice, and a panic only for want of usable "
    "ones") {
  Rng rng(11);
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    const uint32_t primaries = rng.below(6), backups = rng.below(3);
    for (uint32_t i = 0; i < primaries; ++i) text += "UDE?0"[rng.below(5)];
    text += '/';
    for (uint32_t i = 0; i < backups; ++i) text += "UDE?0"[rng.below(5)];
    const uint32_t percent = rng.below(3) * 50;
    const Usable usable = usable_of(text, percent);
    INFO(text << " at " << percent);

    std::set<uint32_t> seen;
    for (const auto& entry : usable.entries) CHECK(seen.insert(entry.backend).second);
    CHECK(usable.entries.empty() == (text.find_first_not_of("0/") == std::string::npos));
    CHECK_FALSE((usable.panic && usable.backups));
    const bool out_of_service_serve = [&] {
      for (const auto& entry : usable.entries) {
        const char c = text[entry.backend + (entry.backend >= primaries ? 1 : 0)];
        if (c == 'D' || c == 'E') return true;
        if (c == '0') FAIL("weight 0 serves");
      }
      return false;
    }();
    if (out_of_service_serve) CHECK(usable.panic);
    if (percent == 0 && text.find_first_of("U?") != std::string::npos) CHECK_FALSE(usable.panic);
  }
}

}  // namespace weir::health
