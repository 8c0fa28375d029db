// The TLS side of connections to a pool's backends: whom to trust, our own certificate. Made when the configuration is
// loaded, immutable, shared by all workers and by the health checks.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lb/net/tls_server.hpp"

struct ssl_ctx_st;
struct ssl_session_st;

namespace weir::net {

/// The last session of one worker with one backend, to be resumed by its next connection. Must outlive the connections.
class TlsMemory {
 public:
  TlsMemory() = default;
  ~TlsMemory() { forget(); }
  TlsMemory(const TlsMemory&) = delete;
  TlsMemory& operator=(const TlsMemory&) = delete;
  void forget();

 private:
  friend class TlsClient;
  friend struct TlsClientCallbacks;
  ssl_session_st* session_ = nullptr;
};

struct TlsClientSettings {
  bool verify = true;
  TlsFile ca;                               // PEM; without a path: what the system trusts
  TlsFile certificate, key;                 // PEM; without a path: none; the key may stand in the same file
  std::vector<std::string> protocols = {};  // ALPN; empty: it is not spoken
  bool operator==(const TlsClientSettings&) const = default;
};

class TlsClient {
 public:
  /// Null if one of the problems is no mere warning; TlsProblem::In::certificates is our own, client_ca is `ca`.
  static std::shared_ptr<const TlsClient> build(const TlsClientSettings& settings, int64_t now,
                                                std::vector<TlsProblem>& problems);
  ~TlsClient();

  /// `name`: what the certificate must be for, a host name or an address; host names are asked for (SNI). `memory` may
  /// be null. Null: out of memory.
  std::unique_ptr<TlsSession> connect(TlsScratch& scratch, int fd, const std::string& name, TlsMemory* memory) const;
  /// Sets up an SSL of somebody else's for the same: SNI, and the name to verify.
  void prepare(ssl_st* ssl, const std::string& name) const;
  ssl_ctx_st* context() const { return context_; }
  const TlsClientSettings& settings() const { return settings_; }

 private:
  explicit TlsClient(const TlsClientSettings& settings) : settings_(settings) {}
  bool use_certificate(int64_t now, std::vector<TlsProblem>& problems);
  bool use_authorities(std::vector<TlsProblem>& problems);

  const TlsClientSettings settings_;
  ssl_ctx_st* context_ = nullptr;
};

}  // namespace weir::net
