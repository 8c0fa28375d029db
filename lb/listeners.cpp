#include "lb/listeners.hpp"

#include <fcntl.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <iterator>
#include <system_error>

#include "config/addresses.hpp"
#include "lb/base/log.hpp"
#include "lb/net/socket.hpp"

namespace weir {

using proxy::NewListener;

namespace {

bool all_expired(const Listeners::Listening& listener) {
  return std::all_of(listener.sockets.begin(), listener.sockets.end(),
                     [](const auto& socket) { return socket.fd.expired(); });
}

void remove_file(const Listeners::Listening& listener) {
  if (!listener.configured.is_unix() || listener.inherited) return;
  const auto* address = reinterpret_cast<const sockaddr_un*>(listener.configured.address());
  if (address->sun_path[0] != '\0') ::unlink(address->sun_path);  // else an abstract name
}

void tell(const Listeners::Listening& listener) {
  if (listener.inherited)
    log::info("listening",
              {{"listener", listener.name}, {"address", listener.address.to_string()}, {"socket", "inherited"}});
  else
    log::info("listening", {{"listener", listener.name}, {"address", listener.address.to_string()}});
}

}  // namespace

/// Does this process itself listen, or has it just listened, on an address that `where` overlaps? Or the one before us?
bool Listeners::ours(const Endpoint& where) const {
  const auto overlaps = [&](const auto& entry) {
    return config::collide(entry.second.configured, where) && !all_expired(entry.second);
  };
  const auto handed_overlaps = [&](const Endpoint& address) {
    return !where.is_unix() && config::collide(address, where);
  };
  return std::any_of(open_.begin(), open_.end(), overlaps) || std::any_of(closing_.begin(), closing_.end(), overlaps) ||
         (handed_ && std::any_of(handed_->addresses().begin(), handed_->addresses().end(), handed_overlaps));
}

/// The old sockets where they are still open, so that no connection on its way is lost; a worker that has none left
/// gets another beside those of the others.
Listeners::Added Listeners::take_back(const Listening& closing, const std::string& key) const {
  Added added;
  std::vector<bool> has(workers_);
  for (const auto& socket : closing.sockets)
    if (auto fd = socket.fd.lock()) {
      has[socket.worker] = true;
      added.emplace_back(socket.worker, NewListener{key, closing.address, std::move(fd), false});
    }
  for (size_t i = 0; i < workers_; ++i)
    if (!has[i]) {
      auto fd = std::make_shared<UniqueFd>(std::move(net::open_listener_beside(closing.address, 1).fds.front()));
      added.emplace_back(i, NewListener{key, closing.address, std::move(fd), false});
    }
  return added;
}

/// Every socket of the process before us gets a worker, for one that nobody accepts from loses its connections; every
/// worker gets a socket.
Listeners::Added Listeners::take_over(net::HandedSockets::Taken taken, const std::string& key) const {
  auto& fds = taken.fds;
  if (taken.address.is_unix()) {
    while (fds.size() < workers_) {
      UniqueFd copy(::fcntl(fds.front().get(), F_DUPFD_CLOEXEC, 0));
      if (!copy) throw std::system_error(errno, std::generic_category(), "cannot share " + taken.address.to_string());
      fds.push_back(std::move(copy));
    }
  } else if (fds.size() < workers_) {
    // They listen once it is sure that we accept.
    auto more = net::open_listener_beside(taken.address, workers_ - fds.size(), false);
    std::move(more.fds.begin(), more.fds.end(), std::back_inserter(fds));
  }
  Added added;
  for (size_t i = 0; i < fds.size(); ++i)
    added.emplace_back(i % workers_,
                       NewListener{key, taken.address, std::make_shared<UniqueFd>(std::move(fds[i])), false});
  return added;
}

Listeners::Added Listeners::open_sockets(const Endpoint& bind, const std::string& key) {
  auto passed = inherited_.take(bind, workers_);
  const auto closing = closing_.find(key);
  if (!passed && closing != closing_.end() && !bind.is_unix() && !all_expired(closing->second))
    return take_back(closing->second, key);
  if (!passed && handed_)
    if (auto taken = handed_->take(key); !taken.fds.empty()) return take_over(std::move(taken), key);
  auto sockets = passed       ? std::move(*passed)
                 : ours(bind) ? net::open_listener_beside(bind, workers_)
                              : net::open_listener(bind, workers_);
  Added added;
  for (auto& fd : sockets.fds)
    added.emplace_back(added.size(),
                       NewListener{key, sockets.address, std::make_shared<UniqueFd>(std::move(fd)), sockets.inherited});
  return added;
}

Listeners::Change Listeners::prepare(const config::Config& config) {
  Change change;
  change.added.resize(workers_);
  for (const auto& listener : config.listeners)
    for (const auto& bind : listener.binds) {
      const std::string key = proxy::listener_key(listener.name, bind);
      Listening& entry = change.open[key];
      if (const auto old = open_.find(key); old != open_.end()) {
        entry = old->second;
        entry.name = listener.name;
        continue;
      }
      auto added = open_sockets(bind, key);
      const auto& first = added.front().second;
      entry = {listener.name, bind, first.address, {}, first.inherited};
      for (auto& [worker, one] : added) {
        entry.sockets.push_back({worker, one.fd});
        change.added[worker].push_back(std::move(one));
      }
    }
  for (const auto& [key, listener] : open_)
    if (!change.open.contains(key)) change.removed.push_back(key);
  return change;
}

void Listeners::commit(Change change) {
  std::erase_if(closing_, [&](const auto& entry) { return all_expired(entry.second); });
  for (const auto& [key, listener] : change.open) {
    closing_.erase(key);
    const auto old = open_.find(key);
    if (announced_ && (old == open_.end() || old->second.name != listener.name)) tell(listener);
  }
  close(change.removed);
  open_ = std::move(change.open);
}

void Listeners::announce() {
  announced_ = true;
  for (const auto& [key, listener] : open_) tell(listener);
  inherited_.report_unused();
}

bool Listeners::all_closed() const {
  const auto closed = [](const auto& entry) { return all_expired(entry.second); };
  if (!std::all_of(open_.begin(), open_.end(), closed)) return false;
  if (!std::all_of(closing_.begin(), closing_.end(), closed)) return false;
  std::atomic_thread_fence(std::memory_order_acquire);  // what they accepted last is counted
  return true;
}

void Listeners::remove_unix_files() const {
  for (const auto& [key, listener] : open_) remove_file(listener);
}

void Listeners::offer(net::Handover& handover) const {
  for (const auto& one : inherited_.all()) handover.passed.push_back({one.name, one.fd.get()});
  for (const auto& [key, listener] : open_) {
    if (listener.inherited) continue;
    net::Handover::Socket offered{key, {}};
    for (const auto& socket : listener.sockets)
      if (const auto fd = socket.fd.lock()) offered.fds.push_back(fd->get());
    if (listener.address.is_unix()) offered.fds.resize(std::min<size_t>(offered.fds.size(), 1));  // duplicates
    handover.sockets.push_back(std::move(offered));
  }
}

void Listeners::close(const std::vector<std::string>& keys) {
  for (const auto& key : keys) {
    const auto found = open_.find(key);
    if (found == open_.end()) continue;
    Listening& gone = found->second;
    remove_file(gone);
    log::info("listener_closed", {{"listener", gone.name}, {"address", gone.address.to_string()}});
    closing_.insert_or_assign(key, std::move(gone));
    open_.erase(found);
  }
}

}  // namespace weir
