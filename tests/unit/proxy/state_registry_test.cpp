// States over reloads: of what the configuration no longer has, and has again.
#include "config/load.hpp"
#include "lb/proxy/runtime.hpp"
#include "tests/catch.hpp"

using namespace weir;
using namespace weir::proxy;

namespace {

struct World {
  /// `pools`: of "app" and "other", as in the file.
  void load(const std::string& pools) {
    auto loaded = config::load_text("listeners: { db: { bind: \"127.0.0.1:80\", mode: tcp, pool: other } }\npools:\n" +
                                        pools + "\n  other: { mode: tcp, backends: { x: 127.0.0.1:9 } }\n",
                                    "weir.yaml", config::Environment::none());
    REQUIRE(loaded.config);
    runtime = registry.build(std::make_shared<const config::Config>(std::move(*loaded.config)), 1);
  }
  std::shared_ptr<BackendState> backend(const std::string& name) {
    const Pool* app = runtime->find_pool("app");
    for (const auto& state : app ? app->backends : std::vector<std::shared_ptr<BackendState>>())
      if (state->name == name) return state;
    return nullptr;
  }
  StateRegistry registry{1};
  std::shared_ptr<Runtime> runtime;
};

const std::string kBoth = "  app: { mode: tcp, backends: { a: 127.0.0.1:1, b: 127.0.0.1:2 } }";
const std::string kOne = "  app: { mode: tcp, backends: { a: 127.0.0.1:1 } }";
const std::string kMoved = "  app: { mode: tcp, backends: { a: 127.0.0.1:1, b: 127.0.0.1:3 } }";

}  // namespace

TEST_CASE("a backend that comes back knows what it still has in flight") {
  for (const auto& between : {kOne, std::string(), kMoved}) {
    World world;
    world.load(kBoth);
    const auto held = world.backend("b");
    held->inflight.value = 2;
    if (between != kMoved) held->order = BackendOrder::disable;
    const auto pool = world.runtime->find_pool("app")->state;
    const auto admission = world.runtime->find_pool("app")->admission;
    for (int i = 0; i < 2; ++i) world.load(between);
    world.load(kBoth);
    CHECK(world.backend("b") == held);
    CHECK(held->order.load() == BackendOrder::serve);
    CHECK(world.runtime->find_pool("app")->state == pool);
    CHECK(world.runtime->find_pool("app")->admission == admission);
  }
}

TEST_CASE("one that nobody holds, or that has nothing in flight, begins anew") {
  World world;
  world.load(kBoth);
  std::weak_ptr<BackendState> before = world.backend("b");
  world.load(kOne);
  CHECK(before.expired());
  world.load(kBoth);
  const auto held = world.backend("b");
  world.load(kOne);
  world.load(kBoth);
  CHECK(world.backend("b") != held);
}

TEST_CASE("at another address it is another one, which keeps the order") {
  World world;
  world.load(kBoth);
  const auto held = world.backend("b");
  held->inflight.value = 1;
  held->order = BackendOrder::disable;
  world.load(kMoved);
  CHECK(world.backend("b") != held);
  CHECK(world.backend("b")->order.load() == BackendOrder::disable);
  world.load(kBoth);
  CHECK(world.backend("b") == held);
  CHECK(held->order.load() == BackendOrder::disable);
}
