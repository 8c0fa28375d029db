// The listening sockets that the process before us hands over in an upgrade: the very same ones, so that no connection
// that waits in one of them is lost.
#pragma once
#include <string>
#include <vector>

#include "lb/base/endpoint.hpp"
#include "lb/base/unique_fd.hpp"

namespace weir::net {

class HandedSockets {
 public:
  /// Takes ownership. What is no listening stream socket is left alone, with an event.
  void add(const std::string& key, const std::vector<int>& fds);
  /// Those of that key, with the address that they have; no fds if there are none.
  struct Taken {
    Endpoint address;
    std::vector<UniqueFd> fds;
  };
  Taken take(const std::string& key);
  /// Of all that were there, taken or not: until the old process stops, they are in use.
  const std::vector<Endpoint>& addresses() const { return addresses_; }
  /// Keys that nothing has asked for.
  std::vector<std::string> unused() const;
  /// Closes those: the old process sees to what waits in them.
  void close_unused() {
    sockets_.clear();
    addresses_.clear();
  }

 private:
  struct Socket {
    std::string key;
    Taken taken;
  };
  std::vector<Socket> sockets_;
  std::vector<Endpoint> addresses_;
};

}  // namespace weir::net
