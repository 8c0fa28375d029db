// The strict subset of YAML, and variables in it.
#include "config/yaml.hpp"
#include "config/suggest.hpp"
#include "tests/unit/config/support.hpp"

using namespace weir::config;
using namespace weir::config::test;

namespace {

void check_finding(const std::string& with_mark, const std::string& words) {
  const Marked marked(with_mark);
  INFO(marked.text.substr(0, 200));
  std::vector<Finding> problems;
  parse_yaml(marked.text, 0, problems);
  REQUIRE(problems.size() == 1);
  CHECK(fmt::format("{}:{}", problems[0].at.line, problems[0].at.column) == marked.place);
  INFO(problems[0].message);
  CHECK(problems[0].message.find(words) != std::string::npos);
}

std::string repeat(const std::string& text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

}  // namespace

TEST_CASE("a tree knows places, quotes and kinds") {
  std::vector<Finding> problems;
  const auto tree = parse_yaml("a: 1\nb:\n  - x\n  - \"y\"\nc: { d: ~, e: |-\n  x }\n", 0, problems);
  const auto good = parse_yaml("a: 1\nb:\n  - x\n  - \"y\"\nc:\nd: { e: 'null' }\nf: |\n  two\n  lines\n", 0, problems);
  CHECK_FALSE(tree);
  REQUIRE(problems.size() == 1);
  REQUIRE(good);
  CHECK(good->find("a")->is_plain());
  CHECK(good->find("a")->at == Place{0, 1, 4});
  CHECK(good->find("b")->items[1].quoted);
  CHECK(good->find("b")->items[1].at == Place{0, 4, 5});
  CHECK(good->find("c")->kind == Node::Kind::null);
  CHECK(good->find("c")->at == Place{0, 5, 1});
  CHECK(good->find("d")->find("e")->text == "null");
  CHECK(good->find("f")->text == "two\nlines\n");
  CHECK(good->find("g") == nullptr);
}

TEST_CASE("what YAML can do and a configuration can't") {
  check_finding("a: @@&x 1\n", "anchors (&name) are not supported");
  check_finding("a: @@&x [1]\n", "anchors");
  check_finding("a: @@&x { b: 1 }\n", "anchors");
  check_finding("a: @@!!str 1\n", "the tag tag:yaml.org,2002:str is not supported");
  check_finding("a: @@!mine { b: 1 }\n", "the tag !mine is not supported");
  check_finding("@@<<: { a: 1 }\n", "merging with << is not supported");
  check_finding("a: 1\nb: 2\n@@a: 3\n", "\"a\" is here twice; it stands first in line 1, column 1");
  check_finding("x: { a: 1, @@a: 2 }\n", "\"a\" is here twice; it stands first in line 1, column 6");
  check_finding("? @@[a]\n: 1\n", "a key must be a word");
  check_finding("@@~: 1\n", "a key must be a word");
  check_finding("a: 1\n@@---\nb: 2\n", "a second YAML document");
  check_finding("a: 1\n...\n@@---\nb: 2\n", "a second YAML document");
  check_finding("a: \"@@\xff\"\n", "not UTF-8");
  check_finding("a: b\nc: @@\xc0\x80\n", "not UTF-8");
  check_finding(std::string("a: b\n@@\0: c\n", 12), "not UTF-8");
  check_finding("a:\n@@\tb: 1\n", "a tab in the indentation; use spaces");
  check_finding("a: b@@: c\n", "a `:` where none can stand");
}

TEST_CASE("an alias is refused, and so is its bomb, in no time") {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 30; ++i)
    bomb += fmt::format("a{}: &a{} [{}*a{}]\n", i, i, repeat(fmt::format("*a{}, ", i - 1), 9), i - 1);
  std::vector<Finding> problems;
  const auto tree = parse_yaml(bomb, 0, problems);
  REQUIRE(tree);
  CHECK(problems.size() == 30 + 29 * 10);
  const LoadResult result = load_text(bomb);
  CHECK_FALSE(result.config);
}

TEST_CASE("depth, size and number of values are bounded") {
  std::vector<Finding> problems;
  CHECK(parse_yaml(repeat("[", 32) + repeat("]", 32), 0, problems));
  CHECK(problems.empty());
  check_finding(repeat("[", 32) + "@@[" + repeat("]", 33), "more than 32 levels of nesting");
  parse_yaml(repeat("[", 200'000), 0, problems);
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].message.find("more than 32 levels of nesting") == 0);
  check_finding("@@" + std::string(kMaxFileBytes + 1, '#'), "larger than 4 MiB");
  check_finding(repeat("- a\n", kMaxNodes) + "- @@a\n", "values in one file");
  CHECK(parse_yaml(std::string(kMaxFileBytes, '#'), 0, problems));
}

TEST_CASE("a wall of errors is cut") {
  std::string text = kMinimal;
  for (int i = 0; i < 3000; ++i) text += fmt::format("x{}: 1\n", i);
  CHECK(load_text(text).errors.size() == kMaxProblems);
  std::vector<Finding> problems;
  parse_yaml(repeat("- &a 1\n- *a\n", 2000), 0, problems);
  CHECK(problems.size() == kMaxProblems);
  CHECK(load_text("a: [" + repeat("\"${NO}\", ", 3000) + "]\n").errors.size() == kMaxProblems);
}

TEST_CASE("variables stand in values, and only as text") {
  World world;
  world.variables = {{"PORT", "9001"}, {"BODY", "x: [1, 2]\ny: *a"}, {"EMPTY", ""}, {"N", "3"}};
  const auto environment = world.environment();
  const Config config = good(R"(workers: ${N}
limits: { header_count: "${COUNT:-50}" }
listeners: { web: { bind: ":${EMPTY:-8080}" } }
pools: { app: { backends: { a: "http://127.0.0.1:${PORT}" } } }
routes:
  - match: { path: /a }
    respond: { body: "${BODY}" }
  - match: { path: /b }
    respond: { body: "$$ $${N} $x ${EMPTY}$" }
  - pool: app
)",
                             environment);
  CHECK(config.workers == 3);
  CHECK(config.limits.header_count == 50);
  CHECK(config.listeners[0].binds[0].port() == 8080);
  CHECK(config.pools[0].backends[0].address.port() == 9001);
  CHECK(config.routes[0].respond->body == "x: [1, 2]\ny: *a");
  CHECK(config.routes[1].respond->body == "$ ${N} $x $");

  check_error(replaced(kMinimal, "\"http://127.0.0.1:9001\"", "@@\"http://127.0.0.1:${NO}\""),
              "the environment variable NO is not set; set it, or write ${NO:-default}", environment);
  check_error("drain_delay: @@${EMPTY}\n" + kMinimal, "an empty text is not a number with a unit", environment);
  check_error("drain_delay: @@${PORT\n" + kMinimal, "${ without }", environment);
  check_error("drain_delay: @@${1A}\n" + kMinimal, "not the name of an environment variable: ${1A}", environment);
  check_error("drain_delay: @@${}\n" + kMinimal, "not the name of an environment variable", environment);
  check_error("@@$x: 1\n" + kMinimal, "unknown key \"$x\"", environment);
  world.variables["BIG"] = std::string(40'000, 'x');
  check_error(replaced(kMinimal, "{ pool: app }",
                       "{ match: { path: /x }, respond: { body: @@\"${BIG}${BIG}\" } }, { pool: app }"),
              "longer than 64 KiB", world.environment());
}

TEST_CASE("the distance of words") {
  CHECK(edit_distance("timeout", "timeout", 3) == 0);
  CHECK(edit_distance("timeuot", "timeout", 3) == 1);
  CHECK(edit_distance("timeouts", "timeout", 3) == 1);
  CHECK(edit_distance("bind", "find", 3) == 1);
  CHECK(edit_distance("abc", "xyz", 2) == 3);
  CHECK(edit_distance("a", "abcdefgh", 2) == 3);
  CHECK(edit_distance("", "ab", 2) == 2);
  CHECK(nearest("blance", {"host", "balance", "panic"}) == "balance");
  CHECK(nearest("x", {"y", "z"}).empty());
  CHECK(nearest(std::string(65, 'a'), {std::string(64, 'a')}).empty());
  CHECK(suggest("zzz", {"a", "b"}, "these are") == "these are: a, b");
  CHECK(suggest("zzz", {}, "these are", "write one") == "write one");
}
