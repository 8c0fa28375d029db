// Certificates made on the spot.
#pragma once
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <string>
#include <utility>
#include <vector>

#include "lb/net/tls_server.hpp"

namespace weir::net::test {

inline constexpr int64_t kNow = 1'800'000'000;  // 2027-01-15

struct Made {
  std::string certificate, key;  // PEM
};

/// Self-signed. `names`: as in a subjectAltName ("DNS:a.test,IP:127.0.0.1"); empty: none.
inline Made make_certificate(const std::string& common_name, const std::string& names, bool rsa = false,
                             int64_t from = kNow - 1000, int64_t to = kNow + 90 * 86400) {
  EVP_PKEY* const key = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
  X509* const made = X509_new();
  X509_set_version(made, 2);
  static int64_t serial = 1000;
  ASN1_INTEGER_set_int64(X509_get_serialNumber(made), ++serial);
  ASN1_TIME_set(X509_getm_notBefore(made), from);
  ASN1_TIME_set(X509_getm_notAfter(made), to);
  X509_set_pubkey(made, key);
  X509_NAME* const name = X509_get_subject_name(made);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(common_name.data()),
                             static_cast<int>(common_name.size()), -1, 0);
  X509_set_issuer_name(made, name);
  if (!names.empty()) {
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names.c_str());
    X509_add_ext(made, extension, -1);
    X509_EXTENSION_free(extension);
  }
  X509_sign(made, key, EVP_sha256());
  const auto text = [](auto write) {
    BIO* const out = BIO_new(BIO_s_mem());
    write(out);
    char* data = nullptr;
    const long size = BIO_get_mem_data(out, &data);
    std::string pem(data, static_cast<size_t>(size));
    BIO_free(out);
    return pem;
  };
  Made result{text([&](BIO* out) { PEM_write_bio_X509(out, made); }),
              text([&](BIO* out) { PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr); })};
  X509_free(made);
  EVP_PKEY_free(key);
  return result;
}

inline TlsServerSettings settings_with(const std::vector<Made>& all) {
  TlsServerSettings settings;
  settings.listener = "web";
  settings.secrets = {"a secret"};
  settings.protocols = {"http/1.1"};
  for (size_t i = 0; i < all.size(); ++i) {
    settings.certificates.push_back({"c" + std::to_string(i), all[i].certificate});
    settings.keys.push_back({"k" + std::to_string(i), all[i].key});
  }
  return settings;
}

}  // namespace weir::net::test
