#include "lb/admin/metrics.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "lb/base/log.hpp"
#include "tests/catch.hpp"
#include "tests/unit/admin/fixture.hpp"
#include "tests/unit/net/tls_support.hpp"

using namespace weir;
using namespace weir::admin;
using weir::admin::test::Fixture;

namespace {

std::set<std::string> lines(const std::string& text) {
  std::set<std::string> found;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) found.insert(line);
  return found;
}

std::string value(const std::string& text, const std::string& series) {
  const size_t at = text.find("\n" + series + " ");
  if (at == text.npos) return "absent";
  const size_t start = at + series.size() + 2;
  return text.substr(start, text.find('\n', start) - start);
}

/// Something in every family.
void fill(Fixture& f) {
  f.process.started_wall_ns = 1'769'860'800'500'000'000;
  f.process.loaded_wall_ns = 1'769'860'801'000'000'000;
  f.process.generation = 3;
  f.process.reloads_ok = 2;
  f.process.reloads_failed = 1;
  f.process.ready = true;
  f.process.cells[0].connections_accepted.add(10);
  f.process.cells[1].connections_accepted.add(5);
  f.process.cells[1].connections_closed.add(4);
  f.process.cells[0].protocol_errors[static_cast<size_t>(Cause::bad_framing)].add(3);
  f.process.cells[0].log_dropped.add(7);
  f.process.cells[1].headers_dropped_underscore.add(2);
  f.lost = 9;
  auto& a = f.backend(0, 0);
  a.status = BackendStatus::up;
  a.inflight.value = 4;
  a.cells[0].requests.add(100);
  a.cells[1].requests.add(50);
  a.cells[0].responses[2].add(140);
  a.cells[1].responses[5].add(10);
  a.cells[0].latency.observe(200);
  a.cells[1].latency.observe(900);
  a.cells[1].latency.observe(70'000'000);
  f.backend(0, 1).status = BackendStatus::ejected;
  f.backend(0, 1).weight_permille = 250;
  f.route(0).cells[0].responses[2].add(11);
  f.route(0).cells[1].responses[2].add(1);
  f.route(0).cells[1].causes[static_cast<size_t>(Cause::connect_refused)].add(6);
  f.route(0).cells[0].causes[static_cast<size_t>(Cause::redirect)].add(6);
  f.route(0).cells[0].rate_evicted_active.add(2);
  f.route(0).cells[1].rate_evicted_active.add(1);
  f.route(0).cells[1].rate_evicted_idle.add(5);
  f.route(0).cells[0].latency.observe(1'500);
  f.route(1).cells[0].latency.observe(400'000);
  f.inventory->pools[0].state->cells[1].latency.observe(3);
}

struct Captured {
  Captured() {
    before = log::set_sink([this](std::string_view line) { text += line; });
  }
  ~Captured() { log::set_sink(before); }
  size_t count(const std::string& word) const {
    size_t n = 0;
    for (size_t at = 0; (at = text.find(word, at)) != text.npos; ++at) ++n;
    return n;
  }
  std::string text;
  log::Sink before;
};

}  // namespace

TEST_CASE("counters are summed over workers", "[metrics]") {
  Fixture f;
  fill(f);
  const std::string text = "\n" + Exposition(f.sources()).text();
  CHECK(value(text, R"(weir_backend_requests_total{pool="app",backend="a"})") == "150");
  CHECK(value(text, R"(weir_backend_responses_total{pool="app",backend="a",code="2xx"})") == "140");
  CHECK(value(text, R"(weir_backend_responses_total{pool="app",backend="a",code="5xx"})") == "10");
  CHECK(value(text, R"(weir_requests_total{route="www",pool="app",code="2xx"})") == "12");
  CHECK(value(text, R"(weir_requests_total{route="www",pool="app",code="5xx"})") == "0");
  CHECK(value(text, R"(weir_requests_total{route="www",pool="app",code="none"})") == "absent");
  CHECK(value(text, R"(weir_requests_total{route="moved",pool="",code="3xx"})") == "0");
  CHECK(value(text, R"(weir_rate_limit_evictions_total{route="www",bucket="filling"})") == "3");
  CHECK(value(text, R"(weir_rate_limit_evictions_total{route="www",bucket="full"})") == "5");
  CHECK(value(text, R"(weir_rate_limit_evictions_total{route="moved",bucket="full"})") == "absent");
  CHECK(value(text, "weir_connections_open") == "11");
  CHECK(value(text, R"(weir_config_reloads_total{result="failed"})") == "1");
  CHECK(value(text, "weir_config_generation") == "3");
  CHECK(value(text, "weir_start_time_seconds") == "1769860800.5");
  CHECK(value(text, R"(weir_access_log_dropped_total{reason="ring_full"})") == "7");
  CHECK(value(text, R"(weir_access_log_dropped_total{reason="write_failed"})") == "9");
  CHECK(value(text, R"(weir_request_headers_dropped_total{reason="underscore"})") == "2");
  CHECK(value(text, R"(weir_protocol_errors_total{cause="bad_framing"})") == "3");
  CHECK(value(text, R"(weir_build_info{version=")" WEIR_VERSION R"("})") == "1");
  CHECK(std::stod(value(text, "weir_memory_resident_bytes")) > 1e6);
  CHECK(std::stod(value(text, "weir_open_fds")) >= 3);
}

TEST_CASE("only causes that are errors and that happened", "[metrics]") {
  Fixture f;
  fill(f);
  std::set<std::string> found;
  for (const auto& line : lines(Exposition(f.sources()).text()))
    if (line.starts_with("weir_request_errors_total{")) found.insert(line);
  CHECK(found == std::set<std::string>{R"(weir_request_errors_total{route="www",cause="connect_refused"} 6)"});
}

TEST_CASE("a backend's state in gauges", "[metrics]") {
  Fixture f;
  fill(f);
  const std::string text = "\n" + Exposition(f.sources()).text();
  CHECK(value(text, R"(weir_backend_up{pool="app",backend="a"})") == "1");
  CHECK(value(text, R"(weir_backend_up{pool="app",backend="b"})") == "0");
  CHECK(value(text, R"(weir_backend_up{pool="search",backend="s1"})") == "1");  // not yet probed: usable
  CHECK(value(text, R"(weir_backend_status{pool="app",backend="b",status="ejected"})") == "1");
  CHECK(value(text, R"(weir_backend_status{pool="app",backend="b",status="up"})") == "0");
  CHECK(value(text, R"(weir_backend_weight{pool="app",backend="a"})") == "2");
  CHECK(value(text, R"(weir_backend_weight{pool="app",backend="b"})") == "0.5");
  CHECK(value(text, R"(weir_pool_backends{pool="app",status="up"})") == "1");
  CHECK(value(text, R"(weir_pool_backends{pool="app",status="down"})") == "0");
}

TEST_CASE("histograms are cumulative, in seconds", "[metrics]") {
  Fixture f;
  fill(f);
  const std::string text = "\n" + Exposition(f.sources()).text();
  const auto bucket = [&](const std::string& le) {
    return value(text, R"(weir_backend_response_seconds_bucket{pool="app",backend="a",le=")" + le + "\"}");
  };
  CHECK(bucket("0.00025") == "1");
  CHECK(bucket("0.0005") == "1");
  CHECK(bucket("0.001") == "2");
  CHECK(bucket("60") == "2");
  CHECK(bucket("+Inf") == "3");
  CHECK(value(text, R"(weir_backend_response_seconds_count{pool="app",backend="a"})") == "3");
  CHECK(std::stod(value(text, R"(weir_backend_response_seconds_sum{pool="app",backend="a"})")) == Approx(70.0011));
  CHECK(value(text, R"(weir_request_duration_seconds_bucket{route="www",pool="app",le="0.0025"})") == "1");
  CHECK(value(text, R"(weir_pool_response_seconds_count{pool="app"})") == "1");
}

TEST_CASE("what to fold follows from the number of series", "[metrics]") {
  // 20 series a histogram.
  CHECK(choose_folding(100, 1, 10, 5, 400) == Folding::none);
  CHECK(choose_folding(101, 1, 10, 5, 400) == Folding::backends);
  CHECK(choose_folding(100, 1, 1000, 5, 220) == Folding::backends);
  CHECK(choose_folding(100, 1, 1000, 5, 219) == Folding::backends_and_routes);
  CHECK(choose_folding(0, 0, 0, 0, 0) == Folding::none);
}

TEST_CASE("folded histograms keep their sums by pool, and one event says so", "[metrics]") {
  Fixture f;
  fill(f);
  Captured events;
  Exposition exposition(f.sources());
  auto text = "\n" + exposition.text();
  CHECK(value(text, "weir_metrics_folded") == "0");
  CHECK(events.text.empty());
  size_t series = 0;
  for (const auto& line : lines(text)) series += line.starts_with("weir_");

  // Three backends and four routes: one series less than there is folds the backends into two pools, 20 less.
  f.inventory->max_series = static_cast<uint32_t>(series);
  CHECK(value("\n" + exposition.text(), "weir_metrics_folded") == "0");
  f.inventory->max_series = static_cast<uint32_t>(series - 1);
  text = "\n" + exposition.text();
  CHECK(value(text, "weir_metrics_folded") == "1");
  CHECK(value(text, R"(weir_backend_response_seconds_count{pool="app"})") == "3");
  CHECK(value(text, R"(weir_backend_response_seconds_count{pool="app",backend="a"})") == "absent");
  CHECK(value(text, R"(weir_request_duration_seconds_count{route="www",pool="app"})") == "1");
  CHECK(value(text, R"(weir_backend_requests_total{pool="app",backend="a"})") == "150");
  exposition.text();
  CHECK(events.count("warn metrics_folded folded=backends ") == 1);
  size_t folded_series = 0;
  for (const auto& line : lines(text)) folded_series += line.starts_with("weir_");
  CHECK(folded_series == series - 20);

  f.inventory->max_series = 1;
  text = "\n" + exposition.text();
  CHECK(value(text, "weir_metrics_folded") == "2");
  CHECK(value(text, R"(weir_request_duration_seconds_count{pool="app"})") == "2");
  CHECK(value(text, R"(weir_request_duration_seconds_count{pool=""})") == "0");
  CHECK(value(text, R"(weir_requests_total{route="www",pool="app",code="2xx"})") == "12");
  exposition.text();
  CHECK(events.count("metrics_folded") == 2);
}

TEST_CASE("promtool finds nothing to complain about", "[metrics]") {
  if (::access("/usr/bin/promtool", X_OK) != 0) {
    WARN("promtool is not installed");
    return;
  }
  Fixture f;
  fill(f);
  const Captured events;
  f.add_pool("odd \"name\"\\", {"x"});
  char name[] = "/tmp/weir-metrics-XXXXXX";
  const int fd = ::mkstemp(name);
  REQUIRE(fd >= 0);
  for (const uint32_t max_series : {50'000u, 1u}) {
    f.inventory->max_series = max_series;
    std::ofstream(name) << Exposition(f.sources()).text();
    FILE* tool = ::popen((std::string("/usr/bin/promtool check metrics < ") + name + " 2>&1").c_str(), "r");
    REQUIRE(tool);
    std::string said;
    char buffer[4096];
    for (size_t n; (n = std::fread(buffer, 1, sizeof(buffer), tool)) > 0;) said.append(buffer, n);
    CHECK(::pclose(tool) == 0);
    CHECK(said == "");
  }
  ::close(fd);
  ::unlink(name);
}

TEST_CASE("docs/metrics.md lists every family, its type and its labels, and no other", "[metrics][docs]") {
  Fixture f;
  fill(f);
  auto config = std::make_shared<config::Pool>(*f.inventory->pools[0].config);
  config->affinity = config::Affinity{};
  config->mode = config::Mode::tcp;  // it has the metrics of both, which no pool has
  config->protocol = config::Pool::Protocol::h2c;
  f.inventory->pools[0].config = config;
  f.backend(0, 1).ordered_at_ns = monotonic_now().time_since_epoch().count();
  f.backend(0, 1).order = BackendOrder::drain;
  f.inventory->routes[0]->cells[0].grpc[14].add();
  f.process.cells[0].http2_connections.add();
  f.process.cells[0].http2_resets_sent[0].add();
  f.process.cells[0].http2_goaways[0].add();
  f.inventory->tcp.push_back(std::make_shared<ListenerState>("db", 1));
  std::vector<net::TlsProblem> problems;
  const auto made = net::test::make_certificate("a.test", "DNS:a.test");
  f.inventory->tls.push_back(
      {"web", net::TlsServer::build(net::test::settings_with({made}), net::test::kNow, problems)});
  f.inventory->proxy_protocol = true;
  std::map<std::string, std::pair<std::string, std::set<std::string>>> exposed, documented;
  std::istringstream text(Exposition(f.sources()).text());
  for (std::string line, family; std::getline(text, line);) {
    if (line.starts_with("# TYPE ")) {
      std::istringstream words(line.substr(7));
      words >> family >> exposed[family].first;
    } else if (!line.starts_with('#')) {
      for (size_t at = line.find('{'); at != line.npos && line[at] != '}';
           at = line.find_first_of(",}", line.find("\"", line.find('"', at) + 1))) {
        const auto label = line.substr(at + 1, line.find('=', at) - at - 1);
        if (label != "le") exposed[family].second.insert(label);
      }
    }
  }
  std::ifstream in("docs/metrics.md");
  REQUIRE(in);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("| `weir_")) continue;
    std::vector<std::string> cells;
    std::istringstream row(line.substr(1));
    for (std::string cell; std::getline(row, cell, '|');) cells.push_back(cell);
    REQUIRE(cells.size() == 4);
    const auto quoted = [](const std::string& cell) {
      std::set<std::string> words;
      for (size_t at = 0; (at = cell.find('`', at)) != cell.npos;) {
        const size_t end = cell.find('`', at + 1);
        words.insert(cell.substr(at + 1, end - at - 1));
        at = end + 1;
      }
      return words;
    };
    const auto type = cells[1].substr(1, cells[1].size() - 2);
    CHECK(documented.emplace(*quoted(cells[0]).begin(), std::pair(type, quoted(cells[2]))).second);
    CHECK(cells[3].size() > 10);
  }
  for (const auto& [name, facts] : exposed) {
    INFO(name << " is exposed");
    CHECK(documented.count(name) == 1);
    CHECK(documented[name] == facts);
  }
  for (const auto& [name, facts] : documented) {
    INFO(name << " is documented");
    CHECK(exposed.count(name) == 1);
  }
}

TEST_CASE("affinity is counted for the pools that have it", "[metrics]") {
  Fixture f;
  auto config = std::make_shared<config::Pool>(*f.inventory->pools[0].config);
  config->affinity = config::Affinity{};
  f.inventory->pools[0].config = config;
  f.inventory->pools[0].state->cells[0].affinity[static_cast<size_t>(AffinityResult::created)].add(2);
  const std::string text = "\n" + Exposition(f.sources()).text();
  CHECK(value(text, R"(weir_affinity_requests_total{pool="app",result="new"})") == "2");
  CHECK(value(text, R"(weir_affinity_requests_total{pool="app",result="hit"})") == "0");
  CHECK(text.find(R"(weir_affinity_requests_total{pool="search")") == std::string::npos);
  CHECK(text.find("weir_backend_sessions_left") == std::string::npos);
  auto& b = f.backend(0, 1);
  b.ordered_at_ns = monotonic_now().time_since_epoch().count();
  b.count_sessions();
  b.order = BackendOrder::drain;
  for (const uint64_t hash : {0x1234'0000'0000'0001u, 0x1234'0000'0000'0002u})
    b.sessions.load()->add(hash, tick_of(monotonic_now()));
  CHECK(value("\n" + Exposition(f.sources()).text(), R"(weir_backend_sessions_left{pool="app",backend="b"})") == "2");
}

TEST_CASE("a scrape may come while workers count", "[metrics]") {
  Fixture f;
  std::atomic<bool> ended{false};
  std::vector<std::thread> workers;
  for (size_t worker = 0; worker < Fixture::kWorkers; ++worker)
    workers.emplace_back([&, worker] {
      while (!ended) {
        f.route(0).cells[worker].responses[2].add();
        f.route(0).cells[worker].latency.observe(1000);
        f.process.cells[worker].connections_accepted.add();
        f.process.cells[worker].connections_closed.add();
        ++f.backend(0, 0).inflight.value;
        --f.backend(0, 0).inflight.value;
      }
    });
  Exposition exposition(f.sources());
  uint64_t before = 0;
  bool grows = true;
  for (int i = 0; i < 20; ++i) {
    const auto now =
        std::stoull(value("\n" + exposition.text(), R"(weir_requests_total{route="www",pool="app",code="2xx"})"));
    grows = grows && now >= before;
    before = now;
  }
  ended = true;
  for (auto& worker : workers) worker.join();
  CHECK(grows);
}
