// Who may ask the admin listeners what (security-rules F7).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lb/base/state.hpp"

namespace weir::admin {

/// What a listener shows.
enum class Surface {
  everything,
  metrics_only,  // /metrics, /-/healthy and /-/ready
};

/// Who can reach a listener.
enum class Reach {
  local_socket,  // a unix socket: its permissions decide
  loopback,      // this machine over TCP: any of its users, and pages in their browsers
  network,
};

/// How requests that come in by one listener are judged.
struct Entrance {
  Surface surface = Surface::everything;
  Reach reach = Reach::loopback;
  std::string host;         // the bound address, as Endpoint::host() gives it
  bool check_host = false;  // off for unix sockets and for metrics listeners beyond loopback
  std::string cookie = {};  // the name of its sessions' cookie
};

/// What a request shows of itself.
struct Credentials {
  std::string_view method, host, origin, authorization;
  bool session = false;      // the cookie of a session that lives (sessions.hpp)
  bool public_file = false;  // asks for one of the dashboard's own files, which hold nothing secret
};

struct Refusal {
  AdminRefusal reason;
  uint16_t status;  // 401: a token was asked for; 403: nothing would help
  std::string_view detail;
};

/// Why a request must be refused, or nothing. Against DNS rebinding, the Host must be an IP address, a loopback name or
/// the bound address; against other sites' scripts, an Origin must be the listener's own. Whatever changes something
/// needs the token unless it comes by a unix socket, and beyond loopback everything does, metrics listeners and the
/// dashboard's files excepted. A session stands for the token; as any page on the same host may send its cookie
/// (SameSite looks at no port), changes by it must also show the listener's own Origin, as browsers do.
/// `token`: admin.token_file's; empty: there is none.
std::optional<Refusal> judge(const Entrance& entrance, const Credentials& credentials, std::string_view token);

/// "Bearer TOKEN" (RFC 6750 §2.1), compared in constant time. An empty token fits nothing.
bool bears(std::string_view authorization, std::string_view token);

}  // namespace weir::admin
