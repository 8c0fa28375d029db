// Taking a backend of a pool, and saying how it did: what an exchange and a question of forward-auth have in common.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>

#include "config/model.hpp"
#include "lb/proxy/upstream.hpp"
#include "lb/proxy/worker.hpp"

namespace weir::proxy {

/// The backends that were tried already, by their place in the pool.
struct Tried {
  static constexpr size_t kMax = config::Retry::kMaxAttempts + 1;
  std::array<uint32_t, kMax> backends;
  uint8_t count = 0;
  bool has(uint32_t backend) const {
    const auto end = backends.begin() + count;
    return std::find(backends.begin(), end, backend) != end;
  }
};

/// Picks a backend that was not tried, takes a place at it and adds it to `tried`. The pool's table must be fresh
/// (Worker::refresh). `key_hash`: for consistent_hash. False: none is there, or all are full.
bool take_backend(Worker& worker, WorkerPool& pool, uint64_t key_hash, Tried& tried, uint32_t& backend);
/// Takes a place at this very backend, and adds it to `tried`. False: it has `limit` requests already (0: no limit).
bool hold_place(const WorkerPool& pool, uint32_t backend, uint32_t limit, Tried& tried);
/// Is there another backend, which is only too busy now?
bool others_full(const WorkerPool& pool, const Tried& tried);
bool another_is_free(const WorkerPool& pool, const Tried& tried);

/// An idle connection, or a new one of which `error` says why it failed at once (0: it stands, or is being made).
struct Connection {
  Upstream* upstream = nullptr;
  int error = 0;
};
/// Where descriptors, memory or ports run out, an idle connection to another backend makes room. `fresh`: a new one in
/// any case; else one that was idle no longer than `max_idle` may do. `client`: whose connection it is with
/// proxy_protocol.
Connection open_connection(Worker& worker, const WorkerPool& pool, UpstreamSet& set, bool fresh, Duration max_idle,
                           UpstreamUser& user, DownstreamConnection& client);
/// No descriptors, memory or ports left here: such an error says nothing about the backend.
bool local_shortage(int error);
/// Why no connection came to stand. `error` as in UpstreamUser::on_connect_failed.
Cause cause_of_connect(int error);
/// Keeps or closes it. `announced`: the backend's own Keep-Alive, in seconds; 0: none.
void give_back(Upstream& connection, bool reusable, const WorkerPool& pool, uint32_t announced);

/// For passive ejection: only what the backend is to blame for.
void report_failure(Worker& worker, const WorkerPool& pool, UpstreamSet& set);
void report_success(UpstreamSet& set);

}  // namespace weir::proxy
