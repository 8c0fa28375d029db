#include "lb/base/access_log.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <sstream>
#include <system_error>
#include <thread>
#include <vector>

#include "lb/base/log.hpp"
#include "lb/base/unique_fd.hpp"
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
  JsonLine(default_log_fields(false)).format(record, out);
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

TEST_CASE("a line of chosen fields", "[access_log]") {
  const std::vector<LogFieldUse> fields{{LogField::path, "path"},
                                        {LogField::request_header, "request_header.X-A", "x-a"},
                                        {LogField::trace_id, "trace_id"},
                                        {LogField::upstream_status, "upstream_status"},
                                        {LogField::response_header, "response_header.x-b", "x-b"},
                                        {LogField::status, "status"}};
  auto record = example();
  record.path = "/a";
  record.trace_id = "0af7651916cd43dd8448eb211c80319c";
  const std::string_view headers[] = {"one \"1\"", "\x1b[2J"};
  record.headers = headers;
  const TemporaryFolder folder;
  const auto path = folder.file("access.log");
  {
    AccessLog log({.path = path, .fields = fields});
    CHECK(log.headers().size() == 2);
    CHECK(log.wants_response_headers());
    CHECK(log.write(0, record));
    record.headers = {};  // the answer was Weir's own
    record.upstream_status = 503;
    record.path = "/b";
    CHECK(log.write(0, record));
  }
  CHECK(
      contents(path) ==
      R"({"path":"/a","request_header.X-A":"one \"1\"","trace_id":"0af7651916cd43dd8448eb211c80319c","upstream_status":null,)"
      R"("response_header.x-b":"\u001b[2J","status":200})"
      "\n"
      R"({"path":"/b","request_header.X-A":"","trace_id":"0af7651916cd43dd8448eb211c80319c","upstream_status":503,)"
      R"("response_header.x-b":"","status":200})"
      "\n");
  CHECK_FALSE(AccessLog({.path = path}).wants_response_headers());
}

TEST_CASE("what is kept of a header is bounded", "[access_log]") {
  const TemporaryFolder folder;
  const auto path = folder.file("access.log");
  const std::string value(100'000, 'v');
  const std::string_view headers[] = {value};
  auto record = example();
  record.headers = headers;
  { AccessLog({.path = path, .fields = {{LogField::request_header, "h", "x-a"}}}).write(0, record); }
  CHECK(contents(path) == "{\"h\":\"" + value.substr(0, kLogHeaderBytes) + "\"}\n");
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

TEST_CASE("after a reopen the old file gets nothing, and what an output does not take goes to the next one",
          "[access_log]") {
  const TemporaryFolder folder;
  const auto fifo = folder.file("pipe");
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
  const UniqueFd reader(open(fifo.c_str(), O_RDONLY | O_NONBLOCK));
  REQUIRE(fcntl(reader.get(), F_SETPIPE_SZ, 4096) > 0);
  std::vector<std::string> from_pipe;
  constexpr size_t kLines = 400;  // far more than the pipe holds
  {
    AccessLog log({.path = fifo});
    auto record = example();
    for (size_t i = 0; i < kLines; ++i) {
      record.bytes_sent = i;
      REQUIRE(log.write(0, record));
    }
    pollfd readable{reader.get(), POLLIN, 0};
    REQUIRE(poll(&readable, 1, 10'000) == 1);  // the writer is at it, and soon at an end
    std::filesystem::remove(fifo);
    CHECK(log.openings() == 0);
    CHECK(log.reopen().empty());
    while (log.openings() == 0) std::this_thread::yield();
    CHECK(log.lost_lines() == 0);
  }
  std::string piped(64 << 10, '\0');
  piped.resize(static_cast<size_t>(std::max<ssize_t>(0, read(reader.get(), piped.data(), piped.size()))));
  piped.resize(piped.rfind('\n') + 1);  // a line that was cut comes again, whole
  const std::string all = piped + contents(fifo);
  CHECK(static_cast<size_t>(std::count(all.begin(), all.end(), '\n')) == kLines);
  for (size_t i = 0; i < kLines; ++i) {
    INFO(i);
    CHECK(all.find("\"bytes_out\":" + std::to_string(i) + ",") != std::string::npos);
  }
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
