// Which route serves a request: the first in the order of the file whose every condition holds. Built once a
// configuration, then immutable and shared by all workers; match() allocates nothing and costs about the same for 3
// routes and for 3,000.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/model.hpp"

namespace weir::route {

inline constexpr uint32_t kNoRoute = ~uint32_t{0};

/// A request as the router sees it; all views stay the caller's.
struct Request {
  uint32_t listener = 0;         // index in Config::listeners
  std::string_view method;       // as sent
  std::string_view host;         // without port, any case
  std::string_view path;         // the matched form (security-rules B6)
  std::string_view query;        // without "?", raw
  const void* fields = nullptr;  // handed to has_field
  /// Is there a field `name` (lower case) with the whole value `value` ("*": any)? Sees all values of a repeated field
  /// (C5).
  bool (*has_field)(const void* fields, std::string_view name, std::string_view value) = nullptr;
};

class Router {
 public:
  explicit Router(const config::Config& config);
  ~Router();
  Router(Router&&) noexcept;
  Router& operator=(Router&&) noexcept;

  /// Index in Config::routes, or kNoRoute.
  uint32_t match(const Request& request) const;
  /// Why route `index` does not match: the first condition that fails ("path /a* does not cover /b"), empty if it does
  /// match.
  std::string why_not(uint32_t index, const Request& request) const;

 private:
  struct Index;
  std::unique_ptr<Index> index_;
};

/// A route that can never be reached: for each of its hosts, methods and listeners an earlier one covers that and its
/// path, or several do that together, and none of them asks for a header or query parameter that it doesn't ask for
/// too. In the order of the file; covered_by is the first that does so for all, or all that are needed together. Not
/// seen are routes that share out a path like "/a*".
struct DeadRoute {
  uint32_t route;
  std::vector<uint32_t> covered_by;  // in their order, one at least
};
std::vector<DeadRoute> find_dead_routes(const config::Config& config);

}  // namespace weir::route
