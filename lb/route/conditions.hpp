// A route's conditions, compiled: the one place that knows what each of them means. The router finds its candidates by
// host and path through an index and asks here for the rest; why_not asks here for all.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/model.hpp"
#include "lb/route/pattern.hpp"
#include "lb/route/router.hpp"

namespace weir::route {

/// Does the raw query have a parameter with this name and value? Names and values are compared decoded (%xx and "+", as
/// every backend reads them: comparing raw bytes would let %76=2 pass by a rule on v=2); one of several of a name is
/// enough; "*" is any value.
bool query_has(std::string_view query, std::string_view name, std::string_view value);

struct Conditions {
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  Conditions(const config::Match& match, const std::vector<config::Listener>& all_listeners);

  std::vector<HostPattern> hosts;  // empty: any
  PathPattern path;
  bool any_listener;
  std::vector<uint32_t> listeners;  // sorted
  std::vector<std::string> methods;
  Pairs headers, query;

  /// Nothing is asked for beyond host and path.
  bool plain() const { return any_listener && methods.empty() && headers.empty() && query.empty(); }
  bool host_holds(std::string_view folded_host) const;
  bool listener_holds(uint32_t listener) const;
  bool method_holds(std::string_view method) const;
  /// The first that the request lacks, or null.
  const std::pair<std::string, std::string>* missing_header(const Request& request) const;
  const std::pair<std::string, std::string>* missing_query(const Request& request) const;
  /// All but host and path.
  bool rest_holds(const Request& request) const {
    return listener_holds(request.listener) && method_holds(request.method) && !missing_header(request) &&
           !missing_query(request);
  }
  /// Every request that fulfils `other` fulfils these too. `listener_count` is the configuration's.
  bool cover(const Conditions& other, size_t listener_count) const;
};

}  // namespace weir::route
