// What a configuration was read from is remembered, and told from what stands there now.
#include "config/seen_files.hpp"
#include "tests/unit/config/support.hpp"

using namespace weir::config;
using namespace weir::config::test;

namespace {

constexpr const char* kIncluding =
    "include: [conf.d/*.yaml]\nlisteners: { web: { bind: \":80\" } }\nroutes: [ { pool: app } ]\n"
    "error_pages: { 503: pages/503.html }\n";
constexpr const char* kPools = "pools: { app: { backends: { a: \"http://127.0.0.1:1\" } } }\n";

}  // namespace

TEST_CASE("every file that is read is seen") {
  World world;
  world.files["/etc/weir/weir.yaml"] = kIncluding;
  world.files["/etc/weir/conf.d/pools.yaml"] = kPools;
  world.files["/etc/weir/pages/503.html"] = "<p>";
  const auto seen = std::make_shared<SeenFiles>();
  REQUIRE(load_file("/etc/weir/weir.yaml", recording(world.environment(), seen)).config);
  CHECK(seen->files.size() == 3);
  CHECK(seen->patterns.size() == 1);
  CHECK(seen->changed(world.environment()).empty());

  world.files["/etc/weir/pages/503.html"] = "<b>";
  CHECK(seen->changed(world.environment()) == "/etc/weir/pages/503.html");
  world.files["/etc/weir/pages/503.html"] = "<p>";
  CHECK(seen->changed(world.environment()).empty());

  world.files["/etc/weir/conf.d/more.yaml"] = "";
  CHECK(seen->changed(world.environment()) == "/etc/weir/conf.d/*.yaml");
  world.files.erase("/etc/weir/conf.d/more.yaml");
  world.files.erase("/etc/weir/weir.yaml");
  CHECK(seen->changed(world.environment()) == "/etc/weir/weir.yaml");
}

TEST_CASE("what could not be read is seen when it comes") {
  World world;
  world.files["/etc/weir/weir.yaml"] = kIncluding;
  world.files["/etc/weir/conf.d/pools.yaml"] = kPools;
  const auto seen = std::make_shared<SeenFiles>();
  CHECK_FALSE(load_file("/etc/weir/weir.yaml", recording(world.environment(), seen)).config);
  CHECK(seen->changed(world.environment()).empty());
  world.files["/etc/weir/pages/503.html"] = "<p>";
  CHECK(seen->changed(world.environment()) == "/etc/weir/pages/503.html");
}
