// What a server says of the files it is made of.
#include "lb/net/tls_server.hpp"

#include "tests/catch.hpp"
#include "tests/unit/net/tls_support.hpp"

using namespace weir::net;
using namespace weir::net::test;

namespace {

struct Result {
  std::shared_ptr<const TlsServer> server;
  std::vector<TlsProblem> problems;
};

Result build(const TlsServerSettings& settings) {
  Result result;
  result.server = TlsServer::build(settings, kNow, result.problems);
  return result;
}

/// The only problem there is, as "error certificates 0: words".
std::string only_problem(const TlsServerSettings& settings) {
  static constexpr const char* kWhere[] = {"certificates", "keys", "ocsp", "client_ca"};
  const Result result = build(settings);
  if (result.problems.size() != 1) return std::to_string(result.problems.size()) + " problems";
  const auto& problem = result.problems.front();
  CHECK(problem.warning == (result.server != nullptr));
  return std::string(problem.warning ? "warning " : "error ") + kWhere[static_cast<size_t>(problem.in)] + " " +
         std::to_string(problem.index) + ": " + problem.message;
}

}  // namespace

TEST_CASE("each certificate finds its key", "[tls]") {
  const Made a = make_certificate("a.test", "DNS:a.test"), b = make_certificate("b.test", "DNS:b.test,DNS:*.b.test");
  auto settings = settings_with({a, b});
  std::swap(settings.keys[0], settings.keys[1]);
  const Result good = build(settings);
  REQUIRE(good.server);
  CHECK(good.problems.empty());
  REQUIRE(good.server->certificates().size() == 2);
  CHECK(good.server->certificates()[1].facts.names == std::vector<std::string>{"b.test", "*.b.test"});
  CHECK(good.server->certificates()[0].facts.not_after == kNow + 90 * 86400);

  settings.keys.pop_back();
  settings.certificates[0].text += settings.certificates[0].text.empty() ? "" : a.key;
  settings.keys = {{"kb", b.key}};
  CHECK(build(settings).server);
}

TEST_CASE("what is wrong with certificates and keys", "[tls]") {
  const Made a = make_certificate("a.test", "DNS:a.test"), b = make_certificate("b.test", "DNS:b.test");
  auto settings = settings_with({a});
  settings.keys[0].text = b.key;
  CHECK(only_problem(settings) == "error certificates 0: the key in k0 doesn't belong to the certificate in c0");
  settings.keys.push_back({"k1", b.key});
  CHECK(only_problem(settings) == "error certificates 0: none of the keys belongs to the certificate in c0");
  settings.keys.clear();
  CHECK(only_problem(settings) ==
        "error certificates 0: c0 has no private key in it; write key: and the path of the key");
  settings.certificates[0].text += b.key;
  CHECK(only_problem(settings) == "error certificates 0: the key in c0 doesn't belong to the certificate in it");

  settings = settings_with({a});
  settings.certificates[0].text = "hello";
  CHECK(only_problem(settings).starts_with("error certificates 0: c0 has no certificate in it (PEM"));
  settings.certificates[0].text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  CHECK(only_problem(settings).starts_with("error certificates 0: c0 has a certificate that can't be read"));
  settings = settings_with({a});
  settings.keys[0].text = a.certificate;
  CHECK(only_problem(settings).starts_with("error keys 0: k0 has no private key in it"));
  settings.keys[0].text = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
  CHECK(only_problem(settings).starts_with("error keys 0: k0 has a key that can't be read"));
  settings = settings_with({a});
  settings.keys.push_back({"spare", b.key});
  CHECK(only_problem(settings) == "warning keys 1: spare belongs to none of the certificates; leave it out");
}

TEST_CASE("a key with a passphrase is refused, not asked for", "[tls]") {
  const Made a = make_certificate("a.test", "DNS:a.test");
  BIO* const in = BIO_new_mem_buf(a.key.data(), static_cast<int>(a.key.size()));
  EVP_PKEY* const key = PEM_read_bio_PrivateKey(in, nullptr, nullptr, nullptr);
  BIO* const out = BIO_new(BIO_s_mem());
  char word[] = "secret";
  PEM_write_bio_PrivateKey(out, key, EVP_aes_128_cbc(), reinterpret_cast<unsigned char*>(word), 6, nullptr, nullptr);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);
  auto settings = settings_with({a});
  settings.keys[0].text.assign(data, static_cast<size_t>(size));
  BIO_free(in);
  BIO_free(out);
  EVP_PKEY_free(key);
  CHECK(only_problem(settings).starts_with("error keys 0: k0 has a key with a passphrase; take it away with"));
}

TEST_CASE("dates", "[tls]") {
  const auto with = [](int64_t from, int64_t to) {
    return only_problem(settings_with({make_certificate("a.test", "DNS:a.test", false, from, to)}));
  };
  CHECK(with(kNow - 9, kNow) ==
        "warning certificates 0: the certificate in c0 has expired at 2027-01-15 08:00:00 UTC; renew it");
  CHECK(with(kNow - 9, kNow + 13 * 86400).find("expires soon, at 2027-01-28 08:00:00 UTC") != std::string::npos);
  CHECK(with(kNow + 60, kNow + 90 * 86400).find("is not valid before 2027-01-15 08:01:00 UTC") != std::string::npos);
  CHECK(with(kNow - 9, kNow + 15 * 86400) == "0 problems");
}

TEST_CASE("names of certificates", "[tls]") {
  const auto names = [](const Made& made) {
    const Result result = build(settings_with({made}));
    return result.server ? result.server->certificates().front().facts.names : std::vector<std::string>{"none"};
  };
  CHECK(names(make_certificate("x.test", "DNS:a.test,IP:10.0.0.1,IP:2001:db8::1,email:a@b.c")) ==
        std::vector<std::string>{"a.test", "10.0.0.1", "2001:db8::1"});
  CHECK(names(make_certificate("common.test", "")) == std::vector<std::string>{"common.test"});
  CHECK(only_problem(settings_with({make_certificate("with blanks", "")})) ==
        "warning certificates 0: the certificate in c0 names no server");
}

TEST_CASE("two certificates for one name", "[tls]") {
  const Made first = make_certificate("a.test", "DNS:a.test"), second = make_certificate("a.test", "DNS:a.test");
  CHECK(only_problem(settings_with({first, second})) ==
        "warning certificates 1: another certificate before c1 is for a.test, too, and is shown for it");
  const Made rsa = make_certificate("a.test", "DNS:a.test", true);
  CHECK(build(settings_with({first, rsa})).problems.empty());
}

TEST_CASE("authorities of clients, and OCSP", "[tls]") {
  auto settings = settings_with({make_certificate("a.test", "DNS:a.test")});
  settings.client_ca = {"ca", "nothing"};
  CHECK(only_problem(settings).starts_with("error client_ca 0: ca has no certificate in it"));
  settings.client_ca.text = make_certificate("old ca", "", false, kNow - 9, kNow - 1).certificate;
  CHECK(only_problem(settings).find("has expired at") != std::string::npos);
  settings.client_ca.text = make_certificate("ca", "").certificate;
  CHECK(build(settings).server->asks_clients());
  settings.ocsp = {{"o", "nothing"}};
  CHECK(only_problem(settings) == "error ocsp 0: o is no OCSP response (DER) that could be stapled");
}
