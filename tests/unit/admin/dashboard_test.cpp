// What the dashboard needs of the API: its files, its sessions, its snapshots.
#include <boost/json.hpp>

#include "lb/admin/access.hpp"
#include "lb/admin/api.hpp"
#include "lb/admin/api_json.hpp"
#include "lb/admin/assets.hpp"
#include "lb/admin/sessions.hpp"
#include "tests/catch.hpp"
#include "tests/unit/admin/fixture.hpp"

using namespace weir;
using namespace weir::admin;
using weir::admin::test::Fixture;
namespace json = boost::json;

namespace {

constexpr std::string_view kToken = "0123456789abcdef";

struct Clocked {
  TimePoint now{};
  unsigned char next = 0;
  Sessions sessions{[this] {
                      SessionSecret secret{};
                      secret[31] = next++;
                      return secret;
                    },
                    [this] { return now; }};
};

}  // namespace

TEST_CASE("a session lives as long as it may, with the token that opened it", "[admin]") {
  Clocked c;
  const auto id = c.sessions.open(kToken);
  CHECK(id == std::string(64, '0'));
  CHECK(c.sessions.knows(id, kToken));
  CHECK_FALSE(c.sessions.knows(id, "0123456789abcdeX"));
  CHECK_FALSE(c.sessions.knows(id, ""));
  CHECK_FALSE(c.sessions.knows("", kToken));
  CHECK_FALSE(c.sessions.knows(id + "0", kToken));
  CHECK_FALSE(c.sessions.knows(std::string(63, '0') + "1", kToken));
  c.now += Sessions::kLife - std::chrono::seconds(1);
  CHECK(c.sessions.knows(id, kToken));
  c.now += std::chrono::seconds(1);
  CHECK_FALSE(c.sessions.knows(id, kToken));
}

TEST_CASE("sessions are bounded, and end when told", "[admin]") {
  Clocked c;
  std::vector<std::string> ids;
  for (size_t i = 0; i <= Sessions::kMost; ++i) ids.push_back(c.sessions.open(kToken));
  CHECK(c.sessions.size() == Sessions::kMost);
  CHECK_FALSE(c.sessions.knows(ids.front(), kToken));
  CHECK(c.sessions.knows(ids[1], kToken));
  c.sessions.close(ids[1]);
  CHECK_FALSE(c.sessions.knows(ids[1], kToken));
  CHECK(c.sessions.knows(ids[2], kToken));
  c.sessions.open("another-token-of-16");  // the old token is no longer the configuration's
  CHECK(c.sessions.size() == 1);
}

TEST_CASE("secrets are not the same twice", "[admin]") { CHECK(random_secret() != random_secret()); }

TEST_CASE("cookies", "[admin]") {
  CHECK(session_cookie_name(9901) == "weir_session_9901");
  CHECK(session_cookie("w", "ab") == "w=ab; Path=/api/v1/; Max-Age=43200; HttpOnly; SameSite=Strict");
  CHECK(session_cookie("w", "") == "w=; Path=/api/v1/; Max-Age=0; HttpOnly; SameSite=Strict");
  CHECK(cookie_value("w=ab", "w") == "ab");
  CHECK(cookie_value("x=1; w=ab; y=2", "w") == "ab");
  CHECK(cookie_value("xw=1;w=ab", "w") == "ab");
  CHECK(cookie_value("", "w").empty());
  CHECK(cookie_value("; ;w", "w").empty());
  CHECK(cookie_value("w9=1", "w").empty());
}

TEST_CASE("a session stands for the token, for changes only with the own Origin", "[admin]") {
  const auto status = [](Reach reach, const char* method, const char* origin, bool session, bool file = false) {
    const Entrance entrance{Surface::everything, reach, "10.0.0.1", true};
    const auto refusal = judge(entrance, {method, "10.0.0.1:9901", origin, "", session, file}, kToken);
    return refusal ? static_cast<int>(refusal->status) : 200;
  };
  const char* own = "http://10.0.0.1:9901";
  for (const auto reach : {Reach::loopback, Reach::network}) {
    CHECK(status(reach, "POST", own, true) == 200);
    CHECK(status(reach, "POST", own, false) == 401);
    CHECK(status(reach, "POST", "", true) == 401);
    CHECK(status(reach, "POST", "http://10.0.0.1:9902", true) == 403);  // another port is another origin
    CHECK(status(reach, "GET", "", true) == 200);
  }
  CHECK(status(Reach::network, "GET", "", false) == 401);
  CHECK(status(Reach::network, "GET", "", false, true) == 200);  // or nobody could log in
  CHECK(status(Reach::network, "POST", "", false, true) == 401);
}

TEST_CASE("logging in and out", "[admin]") {
  Fixture f;
  f.inventory->token = kToken;
  Api api(f.sources());
  const auto ask = [&](const char* method, const char* target, Reach reach, bool session,
                       std::string_view cookies = "") {
    Reply reply;
    api.answer({method, target, Surface::everything, "-", reach, session, cookies, "weir_session_1"},
               [&](Reply made) { reply = std::move(made); });
    return reply;
  };
  CHECK(ask("GET", "/api/v1/session", Reach::loopback, false).body == "{\"changes\": \"token\"}\n");
  CHECK(ask("GET", "/api/v1/session", Reach::loopback, true).body == "{\"changes\": \"session\"}\n");
  CHECK(ask("GET", "/api/v1/session", Reach::local_socket, false).body == "{\"changes\": \"yes\"}\n");
  CHECK(ask("POST", "/api/v1/session", Reach::local_socket, false).status == 409);
  const auto opened = ask("POST", "/api/v1/session", Reach::loopback, false);
  CHECK(opened.status == 200);
  const auto cookie = opened.set_cookie.substr(0, opened.set_cookie.find(';'));
  CHECK(api.knows_session("a=b; " + cookie, "weir_session_1"));
  CHECK_FALSE(api.knows_session(cookie, "weir_session_2"));
  CHECK(ask("POST", "/api/v1/session/end", Reach::loopback, true, cookie).set_cookie ==
        "weir_session_1=; Path=/api/v1/; Max-Age=0; HttpOnly; SameSite=Strict");
  CHECK_FALSE(api.knows_session(cookie, "weir_session_1"));
  f.inventory->token.clear();
  CHECK(ask("GET", "/api/v1/session", Reach::loopback, false).body == "{\"changes\": \"no\"}\n");
}

TEST_CASE("a snapshot is one line with everything", "[admin]") {
  Fixture f;
  f.route(0).cells[0].causes[static_cast<size_t>(Cause::total_timeout)].add(2);
  f.route(1).cells[1].causes[static_cast<size_t>(Cause::total_timeout)].add();
  f.route(1).cells[1].causes[static_cast<size_t>(Cause::redirect)].add();  // no error
  // What is refused before a route is known counts for the route "-" too: once is enough.
  f.process.cells[0].protocol_errors[static_cast<size_t>(Cause::total_timeout)].add(4);
  Facts facts{"/etc/weir/weir.yaml", {}, 7};
  auto last = std::make_shared<LastReload>();
  last->wall_ns = 1'000'000'000;
  last->outcome.kind = ReloadOutcome::Kind::applied;
  last->changes = {"pools.app.limits.inflight: 1 → 2"};
  facts.last_reload = last;
  const auto stream = Api(f.sources()).answer("GET", "/api/v1/events", Surface::everything);
  CHECK(stream.events);
  CHECK(stream.content_type == "text/event-stream");
  const auto text =
      event_json(*f.inventory, f.process, facts, TimePoint(std::chrono::milliseconds(1500)), 2'000'000'000);
  CHECK(text.find('\n') == text.npos);
  const auto event = json::parse(text);
  CHECK(event.at("at_ms") == 1500);
  CHECK(event.at("time").as_string() == "1970-01-01T00:00:02.000Z");
  CHECK(event.at("pools").as_array().size() == 2);
  CHECK(event.at("status").at("last_reload").at("result").as_string() == "applied");
  CHECK(event.at("status").at("last_reload").at("changes").at(0).as_string() == last->changes[0]);
  CHECK(json::serialize(event.at("causes")) == R"({"total_timeout":3})");
}

TEST_CASE("the page loads nothing from elsewhere and has nothing inline", "[admin]") {
  CHECK(assets().size() >= 4);
  for (const auto& asset : assets()) {
    INFO(asset.path);
    CHECK(asset.content.find("https://") == asset.content.npos);
    CHECK(asset.content.find("innerHTML") == asset.content.npos);
    CHECK(asset.content.find(" style=\"") == asset.content.npos);
  }
  const auto page = find_asset("/")->content;
  for (size_t at = 0; (at = page.find("<script", at)) != page.npos; ++at)
    CHECK(page.substr(at).substr(0, page.substr(at).find('>')).find("src=\"/") != page.npos);
}
