// The TLS side of a listener: certificates with their table of names, client authentication, tickets. Made when the
// configuration is loaded, immutable, shared by all workers; connections keep the one they have begun with.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lb/net/tls_certificate.hpp"
#include "lb/net/tls_names.hpp"

struct ssl_ctx_st;
struct ssl_st;

namespace weir::net {

class TlsSession;
struct TlsScratch;

/// A file that was read, by its path.
struct TlsFile {
  std::string path, text;
  bool operator==(const TlsFile&) const = default;
};

struct TlsServerSettings {
  std::string listener;                // its name: tickets of one listener are of no use at another
  std::vector<TlsFile> certificates;   // PEM: the chain, perhaps with the key
  std::vector<TlsFile> keys;           // PEM; each certificate finds its own among them
  std::vector<TlsFile> ocsp;           // DER; each certificate finds its own among them
  TlsFile client_ca;                   // PEM; empty: clients are not asked for certificates
  bool require_client = true;          // else optional
  bool tls12 = true;                   // 1.3 alone otherwise
  bool strict_names = false;           // no certificate for a name that none stands for
  std::vector<std::string> protocols;  // ALPN, the best first; empty: it is not spoken
  std::vector<std::string> secrets;    // of tickets; the first encrypts, each decrypts
};

/// Something wrong with a file of the settings.
struct TlsProblem {
  enum class In : uint8_t { certificates, keys, ocsp, client_ca };
  In in = In::certificates;
  size_t index = 0;
  bool warning = false;
  std::string message;  // "/etc/… has no certificate in it"
};

class TlsServer : public std::enable_shared_from_this<TlsServer> {
 public:
  /// Null if one of the problems is no mere warning. `now`: seconds since the epoch.
  static std::shared_ptr<const TlsServer> build(const TlsServerSettings& settings, int64_t now,
                                                std::vector<TlsProblem>& problems);
  ~TlsServer();

  /// Null: out of memory.
  std::unique_ptr<TlsSession> accept(TlsScratch& scratch, int fd) const;

  /// Which certificate is shown to a client that asks for `server_name` (empty: it names none); the first, if no
  /// certificate has the name. kRefused: strict_names has none for it.
  uint32_t certificate_for(std::string_view server_name) const;
  static constexpr uint32_t kRefused = TlsNames::kNone;
  /// Security-rules B11: `shown`, the certificate for `server_name`, stands not for `host`, but another one does.
  bool misdirected(std::string_view server_name, uint32_t shown, std::string_view host) const;
  /// Field lines that say who the client is.
  std::string identity_of(const TlsSession& session) const;

  bool asks_clients() const { return asks_clients_; }

  struct Certificate {
    std::string path;
    CertificateFacts facts;
    uint32_t index = 0;  // as certificate_for() has it; those of the same names and other kinds of keys have the same
  };
  /// In the order of the settings.
  const std::vector<Certificate>& certificates() const { return certificates_; }

 private:
  friend struct TlsCallbacks;
  struct Context;  // a context, with certificates of the same names and other kinds of keys
  struct Tickets;
  TlsServer();
  class Builder;

  std::vector<Certificate> certificates_;
  std::vector<Context> contexts_;  // the first is for clients that name no server, or an unknown one
  TlsNames names_;
  std::string protocols_;  // as on the wire
  std::unique_ptr<Tickets> tickets_;
  bool asks_clients_ = false, strict_names_ = false;
};

}  // namespace weir::net
