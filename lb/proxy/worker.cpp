#include "lb/proxy/worker.hpp"

#include <malloc.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <ctime>

#include "lb/base/quiet_thread.hpp"
#include "lb/net/socket.hpp"
#include "lb/proxy/acceptor.hpp"
#include "lb/proxy/compressor.hpp"
#include "lb/proxy/downstream.hpp"
#include "lb/proxy/exchange.hpp"
#include "lb/proxy/http2_session.hpp"
#include "lb/proxy/http2_upstream.hpp"
#include "lb/proxy/upstream.hpp"

namespace weir::proxy {

namespace {
constexpr auto kTick = std::chrono::milliseconds(100);
constexpr uint32_t kHousekeepingTicks = 50;
constexpr int kShedScan = 64;  // connections looked at to find an idle one
}  // namespace

std::string listener_key(const std::string& name, const Endpoint& bind) {
  std::string address = bind.to_string();
  return bind.is_unix() || bind.port() ? address : name + ' ' + address;
}

struct Worker::Loop {
  boost::asio::io_context context{1};
  boost::asio::steady_timer tick{context};
};

Worker::Worker(size_t worker_index, Shared& all, uint64_t seed)
    : index(worker_index),
      shared(all),
      cells(all.process.cells[worker_index]),
      loop(std::make_unique<Loop>()),
      poller(
          loop->context, [this] { return refresh_clock(); }, [this] { after_batch(); }),
      wheel(monotonic_now()),
      rng(seed),
      now(monotonic_now()) {}

Worker::~Worker() {
  after_batch();
  for (auto& [state, set] : upstreams_) UpstreamConnection::close_all_idle(*set);
  after_batch();
}

void Worker::start() {
  poller.start();
  schedule_tick();
  thread_ = start_quiet_thread([this] { loop->context.run(); });
}

void Worker::join() {
  if (thread_.joinable()) thread_.join();
}

void Worker::post(std::function<void()> work) {
  boost::asio::post(loop->context, [this, work = std::move(work)] {
    now = monotonic_now();
    work();
    poller.sweep();
  });
  poller.wake();
}

void Worker::grant(Grant grant) {
  grants_posted_.fetch_add(1, std::memory_order_relaxed);
  post([this, grant = std::move(grant)] {
    grants_posted_.fetch_sub(1, std::memory_order_relaxed);
    if (!grant.ticket.exchange) return tcp.grant(grant);
    auto* exchange = static_cast<Exchange*>(grant.ticket.exchange);
    if (exchange->serial() != grant.ticket.serial || !exchange->waiting()) return grant.release();
    if (!exchange->on_granted()) grant.pass_on();
  });
}

void Worker::answer(const PasswordChecker::Answer& answer) {
  post([this, answer] {
    if (answer.right) credentials.remember(answer.digest, answer.until);
    auto* exchange = static_cast<Exchange*>(answer.ticket.exchange);
    if (exchange->serial() == answer.ticket.serial && exchange->authenticating())
      exchange->on_password_checked(answer.right);
  });
}

// ---- configuration ----

void Worker::adopt(std::shared_ptr<Runtime> next, std::vector<NewListener> added,
                   const std::vector<std::string>& removed) {
  auto mine = std::make_unique<WorkerRuntime>();
  mine->shared = next;
  for (size_t i = 0; i < next->pools.size(); ++i) {
    const auto& pool = next->pools[i];
    WorkerPool entry;
    entry.pool = pool.get();
    entry.cells = &pool->state->cells[index];
    entry.picker = pool->algorithm->make_picker();
    for (size_t b = 0; b < pool->backends.size(); ++b) {
      entry.upstreams.push_back(&upstream_set(pool->backends[b]));
      const auto& configured = pool->config->backends[b];
      entry.upstreams.back()->use_proxy_protocol(pool->config->proxy_protocol);
      entry.upstreams.back()->ends = pool->config->sessions;
      entry.upstreams.back()->use_http2(pool->config->protocol != config::Pool::Protocol::h1);
      if (auto& http2 = entry.upstreams.back()->http2) {
        http2->keep_alive = pool->config->timeout.keep_alive;
        http2->user_timeout = pool->user_timeout;
      }
      const std::string& name = pool->config->tls.server_name;
      entry.upstreams.back()->use_tls(configured.tls ? pool->tls : nullptr,
                                      name.empty() ? configured.url_host() : name);
    }
    refresh(entry);
    // What was learnt of the pool outlives a change of its backends.
    if (runtime && i < runtime->pools.size() && runtime->pools[i].pool->state == pool->state)
      entry.median_latency = runtime->pools[i].median_latency;
    mine->pools.push_back(std::move(entry));
  }
  runtime = mine.get();
  runtimes_.push_back(std::move(mine));
  update_listeners(std::move(added), removed);
  forget_unused();
}

void Worker::begin_closing(const std::vector<std::string>& removed) {
  for (auto& acceptor : acceptors_)
    if (std::find(removed.begin(), removed.end(), acceptor->key()) != removed.end()) {
      acceptor->begin_closing(now);
      closing_acceptors_.push_back(std::move(acceptor));
    }
  std::erase(acceptors_, nullptr);
  if (removed.empty()) return;
  for (DownstreamConnection* connection = downstream_; connection; connection = connection->next_)
    if (std::find(removed.begin(), removed.end(), connection->listener().key) != removed.end())
      connection->begin_drain();
}

void Worker::update_listeners(std::vector<NewListener> added, const std::vector<std::string>& removed) {
  begin_closing(removed);
  for (auto& [key, info] : listeners_)
    info->index = ~uint32_t{0};  // connections of a removed listener match no route that names one
  const auto& configured = runtime->config().listeners;
  for (uint32_t i = 0; i < configured.size(); ++i)
    for (const auto& bind : configured[i].binds) {
      const std::string key = listener_key(configured[i].name, bind);
      auto& info = listeners_[key];
      if (!info) info = std::make_shared<ListenerInfo>();
      info->key = key;
      info->name = configured[i].name;
      info->index = i;
      info->header_timeout = configured[i].header_timeout;
      info->keep_alive_timeout = configured[i].keep_alive_timeout;
      info->send_stall = configured[i].send_stall;
      info->defer_accept = configured[i].defer_accept;
      info->proxy_protocol = configured[i].proxy_protocol;
      info->tls = runtime->shared->tls[i];
      info->tcp = configured[i].mode == config::Mode::tcp;
      info->http2 = configured[i].speaks_http2();
      info->hsts = hsts_line(configured[i]);
    }
  for (auto& acceptor : acceptors_) acceptor->set_options();
  for (auto& listener : added) open_listener(std::move(listener));
}

void Worker::open_listener(NewListener added) {
  auto& info = listeners_[added.key];
  if (const uint16_t port = added.address.port()) info->port_text = std::to_string(port);
  if (!added.inherited) net::accept_new_connections(added.fd->get());  // it may have been closing, or not listen yet
  const auto closing = std::find_if(closing_acceptors_.begin(), closing_acceptors_.end(),
                                    [&](const auto& acceptor) { return acceptor->has(added.fd); });
  if (closing == closing_acceptors_.end()) {
    acceptors_.push_back(std::make_unique<Acceptor>(*this, info, added.address, std::move(added.fd), added.inherited));
    return;
  }
  (*closing)->stay_open();
  acceptors_.push_back(std::move(*closing));
  closing_acceptors_.erase(closing);
}

void Worker::close_drained_listeners() {
  for (auto& acceptor : closing_acceptors_)
    if (acceptor->may_close(now)) {
      acceptor->drain();
      acceptor->close();
      acceptor.reset();
    }
  std::erase(closing_acceptors_, nullptr);
}

/// Runtimes that no request pins, and connections to backends that no runtime names.
void Worker::forget_unused() {
  std::erase_if(runtimes_, [this](const auto& old) { return old.get() != runtime && old->pins == 0; });
  if (runtimes_.size() > 1) return;
  std::vector<const UpstreamSet*> used;
  for (const auto& pool : runtime->pools) used.insert(used.end(), pool.upstreams.begin(), pool.upstreams.end());
  std::sort(used.begin(), used.end());
  for (auto it = upstreams_.begin(); it != upstreams_.end();) {
    UpstreamSet& set = *it->second;
    const bool named = std::binary_search(used.begin(), used.end(), &set);
    if (!named) UpstreamConnection::close_all_idle(set);
    it = !named && set.connections == 0 ? upstreams_.erase(it) : std::next(it);
  }
}

void Worker::unpin(WorkerRuntime& pinned) {
  if (--pinned.pins == 0 && &pinned != runtime)
    std::erase_if(runtimes_, [&](const auto& old) { return old.get() == &pinned; });
}

void Worker::refresh(WorkerPool& pool) {
  const uint64_t version = pool.pool->version();
  if (version == pool.version) return;
  const auto published = pool.pool->published();
  pool.version = version;
  pool.table = published.table;
  pool.panic = published.panic;
  pool.takes_requests = published.takes_requests;
  pool.picker->adopt(published.table, rng);
}

UpstreamSet& Worker::upstream_set(const std::shared_ptr<BackendState>& backend) {
  auto& set = upstreams_[backend.get()];
  if (!set) {
    set = std::make_unique<UpstreamSet>();
    set->backend = backend;
    set->cells = &backend->cells[index];
  }
  return *set;
}

// ---- objects ----

Exchange* Worker::take_exchange() {
  if (free_exchanges_.empty()) {
    fewest_free_ = 0;
    all_exchanges_.push_back(std::make_unique<Exchange>(*this));
    free_exchanges_.reserve(all_exchanges_.size());
    return all_exchanges_.back().get();
  }
  Exchange* exchange = free_exchanges_.back();
  free_exchanges_.pop_back();
  fewest_free_ = std::min(fewest_free_, free_exchanges_.size());
  return exchange;
}

void Worker::recycle(Exchange* exchange) { free_exchanges_.push_back(exchange); }

void Worker::give_back_exchanges() {
  const size_t unused = std::exchange(fewest_free_, free_exchanges_.size());
  if (unused <= kExchangesKept) return;
  // A grant names its exchange until it has run. It is posted under the lock that Admission::forget() takes, and a
  // request leaves the queue through that: what is free now can be named by a grant only if that is counted here.
  if (grants_posted_.load(std::memory_order_relaxed)) return;
  std::vector<Exchange*> given(free_exchanges_.begin(),
                               free_exchanges_.begin() + static_cast<ptrdiff_t>(unused - kExchangesKept));
  free_exchanges_.erase(free_exchanges_.begin(), free_exchanges_.begin() + static_cast<ptrdiff_t>(given.size()));
  std::sort(given.begin(), given.end());
  std::erase_if(all_exchanges_,
                [&](const auto& exchange) { return std::binary_search(given.begin(), given.end(), exchange.get()); });
  if (given.size() >= kExchangesKept) ::malloc_trim(0);  // free() keeps holes in the heap for itself
  free_exchanges_.shrink_to_fit();
  free_exchanges_.reserve(all_exchanges_.size());
  fewest_free_ = free_exchanges_.size();
}

Compressor& Worker::compressor() {
  if (!compressor_) compressor_ = std::make_unique<Compressor>(*this);
  return *compressor_;
}

void Worker::add(DownstreamConnection& connection) {
  shared.connections.value.fetch_add(1, std::memory_order_relaxed);
  connection.next_ = downstream_;
  if (downstream_) downstream_->previous_ = &connection;
  downstream_ = &connection;
  if (!oldest_downstream_) oldest_downstream_ = &connection;
}

void Worker::remove(DownstreamConnection& connection) {
  shared.connections.value.fetch_sub(1, std::memory_order_relaxed);
  cells.connections_closed.add();
  if (connection.previous_) connection.previous_->next_ = connection.next_;
  if (connection.next_) connection.next_->previous_ = connection.previous_;
  if (downstream_ == &connection) downstream_ = connection.next_;
  if (oldest_downstream_ == &connection) oldest_downstream_ = connection.previous_;
}

void Worker::watch_later(DownstreamConnection& connection, uint32_t& place) {
  if (place) return;
  unwatched_.push_back(&connection);
  place = static_cast<uint32_t>(unwatched_.size());
}

void Worker::forget_unwatched(uint32_t& place) {
  if (place) unwatched_[place - 1] = nullptr;
  place = 0;
}

void Worker::watch_all() {
  watching_.swap(unwatched_);
  for (DownstreamConnection* connection : watching_) {
    if (!connection) continue;
    connection->unwatched_at_ = 0;
    connection->watch();
  }
  watching_.clear();
}

void Worker::retire(DownstreamConnection* connection) {
  net::Poller::retire(*connection);
  remove(*connection);
  retired_downstream_.push_back(connection);
}

void Worker::retire(UpstreamConnection* connection) {
  net::Poller::retire(*connection);
  retired_upstream_.push_back(connection);
}

void Worker::delete_retired() {
  if (shared.descriptors_copied) return;
  for (auto* connection : retired_downstream_) delete connection;
  retired_downstream_.clear();
  for (auto* connection : retired_upstream_) delete connection;
  retired_upstream_.clear();
  tcp.delete_retired();
  for (auto* connection : retired_http2_) delete connection;
  retired_http2_.clear();
}

bool Worker::shed_idle_connection() {
  DownstreamConnection* connection = oldest_downstream_;
  for (int i = 0; connection && i < kShedScan; ++i, connection = connection->previous_)
    if (connection->idle() && connection->served_requests()) {
      connection->close();
      cells.connections_shed.add();
      return true;
    }
  return false;
}

bool Worker::shed_idle_upstream() {
  for (auto& [state, set] : upstreams_)
    if (set->oldest) {
      set->oldest->close();
      return true;
    } else if (set->http2 && set->http2->shed_idle()) {
      return true;
    }
  return false;
}

// ---- time ----

void Worker::schedule_tick() {
  loop->tick.expires_after(kTick);
  poller.return_by(loop->tick.expiry());
  loop->tick.async_wait([this](boost::system::error_code error) {
    if (error || finished_) return;  // cancel() does not reach a handler that is already queued
    tick();
    schedule_tick();
  });
}

void Worker::tick() {
  now = monotonic_now();
  wheel.advance(now);
  if (!unwatched_.empty()) watch_all();
  if (!closing_acceptors_.empty()) close_drained_listeners();
  tcp.tick();
  for (size_t i = 0; i < phantoms_.size();) {
    if (phantoms_[i].until > now) {
      ++i;
      continue;
    }
    phantoms_[i].backend->phantom.value.fetch_sub(1, std::memory_order_relaxed);
    std::swap(phantoms_[i], phantoms_.back());
    phantoms_.pop_back();
  }
  cells.buffer_bytes.store(buffers.used(), std::memory_order_relaxed);
  if (shared.memory.load(std::memory_order_relaxed) >= MemoryLevel::shed_keep_alive) {
    cells.connections_shed.add(close_idle_connections());
    buffers.trim();
  }
  if (++ticks_ % kHousekeepingTicks == 0) {
    if (runtime) forget_unused();
    if (compressor_) compressor_->trim();
    give_back_exchanges();
  }
  poller.sweep();
}

void Worker::add_phantom(std::shared_ptr<BackendState> backend, Duration how_long) {
  static constexpr size_t kMaxPhantoms = 4096;
  if (phantoms_.size() >= kMaxPhantoms) return;
  backend->phantom.value.fetch_add(1, std::memory_order_relaxed);
  phantoms_.push_back({now + how_long, std::move(backend)});
}

std::string_view Worker::http_date() {
  const std::time_t second = std::time(nullptr);
  if (second != date_second_) {
    char text[40];
    std::tm parts{};
    gmtime_r(&second, &parts);
    date_.assign(text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts));
    date_second_ = second;
  }
  return date_;
}

// ---- the end ----

void Worker::begin_draining() {
  draining = true;
  for (auto& acceptor : acceptors_) acceptor->begin_closing(now);
  std::move(acceptors_.begin(), acceptors_.end(), std::back_inserter(closing_acceptors_));
  acceptors_.clear();
  drain_connections();
}

void Worker::hand_over(const std::vector<std::string>& closing) {
  draining = true;
  begin_closing(closing);
  for (auto& acceptor : acceptors_) acceptor->halt();
  std::move(acceptors_.begin(), acceptors_.end(), std::back_inserter(handed_acceptors_));
  acceptors_.clear();
  drain_connections();
}

void Worker::take_back() {
  draining = false;
  for (auto& acceptor : handed_acceptors_) acceptor->resume();
  std::move(handed_acceptors_.begin(), handed_acceptors_.end(), std::back_inserter(acceptors_));
  handed_acceptors_.clear();
}

size_t Worker::close_idle_connections() {
  size_t closed = 0;
  for (DownstreamConnection* connection = downstream_; connection;) {
    DownstreamConnection* next = connection->next_;
    closed += connection->close_if_idle();
    connection = next;
  }
  return closed;
}

void Worker::finish() {
  finished_ = true;
  for (auto* acceptors : {&acceptors_, &closing_acceptors_})
    for (auto& acceptor : *acceptors) acceptor->close();
  acceptors_.clear();
  handed_acceptors_.clear();
  closing_acceptors_.clear();
  while (downstream_) {
    DownstreamConnection* connection = downstream_;
    connection->abort_for_drain();
    if (downstream_ == connection) connection->close();
  }
  tcp.finish();
  for (auto& [state, set] : upstreams_) {
    UpstreamConnection::close_all_idle(*set);
    if (set->http2) set->http2->close_all();
  }
  for (auto& phantom : phantoms_) phantom.backend->phantom.value.fetch_sub(1, std::memory_order_relaxed);
  phantoms_.clear();
  poller.sweep();
  loop->tick.cancel();
  poller.stop();
}

}  // namespace weir::proxy
