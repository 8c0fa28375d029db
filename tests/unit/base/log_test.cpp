#include "lb/base/log.hpp"

#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/catch.hpp"

using namespace weir;

namespace {

constexpr int64_t kNoon = 1'769'860'800'123'456'789;  // 2026-01-31T12:00:00.123456789Z

std::string line(log::Level level, std::string_view name, std::initializer_list<log::Field> fields) {
  std::string out;
  log::format_event(kNoon, level, name, fields, out);
  return out;
}

}  // namespace

TEST_CASE("an event is one line", "[log]") {
  CHECK(line(log::Level::warn, "backend_down", {{"pool", "app"}, {"backend", "a"}, {"reason", "connect refused"}}) ==
        "2026-01-31T12:00:00.123Z warn backend_down pool=app backend=a reason=\"connect refused\"\n");
  CHECK(line(log::Level::info, "started", {}) == "2026-01-31T12:00:00.123Z info started\n");
  CHECK(line(log::Level::error, "x", {{"a", ""}}) == "2026-01-31T12:00:00.123Z error x a=\"\"\n");
}

TEST_CASE("values are quoted when they need it", "[log]") {
  const std::string head = "2026-01-31T12:00:00.123Z info e v=";
  const auto value = [&](const std::string& text) {
    return line(log::Level::info, "e", {{"v", text}}).substr(head.size());
  };
  CHECK(value("127.0.0.1:80") == "127.0.0.1:80\n");
  CHECK(value("a=b") == "\"a=b\"\n");
  CHECK(value("say \"x\"") == "\"say \\\"x\\\"\"\n");
  CHECK(value("C:\\") == "\"C:\\\\\"\n");
  CHECK(value("forged\n2026-01-31T12:00:00.123Z error e") == "\"forged\\n2026-01-31T12:00:00.123Z error e\"\n");
  CHECK(value("\xff") == "\"\\xff\"\n");
  CHECK(value("ü") == "\"ü\"\n");
  CHECK(value(std::string(10'000, 'a')) == std::string(8192, 'a') + "\n");
  CHECK(value(std::string(10'000, ' ')).size() == 8192 + 3);
}

TEST_CASE("several threads at once give whole lines", "[log]") {
  std::mutex mutex;
  std::vector<std::string> lines;
  auto before = log::set_sink([&](std::string_view text) {
    const std::lock_guard lock(mutex);
    lines.emplace_back(text);
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([] {
      for (int i = 0; i < 100; ++i) log::info("tick", {{"i", std::to_string(i)}});
    });
  for (auto& thread : threads) thread.join();
  log::set_sink(before);
  REQUIRE(lines.size() == 400);
  for (const auto& text : lines) {
    CHECK(text.substr(23, 15) == "Z info tick i=" + text.substr(37, 1));
    CHECK(text.find('\n') == text.size() - 1);
  }
}

TEST_CASE("a sink that throws harms no one", "[log]") {
  auto before = log::set_sink([](std::string_view) { throw std::runtime_error("full"); });
  CHECK_NOTHROW(log::error("x"));
  log::set_sink(before);
}
