// What a server does in a handshake. How it is made is in tls_server_build.cpp.
#include "lb/net/tls_server.hpp"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <new>

#include "lb/net/tls_server_parts.hpp"
#include "lb/net/tls_session.hpp"

namespace weir::net {

namespace {

constexpr size_t kLongestIdentity = 4 << 10;  // of one field; what is longer is left out, for half a name is none

bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
           return lower(x) == lower(y);
         });
}

}  // namespace

void FreeContext::operator()(ssl_ctx_st* context) const { SSL_CTX_free(context); }
void FreeContext::operator()(evp_cipher_st* cipher) const { EVP_CIPHER_free(cipher); }

TlsServer::TlsServer() = default;
TlsServer::~TlsServer() = default;

// ---- tickets ----

TlsServer::Tickets::Tickets(std::vector<std::string> secrets, std::string use)
    : keys(std::move(secrets), std::move(use)), cipher(EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr)) {}

TicketKey TlsServer::Tickets::current(int64_t now) {
  const std::lock_guard lock(mutex_);
  if (const int64_t period = now / TicketKeys::kPeriod.count(); period != cached_period_) {
    cached_ = keys.current(now);
    cached_period_ = period;
  }
  return cached_;
}

bool TlsServer::Tickets::find(const uint8_t* name, int64_t now, TicketKey& key, bool& is_current) {
  key = current(now);
  is_current = std::equal(key.name.begin(), key.name.end(), name);
  return is_current || keys.find(name, now, key);
}

// ---- callbacks ----

namespace {

TlsSession& session_of(SSL* ssl) { return *static_cast<TlsSession*>(SSL_get_app_data(ssl)); }

bool set_mac_key(EVP_MAC_CTX* mac, TicketKey& key) {
  char digest[] = "SHA256";
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac.data(), key.mac.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end(),
  };
  return EVP_MAC_CTX_set_params(mac, params) == 1;
}

}  // namespace

void TlsCallbacks::install(ssl_ctx_st* context) {
  SSL_CTX_set_tlsext_servername_callback(context, by_name);
  SSL_CTX_set_tlsext_status_cb(context, staple);
  SSL_CTX_set_alpn_select_cb(context, protocol, nullptr);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticket);
}

/// OpenSSL asks whether there is a name or not.
int TlsCallbacks::by_name(ssl_st* ssl, int* alert, void*) {
  TlsSession& session = session_of(ssl);
  const TlsServer& server = *session.server();
  const char* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  const uint32_t found = server.certificate_for(name ? name : "");
  if (found == TlsServer::kRefused) {
    // RFC 6066 §3, and RFC 8446 §9.2 (which TLS 1.2 knows as handshake_failure).
    *alert = name ? SSL_AD_UNRECOGNIZED_NAME : SSL_AD_MISSING_EXTENSION;
    session.refuse_name();
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  if (found == 0) return SSL_TLSEXT_ERR_OK;  // the first one is in use already
  session.choose_certificate(found);
  SSL_set_SSL_CTX(ssl, server.contexts_[found].context.get());
  return SSL_TLSEXT_ERR_OK;
}

int TlsCallbacks::protocol(ssl_st* ssl, const unsigned char** out, unsigned char* length, const unsigned char* offered,
                           unsigned size, void*) {
  const std::string& ours = session_of(ssl).server()->protocols_;
  if (ours.empty()) return SSL_TLSEXT_ERR_NOACK;
  unsigned char* chosen = nullptr;
  // RFC 7301 §3.2: who speaks none of ours is refused, rather than answered in a language it did not ask for.
  if (SSL_select_next_proto(&chosen, length, reinterpret_cast<const unsigned char*>(ours.data()),
                            static_cast<unsigned>(ours.size()), offered, size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

int TlsCallbacks::staple(ssl_st* ssl, void*) {
  const TlsSession& session = session_of(ssl);
  const X509* const shown = SSL_get_certificate(ssl);
  for (const auto& entry : session.server()->contexts_[session.certificate()].staples) {
    if (X509_cmp(entry.certificate.get(), shown) != 0 || std::time(nullptr) >= entry.until) continue;
    auto* const copy = static_cast<unsigned char*>(OPENSSL_memdup(entry.response.data(), entry.response.size()));
    if (!copy) break;
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, static_cast<long>(entry.response.size()));  // it owns the copy
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_NOACK;
}

int TlsCallbacks::ticket(ssl_st* ssl, unsigned char* name, unsigned char* iv, evp_cipher_ctx_st* cipher,
                         evp_mac_ctx_st* mac, int encrypt) {
  constexpr int kFailed = -1, kNotOurs = 0, kOk = 1, kOkButRenew = 2;
  TlsServer::Tickets& tickets = *session_of(ssl).server()->tickets_;
  const int64_t now = std::time(nullptr);
  TicketKey key{};
  bool is_current = true;
  if (encrypt) {
    key = tickets.current(now);
    std::copy(key.name.begin(), key.name.end(), name);
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(tickets.cipher.get())) != 1) return kFailed;
  } else if (!tickets.find(name, now, key, is_current)) {
    return kNotOurs;
  }
  const bool ready = EVP_CipherInit_ex(cipher, tickets.cipher.get(), nullptr, key.cipher.data(), iv, encrypt) == 1 &&
                     set_mac_key(mac, key);
  if (!ready) return kFailed;
  return encrypt || is_current ? kOk : kOkButRenew;
}

// ---- connections ----

std::unique_ptr<TlsSession> TlsServer::accept(TlsScratch& scratch, int fd) const {
  try {
    auto session = std::make_unique<TlsSession>(contexts_.front().context.get(), shared_from_this(), scratch, fd);
    SSL_set_accept_state(session->native());
    return session;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

uint32_t TlsServer::certificate_for(std::string_view server_name) const {
  const uint32_t found = names_.find(server_name);
  return found != TlsNames::kNone ? found : strict_names_ ? kRefused : 0;
}

bool TlsServer::misdirected(std::string_view server_name, uint32_t shown, std::string_view host) const {
  if (contexts_.size() == 1) return false;
  if (server_name.empty() || same_name(server_name, host)) return false;
  const uint32_t other = names_.find(host);
  if (other == TlsNames::kNone || other == shown) return false;
  const auto& names = contexts_[shown].names;
  return std::none_of(names.begin(), names.end(),
                      [&](const std::string& name) { return TlsNames::covers(name, host); });
}

std::string TlsServer::identity_of(const TlsSession& session) const {
  if (!asks_clients_) return {};
  const X509Pointer certificate(SSL_get1_peer_certificate(session.native()));
  if (!certificate || SSL_get_verify_result(session.native()) != X509_V_OK) return {};
  const CertificateFacts facts = facts_of(certificate.get());
  std::string lines, names;
  const auto add = [&](std::string_view name, const std::string& value) {
    if (!value.empty() && value.size() <= kLongestIdentity)
      lines.append("X-Client-Cert-").append(name).append(": ").append(value).append("\r\n");
  };
  add("Subject", facts.subject);
  add("Issuer", facts.issuer);
  add("Serial", facts.serial);
  add("Fingerprint", facts.fingerprint);
  for (const auto& name : facts.names) names.append(names.empty() ? "" : ", ").append(name);
  add("Names", names);
  return lines;
}

}  // namespace weir::net
