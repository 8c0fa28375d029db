// Several files, files that can't be read, error pages.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/unit/config/support.hpp"

using namespace weir::config;
using namespace weir::config::test;

namespace {

const std::string kMain =
    "include: [conf.d/*.yaml, extra.yaml]\nlisteners: { web: { bind: \":8080\" } }\nroutes: [ { match: { path: /first "
    "}, pool: a } ]\n";
const std::string kA = "pools: { a: { backends: { x: \"unix:/a\" } } }\nroutes: [ { match: { path: /a }, pool: a } ]\n";
const std::string kB = "pools: { b: { backends: { x: \"unix:/b\" } } }\nroutes: [ { match: { path: /b }, pool: b } ]\n";

World three_files() {
  World world;
  world.files = {{"/etc/weir/weir.yaml", kMain},
                 {"/etc/weir/conf.d/b.yaml", kB},
                 {"/etc/weir/conf.d/a.yaml", kA},
                 {"/etc/weir/extra.yaml", "routes: [ { pool: a } ]\n"}};
  return world;
}

LoadResult load(const World& world) { return load_file("/etc/weir/weir.yaml", world.environment()); }

}  // namespace

TEST_CASE("included maps merge, and routes append in order") {
  const LoadResult result = load(three_files());
  INFO(all(result.errors));
  REQUIRE(result.config);
  std::string paths;
  for (const auto& route : result.config->routes) paths += route.match.path + " ";
  CHECK(paths == "/first /a /b  ");
  CHECK(result.config->pools.size() == 2);
  CHECK(result.config->find_pool("b")->at.file == "/etc/weir/conf.d/b.yaml");
  CHECK(result.config->routes[1].at.file == "/etc/weir/conf.d/a.yaml");
  CHECK(result.config->routes[1].at.line == 2);
}

TEST_CASE("a name in two files is an error that names both places") {
  World world = three_files();
  world.files["/etc/weir/conf.d/b.yaml"] = "pools:\n  a: { backends: { x: \"unix:/b\" } }\n";
  CHECK(all(load(world).errors) ==
        "/etc/weir/conf.d/b.yaml:2:3: pools.a is here twice; it stands first at /etc/weir/conf.d/a.yaml:1:10: keep "
        "one\n");
  world = three_files();
  world.files["/etc/weir/weir.yaml"] += "workers: 2\n";
  world.files["/etc/weir/extra.yaml"] = "workers: 3\n";
  CHECK(all(load(world).errors) ==
        "/etc/weir/extra.yaml:1:1: workers is here twice; it stands first at /etc/weir/weir.yaml:4:1: keep one\n");
}

TEST_CASE("errors of included files name the file") {
  World world = three_files();
  world.files["/etc/weir/conf.d/b.yaml"] =
      "pools: { b: { backends: { x: \"unix:/b\" }, panic: 5 } }\nroutes: [ { match: { path: /b }, pool: c } ]\n";
  CHECK(all(load(world).errors) ==
        "/etc/weir/conf.d/b.yaml:1:50: pool b: panic: 5 has no unit; write 5%\n"
        "/etc/weir/conf.d/b.yaml:2:40: route 3: pool: there is no pool \"c\"; the pools are: a, b\n");
  world = three_files();
  // What b.yaml would have brought is not called missing.
  world.files["/etc/weir/conf.d/b.yaml"] = "pools: [\n";
  world.files["/etc/weir/extra.yaml"] = "routes: [ { pool: b } ]\n";
  const LoadResult result = load(world);
  REQUIRE(result.errors.size() == 1);
  CHECK(result.errors[0].at.file == "/etc/weir/conf.d/b.yaml");
}

TEST_CASE("what can't be included") {
  World world = three_files();
  world.files.erase("/etc/weir/extra.yaml");
  CHECK(all(load(world).errors) ==
        "/etc/weir/weir.yaml:1:26: include: /etc/weir/extra.yaml can't be read: No such file or directory\n");
  world = three_files();
  world.files["/etc/weir/extra.yaml"] = "include: [more.yaml]\n";
  CHECK(all(load(world).errors) ==
        "/etc/weir/extra.yaml:1:1: include works in the main file alone; name the files there\n");
  world.files["/etc/weir/extra.yaml"] = "- a\n";
  CHECK(all(load(world).errors).find("/etc/weir/extra.yaml:1:1: an included file is a map") == 0);
  world.files["/etc/weir/extra.yaml"] = "# nothing\n";
  CHECK(load(world).config);
  world.files["/etc/weir/weir.yaml"] = "include: [\"*.yaml\"]\n" + kMinimal;
  CHECK(all(load(world).errors).find("/etc/weir/weir.yaml:1:11: include: *.yaml names the file itself") == 0);
  world.files["/etc/weir/weir.yaml"] = "include: conf.d\n" + kMinimal;
  CHECK(all(load(world).errors) ==
        "/etc/weir/weir.yaml:1:10: include: a list of paths is needed; write [conf.d/*.yaml]\n");
  world.files["/etc/weir/weir.yaml"] = "include: [nothing.d/*.yaml]\n" + kMinimal;
  CHECK(load(world).config);
}

TEST_CASE("a file that can't be read is told from a bad one") {
  const LoadResult missing = load(World());
  CHECK(missing.unreadable);
  CHECK(all(missing.errors) == "/etc/weir/weir.yaml: can't be read: No such file or directory\n");
  World world;
  world.files["/etc/weir/weir.yaml"] = "[";
  CHECK_FALSE(load(world).unreadable);
  CHECK_FALSE(load(world).config);
}

TEST_CASE("error pages are read when the configuration is") {
  World world;
  world.files["/etc/weir/weir.yaml"] = "error_pages: { 503: busy.html, 404: /srv/404.html }\n" + kMinimal;
  world.files["/etc/weir/busy.html"] = "busy";
  world.files["/srv/404.html"] = std::string(64 << 10, 'x');
  const LoadResult result = load(world);
  INFO(all(result.errors));
  REQUIRE(result.config);
  CHECK(result.config->error_pages.at(503) == "busy");
  CHECK(result.config->error_pages.at(404).size() == 64 << 10);
  world.files["/srv/404.html"] += 'x';
  world.files.erase("/etc/weir/busy.html");
  CHECK(all(load(world).errors) ==
        "/etc/weir/weir.yaml:1:21: error_pages.503: /etc/weir/busy.html can't be read (No such file or directory); "
        "write the path of an HTML file\n"
        "/etc/weir/weir.yaml:1:37: error_pages.404: /srv/404.html is longer than 64 KiB; make it shorter\n");
  world.files["/etc/weir/weir.yaml"] = "error_pages: { 200: busy.html }\n" + kMinimal;
  CHECK(all(load(world).errors) ==
        "/etc/weir/weir.yaml:1:16: error_pages: \"200\" is no status of an error; write one from 400 to 599\n");
}

TEST_CASE("the real files and variables") {
  char name[] = "/tmp/weir-config-test-XXXXXX";
  REQUIRE(::mkdtemp(name));
  const std::string folder = name;
  std::filesystem::create_directories(folder + "/conf.d/sub.yaml");
  std::ofstream(folder + "/weir.yaml") << "include: [\"conf.d/[ab].yaml\"]\n" << kMinimal;
  std::ofstream(folder + "/conf.d/b.yaml") << "workers: 7\n";
  const LoadResult result = load_file(folder + "/weir.yaml");
  INFO(all(result.errors));
  REQUIRE(result.config);
  CHECK(result.config->workers == 7);

  const Environment real = Environment::real();
  CHECK(load_file(folder).unreadable);
  CHECK(load_file(folder + "/none.yaml").unreadable);
  CHECK(real.read_file(folder + "/weir.yaml", 10, false).text->size() == 11);
  CHECK(real.read_file(folder + "/conf.d", 10, false).error == "it is a directory");
  CHECK(real.read_file("/dev/null", 10, false).error == "it is not an ordinary file");
  CHECK(real.glob(folder + "/conf.d/*") ==
        std::vector<std::string>{folder + "/conf.d/b.yaml", folder + "/conf.d/sub.yaml"});
  CHECK_FALSE(real.variable("WEIR_NOT_SET_ANYWHERE"));
  CHECK(real.variable("PATH"));
  std::filesystem::remove_all(folder);
}
