#include "lb/net/self_signed.hpp"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <stdexcept>

#include "lb/base/address_set.hpp"
#include "lb/net/tls_certificate.hpp"

namespace weir::net {

namespace {

void need(bool well) {
  if (!well) throw std::runtime_error("no certificate can be made: " + take_tls_error());
}

void add_extension(X509* certificate, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  need(extension);
  const bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  need(added);
}

void set_serial(X509* certificate) {
  uint64_t serial = 0;
  need(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1);
  need(ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1 | 1) == 1);
}

void set_name(X509* certificate, const std::string& name) {
  X509_NAME* subject = X509_get_subject_name(certificate);  // belongs to the certificate
  const auto* text = reinterpret_cast<const unsigned char*>(name.c_str());
  need(X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8,
                                  reinterpret_cast<const unsigned char*>("Weir, for development"), -1, -1, 0) == 1);
  need(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, text, -1, -1, 0) == 1);
  need(X509_set_issuer_name(certificate, subject) == 1);
}

}  // namespace

std::string make_self_signed(const std::vector<std::string>& names, int64_t now, int days) {
  const KeyPointer key(EVP_EC_gen("P-256"));
  const X509Pointer certificate(X509_new());
  need(key && certificate);
  X509* made = certificate.get();
  need(X509_set_version(made, X509_VERSION_3) == 1);
  set_serial(made);
  set_name(made, names.at(0));
  constexpr int64_t kHour = 3600;
  need(ASN1_TIME_set(X509_getm_notBefore(made), now - kHour));
  need(ASN1_TIME_set(X509_getm_notAfter(made), now + days * 24 * kHour));
  need(X509_set_pubkey(made, key.get()) == 1);
  std::string alternatives;
  for (const auto& name : names)
    alternatives +=
        (alternatives.empty() ? "" : ",") + (AddressBlock::parse_address(name) ? "IP:" + name : "DNS:" + name);
  add_extension(made, NID_subject_alt_name, alternatives);
  add_extension(made, NID_basic_constraints, "critical,CA:FALSE");
  add_extension(made, NID_key_usage, "critical,digitalSignature");
  add_extension(made, NID_ext_key_usage, "serverAuth");
  add_extension(made, NID_subject_key_identifier, "hash");
  need(X509_sign(made, key.get(), EVP_sha256()) > 0);
  const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), &BIO_free);
  need(out && PEM_write_bio_X509(out.get(), made) == 1);
  need(PEM_write_bio_PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<size_t>(size)};
}

}  // namespace weir::net
