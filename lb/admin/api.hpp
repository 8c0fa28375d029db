// What the admin listener answers, without its sockets.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "lb/admin/inventory.hpp"
#include "lb/admin/metrics.hpp"

namespace weir::admin {

struct Reply {
  uint16_t status = 200;
  std::string_view content_type = "text/plain; charset=utf-8";
  std::string body;
  std::string_view allow = {};  // the Allow field of a 405
};

/// RFC 9457.
Reply problem(uint16_t status, std::string_view detail);

/// Where a request comes in.
enum class Surface {
  everything,
  metrics_only,  // /metrics, /-/healthy and /-/ready
};

class Api {
 public:
  explicit Api(Sources sources) : sources_(sources), exposition_(std::move(sources)) {}
  /// `target` as in the request line; a query is ignored. GET and HEAD only; a HEAD gets the body too, which the caller
  /// leaves out.
  Reply answer(std::string_view method, std::string_view target, Surface surface);

 private:
  Reply ready() const;
  Sources sources_;
  Exposition exposition_;
};

/// {"generation": …, "pools": [...]}; docs/admin.md describes the members.
std::string pools_json(const Inventory& inventory, const ProcessState& process);
/// {"causes": [...]}, the closed list of lb/base/cause.hpp.
std::string causes_json();

/// Why a request must be refused, or empty. Against DNS rebinding, the Host must be an IP address, a loopback name or
/// `bound_host` (a host as Endpoint::host() gives it); against other sites' scripts, an Origin must be the listener's
/// own. `check_host` is off for unix sockets and for metrics listeners beyond loopback: no browser can be lured to the
/// former, the latter have names of their own.
std::string_view refuse(std::string_view host, std::string_view origin, std::string_view bound_host, bool check_host);

}  // namespace weir::admin
