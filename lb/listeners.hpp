// The listening sockets over reloads: which stay open, perhaps under another name, which are opened, which go.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/model.hpp"
#include "lb/base/endpoint.hpp"
#include "lb/base/unique_fd.hpp"
#include "lb/net/handed.hpp"
#include "lb/net/handover.hpp"
#include "lb/net/inherited.hpp"
#include "lb/proxy/worker.hpp"

namespace weir {

/// Control thread only. The sockets belong to the workers; here is known which of them are still open.
class Listeners {
 public:
  struct Listening {
    std::string name;
    Endpoint configured, address;  // address: with the real port
    struct Socket {
      size_t worker = 0;  // that accepts; one may do so on several, after an upgrade to fewer workers
      std::weak_ptr<const UniqueFd> fd;
    };
    std::vector<Socket> sockets;
    bool inherited = false;  // of one that we were passed, and that others have, too
  };
  using Map = std::map<std::string, Listening>;  // by proxy::listener_key

  struct Change {
    Map open;
    std::vector<std::vector<proxy::NewListener>> added;  // by worker
    std::vector<std::string> removed;                    // keys
  };

  /// `handed`: by the process before us, null if there is none; outlives this.
  Listeners(size_t workers, net::InheritedSockets inherited, net::HandedSockets* handed)
      : workers_(workers), inherited_(std::move(inherited)), handed_(handed) {}

  /// Opens what `config` has and is not open yet. What was inherited is used first; an address that is just closing is
  /// taken back, with the same sockets. Throws std::system_error with a sentence for people; nothing has changed then.
  Change prepare(const config::Config& config);
  /// The change was handed to the workers. Writes the events, but for the start of the process (see announce()), and
  /// removes the files of unix sockets that are gone.
  void commit(Change change);
  /// The events of the start, those of inherited sockets without a listener, too: written once nothing can fail any
  /// more.
  void announce();
  const Map& open() const { return open_; }
  /// Have the workers closed every socket?
  bool all_closed() const;
  /// At the end of the process. Those of inherited sockets stay.
  void remove_unix_files() const;

  /// Adds all that is open to what a successor gets.
  void offer(net::Handover& handover) const;
  /// Those that it has no use for: the workers close them, as if a reload had removed them.
  void close(const std::vector<std::string>& keys);
  /// Are there any that are closing?
  bool closing() const { return !closing_.empty(); }

 private:
  using Added = std::vector<std::pair<size_t, proxy::NewListener>>;  // with the worker
  bool ours(const Endpoint& where) const;
  Added take_back(const Listening& closing, const std::string& key) const;
  Added take_over(net::HandedSockets::Taken taken, const std::string& key) const;
  Added open_sockets(const Endpoint& bind, const std::string& key);

  size_t workers_;
  net::InheritedSockets inherited_;
  net::HandedSockets* handed_;
  Map open_, closing_;
  bool announced_ = false;
};

}  // namespace weir
