// `secret` and `affinity`: what is refused, and where.
#include "tests/unit/config/support.hpp"

using namespace weir::config;
using namespace weir::config::test;

namespace {

const std::string kKey(40, 'k');
std::string with_affinity() { return replaced(kMinimal, "app: { ", "app: { affinity: {}, "); }

LoadResult with_keys(const std::string& keys, const std::string& text = with_affinity()) {
  World world;
  world.files["/etc/weir/secret.keys"] = keys;
  return load_text("secret: secret.keys\n" + text, "/etc/weir/weir.yaml", world.environment());
}

std::string error_of(const std::string& keys) {
  const LoadResult result = with_keys(keys);
  CHECK(result.errors.size() == 1);
  return all(result.errors);
}

}  // namespace

TEST_CASE("the file of keys") {
  CHECK(with_keys(kKey).config->secret_keys == std::vector<std::string>{kKey});
  CHECK(with_keys("# first signs\r\n" + kKey + "\r\n\nsecond" + kKey + "\n").config->secret_keys ==
        std::vector<std::string>{kKey, "second" + kKey});
  CHECK(error_of("").starts_with("/etc/weir/weir.yaml:1:9: secret: /etc/weir/secret.keys holds no key; make one with"));
  CHECK(error_of("# nothing\n").find("holds no key") != std::string::npos);
  CHECK(error_of("\n" + kKey + "\nshort\n")
            .starts_with("/etc/weir/secret.keys:3:1: secret: a key of 5 characters; 32 to 256 are allowed"));
  CHECK(error_of(kKey + " \n").starts_with("/etc/weir/secret.keys:1:1: secret: a key is one word"));
  CHECK(error_of("  " + kKey).find("without blanks") != std::string::npos);
  CHECK(error_of(std::string(257, 'a')).find("a key of 257 characters") != std::string::npos);
  CHECK(error_of(kKey + "\n" + kKey + "\n").starts_with("/etc/weir/secret.keys:2:1: secret: this key is here twice"));
  std::string nine;
  for (char c = '1'; c <= '9'; ++c) nine += kKey + c + "\n";
  CHECK(error_of(nine).starts_with("/etc/weir/secret.keys:9:1: secret: these are more than 8 keys"));
  CHECK(error_of(std::string(17000, '\n')).find("longer than 16 KiB") != std::string::npos);
  // What may be a key is shown to nobody.
  const std::string told = error_of(kKey + " my-secret\n");
  CHECK(told.find("my-secret") == std::string::npos);
  CHECK(told.find(kKey) == std::string::npos);
}

TEST_CASE("affinity without keys to sign with") {
  check_error(replaced(kMinimal, "app: { ", "app: { @@affinity: {}, "),
              "pool app: affinity: its cookies must be signed; write secret: /etc/weir/secret.keys at the top");
  check_error("secret: @@/none\n" + with_affinity(), "secret: /none can't be read");
}

TEST_CASE("what affinity refuses") {
  const auto error = [](const std::string& affinity) {
    return all(with_keys(kKey, replaced(kMinimal, "app: { ", "app: { affinity: " + affinity + ", ")).errors);
  };
  CHECK(error("{ ttl: 1h, drain: off, cookie: home, mode: enforce }").empty());
  CHECK(error("{ cookie: \"a b\" }").find("can't be the name of a cookie") != std::string::npos);
  CHECK(error("{ cookie: \"a;b\" }").find("can't be the name of a cookie") != std::string::npos);
  CHECK(error("{ cookie: __HOST-a }").find("browsers take cookies named __HOST- over TLS alone") != std::string::npos);
  CHECK(error("{ cookie: __Secure-a }").find("named __Secure- over TLS alone") != std::string::npos);
  CHECK(error("{ mode: observe }").find("mode: observe is not supported yet; write enforce") != std::string::npos);
  CHECK(error("{ mode: off }").find("not supported yet") != std::string::npos);
  CHECK(error("{ except: 5% }").find("except is not supported yet") != std::string::npos);
  CHECK(error("{ ttl: 500ms }").find("affinity.ttl") != std::string::npos);
  CHECK(error("{ ttl: 8 }").find("has no unit") != std::string::npos);
  CHECK(error("{ tll: 8h }").find("ttl") != std::string::npos);
  CHECK(error("true").find("affinity") != std::string::npos);
}
