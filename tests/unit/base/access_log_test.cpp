#include "lb/base/access_log.hpp"

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <sstream>
#include <system_error>
#include <thread>
#include <vector>

#include "lb/base/log.hpp"
#include "tests/catch.hpp"

using namespace weir;

namespace {

struct TemporaryFolder {
  TemporaryFolder() {
    char name[] = "/tmp/weir-log-XXXXXX";
    path = mkdtemp(name);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
  std::string file(const char* name) const { return path + "/" + name; }
  std::string path;
};

std::string contents(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::vector<std::string> lines(const std::string& path) {
  std::ifstream in(path);
  std::vector<std::string> found;
  for (std::string line; std::getline(in, line);) found.push_back(line);
  return found;
}

AccessRecord example() {
  AccessRecord record;
  record.wall_ns = 1'769'860'800'123'456'789;
  record.duration_us = 12'345;
  record.upstream_us = 11'007;
  record.bytes_received = 321;
  record.bytes_sent = 65'790;
  record.status = 200;
  record.attempts = 1;
  record.client = "192.0.2.7";
  record.method = "GET";
  record.target = "/a?q=\"1\"";
  record.host = "example.com";
  record.user_agent = "curl/8.0";
  record.referer = "";
  record.request_id = "0123456789abcdef0123456789abcdef";
  record.listener = "web";
  record.route = "app";
  record.pool = "app";
  record.backend = "a";
  return record;
}

std::string json(const AccessRecord& record) {
  std::string out;
  format_json(record, out);
  return out;
}

std::string combined(const AccessRecord& record) {
  std::string out;
  format_combined(record, out);
  return out;
}

}  // namespace

TEST_CASE("a JSON line, exactly", "[access_log]") {
  CHECK(
      json(example()) ==
      R"({"time":"2026-01-31T12:00:00.123Z","client":"192.0.2.7","user":"","method":"GET","target":"/a?q=\"1\"","host":"example.com",)"
      R"("status":200,"cause":"none","duration_ms":12.345,"upstream_ms":11.007,"bytes_in":321,"bytes_out":65790,"attempts":1,)"
      R"("listener":"web","route":"app","pool":"app","backend":"a","request_id":"0123456789abcdef0123456789abcdef",)"
      R"("user_agent":"curl/8.0","referer":"","protocol":"HTTP/1.1"})"
      "\n");
  AccessRecord failed;
  failed.status = 408;
  failed.cause = Cause::header_timeout;
  failed.minor = 0;
  failed.user_agent = "\xff\n";
  CHECK(
      json(failed) ==
      R"({"time":"1970-01-01T00:00:00.000Z","client":"","user":"","method":"","target":"","host":"","status":408,"cause":"header_timeout",)"
      R"("duration_ms":0.000,"upstream_ms":null,"bytes_in":0,"bytes_out":0,"attempts":0,"listener":"","route":"","pool":"",)"
      R"("backend":"","request_id":"","user_agent":"\\xff\n","referer":"","protocol":"HTTP/1.0"})"
      "\n");
}

TEST_CASE("a combined line, exactly", "[access_log]") {
  auto record = example();
  CHECK(combined(record) ==
        R"(192.0.2.7 - - [31/Jan/2026:12:00:00 +0000] "GET /a?q=\x221\x22 HTTP/1.1" 200 65790 "-" "curl/8.0")"
        "\n");
  record.user = "ann";
  record.referer = "https://example.com/";
  record.user_agent = "";
  record.minor = 0;
  CHECK(
      combined(record) ==
      R"(192.0.2.7 - ann [31/Jan/2026:12:00:00 +0000] "GET /a?q=\x221\x22 HTTP/1.0" 200 65790 "https://example.com/" "-")"
      "\n");
  AccessRecord nothing;
  CHECK(combined(nothing) == "- - - [01/Jan/1970:00:00:00 +0000] \"-\" 000 0 \"-\" \"-\"\n");
}

TEST_CASE("what is written is in the file when the log ends", "[access_log]") {
  const TemporaryFolder folder;
  const auto path = folder.file("access.log");
  for (const auto format : {AccessFormat::json, AccessFormat::combined}) {
    {
      AccessLog log({.path = path, .format = format, .workers = 2});
      CHECK(log.write(0, example()));
      CHECK(log.write(1, example()));
      CHECK(log.lost_lines() == 0);
    }
    const std::string line = format == AccessFormat::json ? json(example()) : combined(example());
    CHECK(contents(path) == line + line);
    std::filesystem::remove(path);
  }
}

TEST_CASE("the file is appended to", "[access_log]") {
  const TemporaryFolder folder;
  const auto path = folder.file("access.log");
  std::ofstream(path) << "before\n";
  { AccessLog({.path = path}).write(0, example()); }
  CHECK(contents(path) == "before\n" + json(example()));
}

TEST_CASE("long strings are cut before they reach the ring", "[access_log]") {
  const TemporaryFolder folder;
  const auto path = folder.file("access.log");
  auto record = example();
  const std::string agent(100'000, 'u');
  record.user_agent = agent;
  {
    AccessLog log({.path = path, .ring_bytes = 32 << 10});
    CHECK(log.write(0, record));
  }
  record.user_agent = std::string_view(agent).substr(0, 8192);
  CHECK(contents(path) == json(record));
}

TEST_CASE("a full ring drops and says so; the rest is complete", "[access_log]") {
  const TemporaryFolder folder;
  const auto path = folder.file("access.log");
  constexpr size_t kWorkers = 3;
  size_t written[kWorkers]{}, dropped[kWorkers]{};
  {
    AccessLog log({.path = path, .workers = kWorkers, .ring_bytes = 4096});
    std::vector<std::thread> threads;
    for (size_t worker = 0; worker < kWorkers; ++worker)
      threads.emplace_back([&, worker] {
        auto record = example();
        // Faster than the writer looks: the ring holds 20 of them.
        for (int i = 0; i < 2000; ++i) {
          record.bytes_sent = written[worker];
          ++(log.write(worker, record) ? written : dropped)[worker];
        }
      });
    for (auto& thread : threads) thread.join();
  }
  size_t total = 0;
  for (size_t worker = 0; worker < kWorkers; ++worker) {
    CHECK(written[worker] > 0);
    CHECK(dropped[worker] > 0);
    total += written[worker];
  }
  const auto found = lines(path);
  CHECK(found.size() == total);
  for (const auto& line : found)
    CHECK((line.starts_with("{\"time\":\"2026-01-31") && line.ends_with("\"protocol\":\"HTTP/1.1\"}")));
}

TEST_CASE("reopen makes the file again and loses nothing", "[access_log]") {
  const TemporaryFolder folder;
  const auto path = folder.file("access.log"), old = folder.file("access.log.1");
  {
    AccessLog log({.path = path});
    CHECK(log.write(0, example()));
    std::filesystem::rename(path, old);
    log.reopen();
    CHECK(std::filesystem::exists(path));
    CHECK(log.write(0, example()));
  }
  CHECK(contents(old) + contents(path) == json(example()) + json(example()));
}

TEST_CASE("a reopen that fails keeps the old file and says why", "[access_log]") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder.file("logs"));
  const auto path = folder.file("logs/access.log");
  std::string said;
  auto before = log::set_sink([&](std::string_view line) { said += line; });
  {
    AccessLog log({.path = path});
    std::filesystem::rename(folder.file("logs"), folder.file("moved"));
    log.reopen();
    CHECK(log.write(0, example()));
  }
  log::set_sink(before);
  CHECK(said.find("error access_log_reopen_failed path=" + path + " error=\"No such file or directory\"") !=
        std::string::npos);
  CHECK(contents(folder.file("moved/access.log")) == json(example()));
}

TEST_CASE("a path that can't be opened is named", "[access_log]") {
  try {
    AccessLog log({.path = "/nonexistent/access.log"});
    FAIL("no exception");
  } catch (const std::system_error& e) {
    CHECK(std::string(e.what()) == "access log /nonexistent/access.log: No such file or directory");
  }
}

TEST_CASE("a full disk is one event, not one a line", "[access_log]") {
  std::mutex mutex;
  std::string said;
  auto before = log::set_sink([&](std::string_view line) {
    const std::lock_guard lock(mutex);
    said += line;
  });
  {
    AccessLog log({.path = "/dev/full"});
    for (int i = 0; i < 1000; ++i) CHECK(log.write(0, example()));  // several chunks
  }
  log::set_sink(before);
  const auto at =
      said.find("warn access_log_write_failed path=/dev/full error=\"No space left on device\" lines_lost=");
  CHECK(at != std::string::npos);
  CHECK(said.find("access_log_write_failed", at + 10) == std::string::npos);
}
