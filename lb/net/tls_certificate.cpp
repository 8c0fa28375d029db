#include "lb/net/tls_certificate.hpp"

#include <netinet/in.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "lb/base/endpoint.hpp"

namespace weir::net {

namespace {

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using BioPointer = std::unique_ptr<BIO, FreeBio>;

BioPointer bio_of(std::string_view text) {
  return BioPointer(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string text_in(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size > 0 ? std::string(data, static_cast<size_t>(size)) : std::string();
}

std::string name_text(const X509_NAME* name) {
  const BioPointer out(BIO_new(BIO_s_mem()));
  // Escapes whatever is not printable ASCII: the text goes into headers and logs (security-rules C7).
  X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253);
  return text_in(out.get());
}

std::string hex_text(const unsigned char* bytes, size_t size) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < size; ++i) text.append({kDigits[bytes[i] >> 4], kDigits[bytes[i] & 15]});
  return text;
}

int64_t seconds_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (!time || ASN1_TIME_to_tm(time, &parts) != 1) return 0;
  return timegm(&parts);
}

std::string address_text(const ASN1_OCTET_STRING* address) {
  const int size = ASN1_STRING_length(address);
  const unsigned char* bytes = ASN1_STRING_get0_data(address);
  sockaddr_storage storage{};
  socklen_t length = 0;
  if (size == 4) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
    v4.sin_family = AF_INET;
    std::copy_n(bytes, 4, reinterpret_cast<unsigned char*>(&v4.sin_addr));
    length = sizeof v4;
  } else if (size == 16) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
    v6.sin6_family = AF_INET6;
    std::copy_n(bytes, 16, reinterpret_cast<unsigned char*>(&v6.sin6_addr));
    length = sizeof v6;
  } else {
    return {};
  }
  return Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&storage), length).host();
}

/// A name with a byte that no host name has is of no use, and would only confuse logs.
bool is_host_name(std::string_view name) {
  for (const char c : name)
    if (c <= ' ' || c >= 0x7f) return false;
  return !name.empty() && name.size() <= 255;
}

std::string_view string_of(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)), static_cast<size_t>(ASN1_STRING_length(text))};
}

std::vector<std::string> names_of(X509* certificate) {
  std::vector<std::string> names;
  auto* const list = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(list); ++i) {
    const GENERAL_NAME* const entry = sk_GENERAL_NAME_value(list, i);
    std::string name;
    if (entry->type == GEN_DNS) name = string_of(entry->d.dNSName);
    if (entry->type == GEN_IPADD) name = address_text(entry->d.iPAddress);
    if (is_host_name(name)) names.push_back(std::move(name));
  }
  GENERAL_NAMES_free(list);
  if (!names.empty()) return names;
  X509_NAME* const subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return names;
  std::string name(string_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))));
  if (is_host_name(name)) names.push_back(std::move(name));
  return names;
}

/// No terminal is asked: a key with a passphrase is refused.
int no_passphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

}  // namespace

void TlsFree::operator()(x509_st* certificate) const { X509_free(certificate); }
void TlsFree::operator()(evp_pkey_st* key) const { EVP_PKEY_free(key); }

CertificateFacts facts_of(x509_st* certificate) {
  CertificateFacts facts;
  facts.names = names_of(certificate);
  facts.subject = name_text(X509_get_subject_name(certificate));
  facts.issuer = name_text(X509_get_issuer_name(certificate));
  const ASN1_INTEGER* const serial = X509_get0_serialNumber(certificate);
  facts.serial = hex_text(ASN1_STRING_get0_data(serial), static_cast<size_t>(ASN1_STRING_length(serial)));
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  if (X509_digest(certificate, EVP_sha256(), digest.data(), &length))
    facts.fingerprint = hex_text(digest.data(), length);
  if (EVP_PKEY* const key = X509_get0_pubkey(certificate))
    if (const char* const kind = EVP_PKEY_get0_type_name(key)) facts.key = kind;
  facts.not_before = seconds_of(X509_get0_notBefore(certificate));
  facts.not_after = seconds_of(X509_get0_notAfter(certificate));
  ERR_clear_error();
  return facts;
}

std::vector<X509Pointer> read_certificates(std::string_view pem, std::string& problem) {
  std::vector<X509Pointer> found;
  const BioPointer in = bio_of(pem);
  ERR_clear_error();
  while (X509* const one = PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr)) found.emplace_back(one);
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string why = take_tls_error();
  if (!at_end) {
    problem = "has a certificate that can't be read (" + why + ")";
    found.clear();
  } else if (found.empty()) {
    problem = "has no certificate in it (PEM, -----BEGIN CERTIFICATE-----)";
  }
  return found;
}

KeyPointer read_key(std::string_view pem, std::string& problem) {
  const BioPointer in = bio_of(pem);
  ERR_clear_error();
  bool asked = false;
  KeyPointer key(PEM_read_bio_PrivateKey(in.get(), nullptr, no_passphrase, &asked));
  const bool none = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string why = take_tls_error();
  if (key) return key;
  // The decoder of keys also says "unsupported" where there is no key at all.
  const bool has_key = pem.find("PRIVATE KEY-----") != std::string_view::npos;
  if (asked)
    problem = "has a key with a passphrase; take it away with `openssl pkey -in FILE -out FILE2`";
  else if (has_key && !none)
    problem = "has a key that can't be read (" + why + ")";
  return nullptr;
}

bool belongs(x509_st* certificate, evp_pkey_st* key) {
  const bool same = X509_check_private_key(certificate, key) == 1;
  ERR_clear_error();
  return same;
}

std::string date_text(int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[40];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts)};
}

std::string take_tls_error() {
  const unsigned long code = ERR_peek_error();
  const char* const reason = code ? ERR_reason_error_string(code) : nullptr;
  std::string text = reason ? reason : "no reason given";
  ERR_clear_error();
  return text;
}

}  // namespace weir::net
