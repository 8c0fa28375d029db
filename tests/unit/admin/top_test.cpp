#include "lb/admin/top.hpp"

#include <algorithm>

#include "lb/admin/api.hpp"
#include "lb/admin/table.hpp"
#include "tests/catch.hpp"
#include "tests/unit/admin/fixture.hpp"

using namespace weir;
using namespace weir::admin;
using weir::admin::test::Fixture;

namespace {

using Time = std::chrono::steady_clock::time_point;
constexpr int64_t kNow = 1'769'860'860;  // 2026-01-31T12:01:00Z

struct World {
  TopSample sample(int seconds) {
    Api api(f.sources());
    return parse_top(api.answer("GET", "/api/v1/status", Surface::everything).body,
                     api.answer("GET", "/api/v1/pools", Surface::everything).body, Time(std::chrono::seconds(seconds)),
                     kNow);
  }
  Fixture f;
};

std::string text(const std::vector<std::string>& lines) {
  std::string all;
  for (const auto& line : lines) all += line + "\n";
  return all;
}

/// Several blanks count as one.
bool has(std::string text, const std::string& part) {
  text.erase(std::unique(text.begin(), text.end(), [](char a, char b) { return a == ' ' && b == ' '; }), text.end());
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("rates are those between two samples") {
  World world;
  auto& a = world.f.backend(0, 0);
  a.status = BackendStatus::up;
  a.since_wall_ns = (kNow - 30) * 1'000'000'000;
  a.cells[0].requests.add(1000);
  world.f.process.started_wall_ns = (kNow - 120) * 1'000'000'000;
  world.f.process.cells[0].requests_parsed.add(5000);
  const auto before = world.sample(10);
  a.cells[0].requests.add(400);
  a.cells[1].failures.add(20);
  a.cells[1].responses[5].add(2);
  world.f.process.cells[1].requests_parsed.add(500);
  for (int i = 0; i < 100; ++i) a.cells[0].latency.observe(2'000);
  a.inflight.value = 3;
  const auto now = world.sample(20);
  CHECK(request_rate(before, now) == 50);
  TopView view;
  view.history = {50};
  const auto picture = text(top_lines(before, now, view));
  INFO(picture);
  CHECK(has(picture, "not ready, up 2 min\n"));
  CHECK(has(picture, "50 req/s, p50 ~1.8 ms, p99 ~2.5 ms, 3/3 backends usable, 0 in flight, 7 connections, "));
  CHECK(has(picture, "\n a up 30 s 2 3 40 ████████ 2.0 0.2 ~1.8 ms ~2.5 ms"));
  CHECK(has(picture, "\n b unknown 0 s 2 0 0 0 0\n"));
}

TEST_CASE("another process is no continuation") {
  World world;
  auto before = world.sample(1);
  before.pid = 1;
  world.f.backend(0, 0).cells[0].requests.add(1000);
  const auto now = world.sample(2);
  CHECK(request_rate(before, now) == 0);
  TopView view;
  CHECK(has(text(top_lines(before, now, view)), "\napp 0 0 0 0 round_robin\n"));
}

TEST_CASE("the picture fits any window") {
  World world;
  world.f.backend(0, 1).reason = std::string(200, 'x');
  const auto before = world.sample(1), now = world.sample(2);
  for (size_t width : {1u, 10u, 40u, 80u, 200u})
    for (size_t height : {1u, 2u, 5u, 8u, 24u, 60u}) {
      TopView view;
      view.width = width;
      view.height = height;
      view.keys = true;
      view.scroll = 1000;
      view.history = {1, 2, 3};
      const auto lines = top_lines(before, now, view);
      CHECK(lines.size() <= height);
      for (const auto& line : lines) CHECK(columns_of(line) <= width);
      CHECK(view.scroll <= 5);
    }
}

TEST_CASE("scrolling and sorting") {
  World world;
  const auto before = world.sample(1);
  world.f.backend(0, 1).cells[0].requests.add(10);
  const auto now = world.sample(2);
  TopView view;
  view.order = TopOrder::requests;
  auto picture = text(top_lines(before, now, view));
  CHECK(picture.find("\n  b ") < picture.find("\n  a "));
  view.width = 80;
  view.height = 9;
  view.keys = true;
  view.scroll = 2;
  picture = text(top_lines(before, now, view));
  INFO(picture);
  CHECK(has(picture, "3–5 of 5\n"));
  CHECK_FALSE(has(picture, "\n b "));
  CHECK(has(picture, "\n a unknown"));
}

TEST_CASE("what can't be reached is said, over the last picture") {
  World world;
  const auto now = world.sample(1);
  TopView view;
  view.trouble = "no weir listens";
  CHECK(has(text(top_lines(now, now, view)), "no weir listens trying again\n"));
}

TEST_CASE("sparklines and bars") {
  CHECK(sparkline({}, 10).empty());
  CHECK(sparkline({0, 0}, 10) == "▁▁");
  CHECK(sparkline({0, 4, 8}, 10) == "▁▄█");
  CHECK(sparkline({100, 4, 8}, 2) == "▄█");
  CHECK(bar(0, 8).empty());
  CHECK(bar(1, 3) == "███");
  CHECK(bar(0.5, 3) == "█▌");
  CHECK(bar(7, 2) == "██");
}

TEST_CASE("what is no answer of ours is an error") {
  CHECK_THROWS(parse_top("{}", "{}", {}, 0));
  CHECK_THROWS(parse_top("nonsense", "{}", {}, 0));
}
