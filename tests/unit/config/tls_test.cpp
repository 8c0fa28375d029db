// `tls` of a listener, and at the top.
#include "config/diff.hpp"
#include "tests/unit/config/support.hpp"

using namespace weir::config;
using namespace weir::config::test;

namespace {

LoadResult load(const std::string& tls, World world = {}) {
  for (const char* path : {"/etc/a.pem", "/etc/certs/b.pem", "/etc/certs/c.pem", "/etc/a.key"})
    world.files.emplace(path, std::string("text of ") + path);
  return load_text(replaced(kMinimal, "web: { bind: \":8080\" }", "web: { bind: \":8080\", tls: " + tls + " }"),
                   "/etc/weir.yaml", world.environment());
}

ListenerTls tls_of(const std::string& text) {
  const LoadResult result = load(text);
  INFO(all(result.errors));
  REQUIRE(result.config);
  return *result.config->listeners[0].tls;
}

std::vector<std::string> paths(const std::vector<TextFile>& files) {
  std::vector<std::string> found;
  for (const auto& file : files) found.push_back(file.path);
  return found;
}

}  // namespace

TEST_CASE("tls of a listener") {
  const ListenerTls tls = tls_of("{ certificate: [a.pem, \"certs/*.pem\"], key: a.key, hsts: 1h }");
  CHECK(paths(tls.certificates) == std::vector<std::string>{"/etc/a.pem", "/etc/certs/b.pem", "/etc/certs/c.pem"});
  CHECK(tls.certificates[1].text == "text of /etc/certs/b.pem");
  CHECK(tls.certificates[1].at.line == 1);
  CHECK(paths(tls.keys) == std::vector<std::string>{"/etc/a.key"});
  CHECK(tls.versions == ListenerTls::Versions::from_12);
  CHECK(tls.hsts->max_age == 1h);
  CHECK_FALSE(tls.hsts->subdomains);
  CHECK_FALSE(tls.client_ca);
  CHECK(tls_of("{ certificate: a.pem, client_ca: a.pem }").client_auth == ListenerTls::ClientAuth::require);
}

TEST_CASE("what tls of a listener refuses") {
  const auto error = [](const std::string& tls) { return all(load(tls).errors); };
  CHECK(error("{ certificate: none.pem }")
            .starts_with(
                "/etc/weir.yaml:1:56: listener web: tls.certificate: /etc/none.pem can't be read (No such file"));
  CHECK(error("{ certificate: \"none/*.pem\" }").find("no file is called /etc/none/*.pem") != std::string::npos);
  CHECK(error("{ certificate: a.pem, min_version: \"1.1\" }").find("1.1") != std::string::npos);
  CHECK(error("{ certificate: a.pem, client_auth: require }").find("write client_ca: PATH") != std::string::npos);
  CHECK(error("{ certificate: a.pem, hsts: 5 }").find("has no unit") != std::string::npos);
  CHECK(error("{ certificate: a.pem, ciphers: x }").find("ciphers") != std::string::npos);
  CHECK(error("{ key: a.key }").find("certificate is missing") != std::string::npos);
}

TEST_CASE("a renewed certificate is a change; what is in a key is shown to nobody") {
  const auto with = [](const std::string& certificate, const std::string& key) {
    World world;
    world.files["/etc/a.pem"] = certificate;
    world.files["/etc/a.key"] = key;
    return *load("{ certificate: a.pem, key: a.key }", world).config;
  };
  using Lines = std::vector<std::string>;
  CHECK(diff(with("1", "k"), with("1", "k")).empty());
  CHECK(diff(with("1", "k"), with("2", "k2")) == Lines{"listener web: tls.certificate (/etc/a.pem) was renewed",
                                                       "listener web: tls.key (/etc/a.key) was renewed"});
}

TEST_CASE("keys of tickets") {
  World world;
  world.files["/k"] = std::string(40, 'a') + "\n" + std::string(40, 'b') + "\n";
  CHECK(good("tls: { ticket_keys: /k }\n" + kMinimal, world.environment()).ticket_keys.size() == 2);
  check_error("tls: { ticket_keys: @@/none }\n" + kMinimal, "tls.ticket_keys: /none can't be read");
}

TEST_CASE("tls to backends") {
  const auto with = [](const std::string& pool) {
    World world;
    world.files["/ca.pem"] = world.files["/own.pem"] = world.files["/own.key"] = "PEM";
    return load_text(
        replaced(kMinimal, "{ backends: { a: \"http://127.0.0.1:9001\", b: \"http://127.0.0.1:9002\" } }", pool),
        "weir.yaml", world.environment());
  };
  const auto loaded = with(
      "{ tls: { ca: /ca.pem, server_name: App.Internal, certificate: /own.pem, key: /own.key }, backends: { a: "
      "\"https://[::1]\", b: \"https://127.0.0.1:9\", c: \"http://127.0.0.1\" } }");
  INFO(all(loaded.errors));
  REQUIRE(loaded.config);
  const Pool& pool = loaded.config->pools[0];
  CHECK(pool.tls.server_name == "app.internal");
  CHECK(pool.tls.ca->path == "/ca.pem");
  CHECK(pool.backends[0].tls);
  CHECK(pool.backends[0].address.port() == 443);
  CHECK(pool.backends[0].url_host() == "::1");
  CHECK(pool.backends[1].url_host() == "127.0.0.1");
  CHECK_FALSE(pool.backends[2].tls);
  const auto error = [&](const std::string& tls) {
    return all(with("{ tls: " + tls + ", backends: { a: \"https://127.0.0.1\" } }").errors);
  };
  CHECK(error("{ key: /own.key }").find("a key is of no use without its certificate") != std::string::npos);
  CHECK(error("{ server_name: \"*.a.test\" }").find("a wildcard is no name to ask for") != std::string::npos);
  CHECK(error("{ ca: /none }").find("pool app: tls.ca: /none can't be read") != std::string::npos);
  CHECK(all(with("{ tls: { verify: false }, backends: { a: \"https://127.0.0.1\" } }").warnings)
            .find("without verification anybody") != std::string::npos);
  CHECK(all(with("{ tls: {}, backends: { a: \"http://127.0.0.1\" } }").errors).find("write https:// in its URL") !=
        std::string::npos);
}
