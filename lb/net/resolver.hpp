// Asks DNS servers, through c-ares on an Asio loop: nothing blocks, no thread is started.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lb/base/endpoint.hpp"
#include "lb/net/dns_message.hpp"

namespace boost::asio {
class io_context;
}

namespace weir::net {

struct ResolverSettings {
  std::vector<Endpoint> servers;                 // empty: those of resolv_conf
  std::string resolv_conf = "/etc/resolv.conf";  // nameserver, search, options; read again when it has changed
  uint16_t port = 53;                            // of the servers in resolv_conf
  std::chrono::milliseconds timeout{2000};       // for a server's answer; c-ares lets it grow with each try
  uint32_t tries = 2;                            // each server is asked so often
  bool operator==(const ResolverSettings&) const = default;
};

struct DnsOutcome {
  enum class Kind {
    found,
    missing,  // a server says that there is no such name, or no record of the type
    failed,   // nothing is known: no answer, a server's failure, a malformed answer
  };
  Kind kind = Kind::failed;
  std::string reason;  // in one phrase, unless found
  DnsAnswer answer;    // ttl when found, negative_ttl when missing
};

/// Everything on the loop's own thread.
class Resolver {
 public:
  Resolver(boost::asio::io_context& io, ResolverSettings settings);
  ~Resolver();

  /// `done` is called once, later; not at all after stop(). The hosts file comes first, then DNS with the search list.
  void ask(const std::string& name, DnsType type, std::function<void(DnsOutcome)> done);
  /// What is under way still ends under the old settings.
  void configure(ResolverSettings settings);
  /// Afterwards nothing of it is in the loop.
  void stop();

 private:
  struct Channel;
  struct Query;
  std::shared_ptr<Channel> channel();

  boost::asio::io_context& io_;
  ResolverSettings settings_;
  std::shared_ptr<Channel> channel_;            // null: to be made
  std::vector<std::weak_ptr<Channel>> former_;  // with questions under way
  std::string stamp_;                           // of resolv_conf, when channel_ was made
  std::shared_ptr<bool> stopped_ = std::make_shared<bool>(false);
};

}  // namespace weir::net
