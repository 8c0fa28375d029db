// Changes of backends, laid over what the file says.
#include "config/backend_changes.hpp"
#include "config/diff.hpp"
#include "tests/unit/config/support.hpp"

using namespace weir::config;
using namespace weir::config::test;

namespace {

using Kind = BackendChange::Kind;
using Why = BackendChanges::Refusal::Kind;

Config written(
    const std::string& backends = "a: \"http://127.0.0.1:9001\", b: { url: \"http://127.0.0.1:9002\", weight: 2 }") {
  const auto loaded = load_text("listeners: { web: { bind: \":80\" } }\npools: { app: { backends: { " + backends +
                                " } } }\nroutes: [ { pool: app } ]\n");
  REQUIRE(loaded.config);
  return *loaded.config;
}

std::string shown(BackendChanges& changes, const Config& file = written()) {
  Config config = file;
  changes.apply(config);
  std::string out;
  for (const auto& backend : config.pools[0].backends)
    out += (out.empty() ? "" : " ") + backend.name + "*" + std::to_string(backend.weight);
  return out;
}

BackendChange add(const std::string& name, const std::string& url = "http://127.0.0.1:9003", uint32_t weight = 1) {
  return {Kind::add, "app", name, url, weight};
}
BackendChange weight(const std::string& name, uint32_t value) { return {Kind::weight, "app", name, "", value}; }
BackendChange removal(const std::string& name) { return {Kind::remove, "app", name, "", 1}; }

}  // namespace

TEST_CASE("backends are added, weighted and removed over the file") {
  BackendChanges changes;
  CHECK_FALSE(changes.take(written(), add("c", "http://c.internal:80", 3)));
  CHECK_FALSE(changes.take(written(), weight("a", 5)));
  CHECK_FALSE(changes.take(written(), removal("b")));
  CHECK(shown(changes) == "a*5 c*3");
  CHECK_FALSE(changes.take(written(), weight("c", 7)));
  CHECK_FALSE(changes.take(written(), weight("a", 1)));  // as the file has it
  CHECK(changes.all().size() == 2);
  CHECK(shown(changes) == "a*1 c*7");
  CHECK_FALSE(changes.take(written(), removal("c")));
  CHECK_FALSE(changes.take(written(), add("b", "http://127.0.0.1:9002")));  // the removal is taken back
  CHECK(changes.all().empty());
  CHECK(shown(changes) == "a*1 b*2");
}

TEST_CASE("what can't be is refused, with what exists") {
  BackendChanges changes;
  const auto refused = [&](const BackendChange& change, Why why, const std::string& words) {
    const auto refusal = changes.take(written(), change);
    REQUIRE(refusal);
    INFO(refusal->text);
    CHECK(refusal->kind == why);
    CHECK(refusal->text.find(words) != std::string::npos);
  };
  refused({Kind::weight, "ap", "a", "", 1}, Why::unknown,
          "there is no pool \"ap\" (did you mean \"app\"?); the pools are: app");
  refused(weight("z", 1), Why::unknown, "pool app has no backend \"z\"; its backends are: a, b");
  refused(weight("a", 1001), Why::wrong, "write 0 to 1000");
  refused(add("c", "c:80"), Why::wrong, "the scheme is missing");
  refused(add("a b"), Why::wrong, "can't be a name");
  refused(add("a"), Why::conflict, "has a backend a already");
  CHECK_FALSE(changes.take(written(), removal("a")));
  refused(add("a", "http://127.0.0.1:9999"), Why::conflict, "the configuration has a at http://127.0.0.1:9001");
  refused(removal("b"), Why::conflict, "b is the last backend of pool app");
  CHECK(shown(changes) == "b*2");
}

TEST_CASE("a reload keeps what fits and says what it forgets") {
  BackendChanges changes;
  CHECK_FALSE(changes.take(written(), add("c")));
  CHECK_FALSE(changes.take(written(), weight("a", 5)));
  CHECK_FALSE(changes.take(written(), removal("b")));
  Config same = written();
  CHECK(changes.apply(same).empty());
  Config other = written("c: \"http://127.0.0.1:1\", d: \"http://127.0.0.1:2\"");
  const auto forgotten = changes.apply(other);
  REQUIRE(forgotten.size() == 3);
  CHECK(forgotten[0].find("backend a") != std::string::npos);
  CHECK(forgotten[2].find("the file has it now") != std::string::npos);
  CHECK(changes.all().empty());
  CHECK(diff(written(), same) == std::vector<std::string>{"pool app: backend b removed (127.0.0.1:9002)",
                                                          "pool app: backend a: weight 1 → 5",
                                                          "pool app: backend c added (127.0.0.1:9003)"});
}
