// How a TlsServer is made of files.
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <stdexcept>

#include "lb/net/tls_ciphers.hpp"
#include "lb/net/tls_server.hpp"
#include "lb/net/tls_server_parts.hpp"
#include "lb/net/tls_session.hpp"

namespace weir::net {

namespace {

constexpr int64_t kSoon = 14 * 24 * 3600;  // certbot renews 30 days before the end: something is wrong by then

struct FreeOcsp {
  void operator()(OCSP_RESPONSE* response) const { OCSP_RESPONSE_free(response); }
  void operator()(OCSP_BASICRESP* response) const { OCSP_BASICRESP_free(response); }
};

int64_t seconds_of(const ASN1_GENERALIZEDTIME* time) {
  std::tm parts{};
  return time && ASN1_TIME_to_tm(time, &parts) == 1 ? timegm(&parts) : 0;
}

}  // namespace

class TlsServer::Builder {
 public:
  Builder(const TlsServerSettings& settings, int64_t now, std::vector<TlsProblem>& problems)
      : settings_(settings), now_(now), problems_(problems) {}

  std::shared_ptr<const TlsServer> build();

 private:
  struct Loaded {
    std::vector<X509Pointer> chain;
    KeyPointer key;
    CertificateFacts facts;
    size_t index = 0;  // in the settings
  };

  template <typename... Arguments>
  void error(TlsProblem::In in, size_t index, fmt::format_string<Arguments...> text, Arguments&&... arguments) {
    problems_.push_back({in, index, false, fmt::format(text, std::forward<Arguments>(arguments)...)});
    failed_ = true;
  }
  template <typename... Arguments>
  void warning(TlsProblem::In in, size_t index, fmt::format_string<Arguments...> text, Arguments&&... arguments) {
    problems_.push_back({in, index, true, fmt::format(text, std::forward<Arguments>(arguments)...)});
  }

  void read_keys();
  void read_certificate(size_t index);
  KeyPointer key_for(const Loaded& loaded);
  void check_dates(const Loaded& loaded);
  void group();
  void use(Context& context, Loaded& loaded);
  Context new_context();
  void read_client_ca();
  void ask_clients(ssl_ctx_st* context);
  void read_ocsp(size_t index);
  void staple(OCSP_BASICRESP* basic, size_t index);

  using In = TlsProblem::In;
  const TlsServerSettings& settings_;
  const int64_t now_;
  std::vector<TlsProblem>& problems_;
  bool failed_ = false;
  std::vector<KeyPointer> keys_;
  std::vector<bool> key_used_;
  std::vector<Loaded> loaded_;
  std::vector<X509Pointer> client_ca_;
  std::shared_ptr<TlsServer> server_ = std::shared_ptr<TlsServer>(new TlsServer);
};

std::shared_ptr<const TlsServer> TlsServer::build(const TlsServerSettings& settings, int64_t now,
                                                  std::vector<TlsProblem>& problems) {
  return Builder(settings, now, problems).build();
}

std::shared_ptr<const TlsServer> TlsServer::Builder::build() {
  read_keys();
  for (size_t i = 0; i < settings_.certificates.size(); ++i) read_certificate(i);
  for (size_t i = 0; i < key_used_.size() && !failed_; ++i)
    if (!key_used_[i])
      warning(In::keys, i, "{} belongs to none of the certificates; leave it out", settings_.keys[i].path);
  if (!settings_.client_ca.path.empty()) read_client_ca();
  if (failed_ || loaded_.empty()) return nullptr;
  server_->asks_clients_ = !client_ca_.empty();
  server_->strict_names_ = settings_.strict_names;
  for (const auto& protocol : settings_.protocols)
    server_->protocols_.append(1, static_cast<char>(protocol.size())).append(protocol);
  // Tickets hold the client's identity: with other CAs none of the old ones is taken.
  std::string use = settings_.listener;
  for (const auto& ca : client_ca_) use += ' ' + facts_of(ca.get()).fingerprint;
  if (!client_ca_.empty()) use += settings_.require_client ? " required" : " optional";
  server_->tickets_ = std::make_unique<Tickets>(settings_.secrets, use);
  group();
  for (size_t i = 0; i < settings_.ocsp.size(); ++i) read_ocsp(i);
  if (failed_) return nullptr;
  return server_;
}

// ---- certificates ----

void TlsServer::Builder::read_keys() {
  for (size_t i = 0; i < settings_.keys.size(); ++i) {
    const auto& file = settings_.keys[i];
    std::string problem;
    auto key = read_key(file.text, problem);
    if (!key) {
      if (problem.empty()) problem = "has no private key in it (PEM, -----BEGIN PRIVATE KEY-----)";
      error(In::keys, i, "{} {}", file.path, problem);
    }
    keys_.push_back(std::move(key));
  }
  key_used_.resize(keys_.size());
}

KeyPointer TlsServer::Builder::key_for(const Loaded& loaded) {
  const auto& file = settings_.certificates[loaded.index];
  std::string problem;
  auto own = read_key(file.text, problem);
  if (!problem.empty()) {
    error(In::certificates, loaded.index, "{} {}", file.path, problem);
    return nullptr;
  }
  if (own) {
    if (belongs(loaded.chain.front().get(), own.get())) return own;
    error(In::certificates, loaded.index, "the key in {} doesn't belong to the certificate in it", file.path);
    return nullptr;
  }
  bool unreadable = false;
  for (size_t i = 0; i < keys_.size(); ++i) {
    unreadable = unreadable || !keys_[i];
    if (!keys_[i] || !belongs(loaded.chain.front().get(), keys_[i].get())) continue;
    key_used_[i] = true;
    EVP_PKEY_up_ref(keys_[i].get());
    return KeyPointer(keys_[i].get());
  }
  if (unreadable) return nullptr;  // it may well be that one
  if (keys_.size() == 1)
    error(In::certificates, loaded.index, "the key in {} doesn't belong to the certificate in {}",
          settings_.keys.front().path, file.path);
  else if (keys_.empty())
    error(In::certificates, loaded.index, "{} has no private key in it; write key: and the path of the key", file.path);
  else
    error(In::certificates, loaded.index, "none of the keys belongs to the certificate in {}", file.path);
  return nullptr;
}

void TlsServer::Builder::read_certificate(size_t index) {
  const auto& file = settings_.certificates[index];
  Loaded loaded;
  loaded.index = index;
  std::string problem;
  loaded.chain = read_certificates(file.text, problem);
  if (loaded.chain.empty()) return error(In::certificates, index, "{} {}", file.path, problem);
  loaded.facts = facts_of(loaded.chain.front().get());
  loaded.key = key_for(loaded);
  if (!loaded.key) return;
  check_dates(loaded);
  if (loaded.facts.names.empty()) warning(In::certificates, index, "the certificate in {} names no server", file.path);
  loaded_.push_back(std::move(loaded));
}

void TlsServer::Builder::check_dates(const Loaded& loaded) {
  const auto& path = settings_.certificates[loaded.index].path;
  const auto& facts = loaded.facts;
  if (facts.not_after <= now_)
    warning(In::certificates, loaded.index, "the certificate in {} has expired at {}; renew it", path,
            date_text(facts.not_after));
  else if (facts.not_after - now_ < kSoon)
    warning(In::certificates, loaded.index, "the certificate in {} expires soon, at {}; renew it", path,
            date_text(facts.not_after));
  if (facts.not_before > now_)
    warning(In::certificates, loaded.index, "the certificate in {} is not valid before {}; is the clock right?", path,
            date_text(facts.not_before));
}

// ---- contexts ----

/// Certificates of the same names and other kinds of keys share a context: OpenSSL shows what the client can check.
void TlsServer::Builder::group() {
  std::vector<std::vector<std::string>> kinds;
  for (auto& loaded : loaded_) {
    auto names = loaded.facts.names;
    std::sort(names.begin(), names.end());
    size_t at = 0;
    const auto has_kind = [&] {
      return std::find(kinds[at].begin(), kinds[at].end(), loaded.facts.key) != kinds[at].end();
    };
    while (at < kinds.size() && (server_->contexts_[at].names != names || has_kind())) ++at;
    if (at == kinds.size()) {
      server_->contexts_.push_back(new_context());
      server_->contexts_.back().names = names;
      kinds.emplace_back();
    }
    kinds[at].push_back(loaded.facts.key);
    use(server_->contexts_[at], loaded);
    for (const auto& name : names)
      if (!server_->names_.add(name, static_cast<uint32_t>(at)) && server_->names_.find(name) != at)
        warning(In::certificates, loaded.index, "another certificate before {} is for {}, too, and is shown for it",
                settings_.certificates[loaded.index].path, name);
    server_->certificates_.push_back(
        {settings_.certificates[loaded.index].path, loaded.facts, static_cast<uint32_t>(at)});
  }
}

void TlsServer::Builder::use(Context& context, Loaded& loaded) {
  SSL_CTX* const into = context.context.get();
  ERR_clear_error();
  bool good = SSL_CTX_use_certificate(into, loaded.chain.front().get()) == 1 &&
              SSL_CTX_use_PrivateKey(into, loaded.key.get()) == 1;
  if (good) SSL_CTX_clear_chain_certs(into);
  for (size_t i = 1; i < loaded.chain.size() && good; ++i)
    good = SSL_CTX_add1_chain_cert(into, loaded.chain[i].get()) == 1;
  if (!good)
    error(In::certificates, loaded.index, "the certificate in {} can't be used ({})",
          settings_.certificates[loaded.index].path, take_tls_error());
  context.staples.push_back({std::move(loaded.chain.front()), {}, 0});
}

TlsServer::Context TlsServer::Builder::new_context() {
  Context made;
  made.context.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* const context = made.context.get();
  if (!context) throw std::runtime_error("TLS: " + take_tls_error());
  SSL_CTX_set_min_proto_version(context, settings_.tls12 ? TLS1_2_VERSION : TLS1_3_VERSION);
  SSL_CTX_set_cipher_list(context, kTlsCiphers12);
  SSL_CTX_set_ciphersuites(context, kTlsCiphers13);
  SSL_CTX_set1_groups_list(context, kTlsGroups);
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                   SSL_OP_PRIORITIZE_CHACHA);
  // A connection that waits holds neither buffer of OpenSSL (32 KiB); a short write is offered again from elsewhere.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);  // tickets do it, without memory
  SSL_CTX_set_timeout(context, static_cast<long>(TicketKeys::kPeriod.count()));
  SSL_CTX_set_num_tickets(context, 1);
  SSL_CTX_set_max_early_data(context, 0);  // security-rules F6
  std::array<unsigned char, SSL_MAX_SSL_SESSION_ID_LENGTH> id{};
  unsigned length = 0;
  EVP_Digest(settings_.listener.data(), settings_.listener.size(), id.data(), &length, EVP_sha256(), nullptr);
  SSL_CTX_set_session_id_context(context, id.data(), length);
  TlsCallbacks::install(context);
  ask_clients(context);
  return made;
}

// ---- clients ----

void TlsServer::Builder::read_client_ca() {
  std::string problem;
  client_ca_ = read_certificates(settings_.client_ca.text, problem);
  if (client_ca_.empty()) error(In::client_ca, 0, "{} {}", settings_.client_ca.path, problem);
  for (const auto& ca : client_ca_) {
    const auto facts = facts_of(ca.get());
    if (facts.not_after <= now_)
      warning(In::client_ca, 0, "the certificate of {} in {} has expired at {}", facts.subject,
              settings_.client_ca.path, date_text(facts.not_after));
  }
}

void TlsServer::Builder::ask_clients(ssl_ctx_st* context) {
  if (client_ca_.empty()) return;
  X509_STORE* const store = X509_STORE_new();
  for (const auto& ca : client_ca_) {
    X509_STORE_add_cert(store, ca.get());
    SSL_CTX_add_client_CA(context, ca.get());
  }
  SSL_CTX_set0_verify_cert_store(context, store);  // it owns the store
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (settings_.require_client ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                     nullptr);
  ERR_clear_error();
}

// ---- OCSP ----

void TlsServer::Builder::read_ocsp(size_t index) {
  const auto& file = settings_.ocsp[index];
  const auto* bytes = reinterpret_cast<const unsigned char*>(file.text.data());
  const std::unique_ptr<OCSP_RESPONSE, FreeOcsp> response(
      d2i_OCSP_RESPONSE(nullptr, &bytes, static_cast<long>(file.text.size())));
  const bool good = response && OCSP_response_status(response.get()) == OCSP_RESPONSE_STATUS_SUCCESSFUL;
  const std::unique_ptr<OCSP_BASICRESP, FreeOcsp> basic(good ? OCSP_response_get1_basic(response.get()) : nullptr);
  ERR_clear_error();
  if (!basic) return error(In::ocsp, index, "{} is no OCSP response (DER) that could be stapled", file.path);
  staple(basic.get(), index);
}

void TlsServer::Builder::staple(OCSP_BASICRESP* basic, size_t index) {
  const auto& file = settings_.ocsp[index];
  for (int i = 0; i < OCSP_resp_count(basic); ++i) {
    OCSP_SINGLERESP* const single = OCSP_resp_get0(basic, i);
    ASN1_INTEGER* serial = nullptr;
    OCSP_id_get0_info(nullptr, nullptr, nullptr, &serial, const_cast<OCSP_CERTID*>(OCSP_SINGLERESP_get0_id(single)));
    ASN1_GENERALIZEDTIME* next = nullptr;
    const int status = OCSP_single_get0_status(single, nullptr, nullptr, nullptr, &next);
    for (auto& context : server_->contexts_)
      for (auto& entry : context.staples) {
        if (ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(entry.certificate.get())) != 0) continue;
        if (status == V_OCSP_CERTSTATUS_REVOKED)
          return warning(In::ocsp, index, "{} says that the certificate is revoked; it is not stapled", file.path);
        const int64_t until = next ? seconds_of(next) : INT64_MAX;
        if (until <= now_)
          return warning(In::ocsp, index, "{} held until {}, and is not stapled; fetch a new one", file.path,
                         date_text(until));
        entry.response = file.text;
        entry.until = until;
        return;
      }
  }
  warning(In::ocsp, index, "{} is about none of the certificates; leave it out", file.path);
}

}  // namespace weir::net
