// Certificates and keys out of PEM files, with sentences for people where something is wrong with them.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct x509_st;
struct evp_pkey_st;

namespace weir::net {

struct TlsFree {
  void operator()(x509_st* certificate) const;
  void operator()(evp_pkey_st* key) const;
};
using X509Pointer = std::unique_ptr<x509_st, TlsFree>;
using KeyPointer = std::unique_ptr<evp_pkey_st, TlsFree>;

/// What people and the table of names want to know of a certificate.
struct CertificateFacts {
  std::vector<std::string> names;         // DNS names and addresses; without any, the common name
  std::string subject, issuer;            // RFC 2253
  std::string serial, fingerprint;        // hex; the latter SHA-256
  std::string key;                        // "EC", "RSA", "ED25519": what kind it is for
  int64_t not_before = 0, not_after = 0;  // seconds since the epoch
};
CertificateFacts facts_of(x509_st* certificate);

/// All certificates of a PEM text, the first one the server's or client's own. Empty: `problem` says why.
std::vector<X509Pointer> read_certificates(std::string_view pem, std::string& problem);
/// The first private key of a PEM text. Null with an empty `problem`: there is none.
KeyPointer read_key(std::string_view pem, std::string& problem);
/// Does the key belong to the certificate?
bool belongs(x509_st* certificate, evp_pkey_st* key);
/// "2026-01-31 12:00:00 UTC"
std::string date_text(int64_t seconds);

/// What OpenSSL has last complained of, in its words; clears its queue.
std::string take_tls_error();

}  // namespace weir::net
