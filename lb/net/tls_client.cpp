#include "lb/net/tls_client.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <new>
#include <utility>

#include "lb/base/endpoint.hpp"
#include "lb/net/tls_ciphers.hpp"
#include "lb/net/tls_session.hpp"

namespace weir::net {

using In = TlsProblem::In;

/// What OpenSSL tells while a connection to a backend lives.
struct TlsClientCallbacks {
  /// Called for each ticket; 1: the session is ours now.
  static int new_session(SSL* ssl, SSL_SESSION* session) {
    auto* const memory = static_cast<TlsMemory*>(SSL_get_ex_data(ssl, index()));
    if (!memory) return 0;
    memory->forget();
    memory->session_ = session;
    return 1;
  }
  static int index() {
    static const int made = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return made;
  }
};

void TlsMemory::forget() { SSL_SESSION_free(std::exchange(session_, nullptr)); }

TlsClient::~TlsClient() { SSL_CTX_free(context_); }

std::shared_ptr<const TlsClient> TlsClient::build(const TlsClientSettings& settings, int64_t now,
                                                  std::vector<TlsProblem>& problems) {
  const std::shared_ptr<TlsClient> made(new TlsClient(settings));
  made->context_ = SSL_CTX_new(TLS_client_method());
  SSL_CTX* const context = made->context_;
  if (!context) throw std::bad_alloc();
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(context, kTlsCiphers12);
  SSL_CTX_set_ciphersuites(context, kTlsCiphers13);
  SSL_CTX_set1_groups_list(context, kTlsGroups);
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, TlsClientCallbacks::new_session);
  SSL_CTX_set_verify(context, settings.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (!settings.protocols.empty()) {
    std::string wire;
    for (const auto& protocol : settings.protocols) wire.append(1, static_cast<char>(protocol.size())).append(protocol);
    SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(wire.data()),
                            static_cast<unsigned>(wire.size()));
  }
  const bool trusts = made->use_authorities(problems), shows = made->use_certificate(now, problems);
  if (!trusts || !shows) return nullptr;
  return made;
}

bool TlsClient::use_authorities(std::vector<TlsProblem>& problems) {
  if (settings_.ca.path.empty()) {
    SSL_CTX_set_default_verify_paths(context_);
    ERR_clear_error();
    return true;
  }
  std::string problem;
  const auto authorities = read_certificates(settings_.ca.text, problem);
  X509_STORE* const store = SSL_CTX_get_cert_store(context_);
  for (const auto& one : authorities) X509_STORE_add_cert(store, one.get());
  // Named is trusted, be it an authority of authorities or only the one that signed.
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  ERR_clear_error();
  if (authorities.empty())
    problems.push_back({In::client_ca, 0, false, fmt::format("{} {}", settings_.ca.path, problem)});
  return !authorities.empty();
}

bool TlsClient::use_certificate(int64_t now, std::vector<TlsProblem>& problems) {
  if (settings_.certificate.path.empty()) return true;
  const auto& path = settings_.certificate.path;
  std::string problem;
  const auto fail = [&](In in, std::string message) {
    problems.push_back({in, 0, false, std::move(message)});
    return false;
  };
  const auto chain = read_certificates(settings_.certificate.text, problem);
  if (chain.empty()) return fail(In::certificates, fmt::format("{} {}", path, problem));
  const bool apart = !settings_.key.path.empty();
  const TlsFile& key_file = apart ? settings_.key : settings_.certificate;
  const auto key = read_key(key_file.text, problem);
  if (!key && problem.empty()) problem = "has no private key in it (PEM, -----BEGIN PRIVATE KEY-----)";
  if (!key) return fail(apart ? In::keys : In::certificates, fmt::format("{} {}", key_file.path, problem));
  if (!belongs(chain.front().get(), key.get()))
    return fail(In::certificates,
                fmt::format("the key in {} doesn't belong to the certificate in {}", key_file.path, path));
  const auto facts = facts_of(chain.front().get());
  if (facts.not_after <= now)
    problems.push_back(
        {In::certificates, 0, true,
         fmt::format("the certificate in {} has expired at {}; renew it", path, date_text(facts.not_after))});
  SSL_CTX_use_certificate(context_, chain.front().get());
  SSL_CTX_use_PrivateKey(context_, key.get());
  for (size_t i = 1; i < chain.size(); ++i) SSL_CTX_add1_chain_cert(context_, chain[i].get());
  ERR_clear_error();
  return true;
}

void TlsClient::prepare(ssl_st* ssl, const std::string& name) const {
  const bool address = AddressBlock::parse_address(name).has_value();
  if (address) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl, name.c_str());
    SSL_set1_host(ssl, name.c_str());
  }
}

std::unique_ptr<TlsSession> TlsClient::connect(TlsScratch& scratch, int fd, const std::string& name,
                                               TlsMemory* memory) const {
  try {
    auto session = std::make_unique<TlsSession>(context_, nullptr, scratch, fd);
    SSL* const ssl = session->native();
    prepare(ssl, name);
    if (memory) {
      SSL_set_ex_data(ssl, TlsClientCallbacks::index(), memory);
      if (memory->session_) SSL_set_session(ssl, memory->session_);
    }
    SSL_set_connect_state(ssl);
    return session;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

}  // namespace weir::net
