// Names, answers and a clock for the tests of discover.
#pragma once
#include <chrono>
#include <string>
#include <vector>

#include "lb/discover/expand.hpp"

namespace weir::discover::test {

using namespace std::chrono_literals;
using net::DnsType;

/// Time begins somewhere, not at zero.
inline TimePoint at(Duration since_start) { return TimePoint(1000s) + since_start; }

inline Answer found(std::vector<std::string> addresses, uint32_t ttl = 30) {
  Answer answer{Answer::Kind::found, {}, {}};
  for (const auto& address : addresses) answer.data.addresses.push_back(*AddressBlock::parse_address(address));
  answer.data.ttl = ttl;
  return answer;
}

inline Answer services(std::vector<net::SrvRecord> records, uint32_t ttl = 30) {
  Answer answer{Answer::Kind::found, {}, {}};
  answer.data.services = std::move(records);
  answer.data.ttl = ttl;
  return answer;
}

inline Answer missing() { return {Answer::Kind::missing, "there is no such name (NXDOMAIN)", {}}; }
inline Answer failed() { return {Answer::Kind::failed, "no answer in time", {}}; }

inline config::Pool pool(const std::string& name, bool srv = false) {
  config::Pool out;
  out.name = "app";
  out.discover = config::Discover{srv ? config::Discover::Kind::services : config::Discover::Kind::addresses, name,
                                  static_cast<uint16_t>(srv ? 0 : 80)};
  return out;
}

/// Names of a configuration with this one pool, IPv4 alone.
struct Fixture {
  explicit Fixture(config::Pool configured) {
    config.resolver.family = config::Resolver::Family::ipv4;
    config.pools.push_back(std::move(configured));
    configure(0s);
  }
  void configure(Duration now) { names.configure(config.resolver, questions_of(config), at(now)); }
  /// Asks what is due and answers it.
  bool answer(const std::string& name, DnsType type, Answer with, Duration now) {
    names.due(at(now));
    return names.take({name, type}, std::move(with), at(now));
  }
  std::vector<std::string> serving(const config::Pool* before = nullptr) {
    std::vector<std::string> out;
    const auto expanded = expand(config.pools[0], names, before ? before : last ? &*last : nullptr);
    last = expanded.pool;
    left_out = expanded.left_out;
    for (const auto& backend : expanded.pool.backends)
      out.push_back(backend.discovered ? backend.name : backend.name + " " + backend.address.to_string());
    return out;
  }

  config::Config config;
  Names names{1};
  std::optional<config::Pool> last;
  size_t left_out = 0;
};

using Texts = std::vector<std::string>;

}  // namespace weir::discover::test
