// Private to lb/net/tls_server*.cpp: what a TlsServer is made of.
#pragma once
#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "lb/net/tls_certificate.hpp"
#include "lb/net/tls_server.hpp"
#include "lb/net/tls_tickets.hpp"

struct ssl_ctx_st;
struct ssl_st;
struct evp_cipher_st;
struct evp_cipher_ctx_st;
struct evp_mac_ctx_st;

namespace weir::net {

struct FreeContext {
  void operator()(ssl_ctx_st* context) const;
  void operator()(evp_cipher_st* cipher) const;
};

struct TlsServer::Context {
  std::unique_ptr<ssl_ctx_st, FreeContext> context;
  std::vector<std::string> names;
  struct Staple {
    X509Pointer certificate;
    std::string response;  // OCSP, DER
    int64_t until = 0;     // seconds since the epoch; it is not shown any more then
  };
  std::vector<Staple> staples;
};

/// The keys of now, derived once a period and not for each handshake.
struct TlsServer::Tickets {
  Tickets(std::vector<std::string> secrets, std::string use);
  TicketKey current(int64_t now);
  /// `is_current`: no new ticket is needed.
  bool find(const uint8_t* name, int64_t now, TicketKey& key, bool& is_current);

  const TicketKeys keys;
  const std::unique_ptr<evp_cipher_st, FreeContext> cipher;

 private:
  std::mutex mutex_;  // of some ten nanoseconds, once a handshake
  TicketKey cached_{};
  int64_t cached_period_ = -1;
};

/// What OpenSSL asks while it shakes hands; each finds its server through the session.
struct TlsCallbacks {
  static void install(ssl_ctx_st* context);
  static int by_name(ssl_st* ssl, int* alert, void*);
  static int protocol(ssl_st* ssl, const unsigned char** out, unsigned char* length, const unsigned char* offered,
                      unsigned size, void*);
  static int staple(ssl_st* ssl, void*);
  static int ticket(ssl_st* ssl, unsigned char* name, unsigned char* iv, evp_cipher_ctx_st* cipher, evp_mac_ctx_st* mac,
                    int encrypt);
};

}  // namespace weir::net
