// Conditions and keys on fields that no request ever has where they are looked at.
#include "tests/unit/config/support.hpp"

using namespace weir;
using namespace weir::config;
using namespace weir::config::test;

namespace {

std::string with(const std::string& keys, const std::string& top = "") {
  return top + replaced(kMinimal, "[ { pool: app } ]", "\n  - pool: app\n    " + keys + "\n");
}

void wrong(const std::string& keys, const std::string& words, const std::string& top = "") {
  check_error(with(keys, top), words.c_str());
}

const std::string kTrusted = "trusted_proxies: [10.0.0.1]\n";

}  // namespace

TEST_CASE("fields that are believed from trusted_proxies alone") {
  for (const std::string name :
       {"X-Forwarded-Proto", "x-forwarded-server", "X-Forwarded", "Forwarded", "X-Request-Id", "X-Remote-User"}) {
    wrong("match: { header: { @@" + name + ": \"*\" } }",
          "route 1: match.header: no request has " + name + ": it is dropped unless trusted_proxies names");
    good(with("match: { header: { " + name + ": \"*\" } }", kTrusted));
  }
  wrong("rate_limit: { rate: 1/s, key: { header: @@X-Forwarded-For } }",
        "route 1: rate_limit.key: no request has X-Forwarded-For");
  wrong("rate_limit: { rate: 1/s, key: { first_of: [{ header: @@X-Forwarded-For }, client] } }",
        "no request has X-Forwarded-For");
  wrong("rate_limit: { rate: 1/s, key: k }", "keys.k: no request has X-Forwarded-For",
        "keys: { k: { header: @@X-Forwarded-For } }\n");
  check_error(replaced(kMinimal, "{ app: {", "{ app: { balance: { consistent_hash: { header: @@X-Remote-User } },"),
              "pool app: balance.consistent_hash: no request has X-Remote-User");
}

TEST_CASE("fields that are never there") {
  wrong("match: { header: { @@X-Real-IP: \"*\" } }", "X-Real-IP is set by Weir after routing", kTrusted);
  wrong("match: { header: { @@TE: \"*\" } }", "TE belongs to the connection, not to the request", kTrusted);
  wrong("match: { header: { @@X-Client-Cert-Subject: \"*\" } }",
        "no listener asks for certificates; write tls: { client_ca: FILE }");
  good(with("match: { header: { X-Client-Cert-Subject: \"*\" } }", kTrusted));
  for (const char* name : {"Upgrade", "Content-Length", "X-Forward", "traceparent", "Via", "Authorization"})
    good(with(std::string("match: { header: { ") + name + ": \"*\" } }"));
}

TEST_CASE("fields with underscores") {
  wrong("match: { header: { @@X_Us: \"*\" } }",
        "no request has X_Us: http.underscores is drop; write http: { underscores: allow }, or X-Us");
  wrong("match: { header: { @@X_Us: \"*\" } }", "http.underscores is reject", "http: { underscores: reject }\n");
  good(with("match: { header: { X_Us: \"*\" } }", "http: { underscores: allow }\n"));
  wrong("match: { header: { @@X_Real_IP: \"*\" } }",
        "X_Real_IP is dropped from every request, since applications take it for X-Real-IP",
        "http: { underscores: allow }\n");
}
