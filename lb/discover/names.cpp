#include "lb/discover/names.hpp"

#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <tuple>

namespace weir::discover {

namespace {

constexpr Duration kMissingRetry = std::chrono::seconds(10);  // without a SOA that says more
constexpr double kJitter = 0.05;                              // so that names don't march in step

bool before(const Endpoint& a, const Endpoint& b) {
  if (a.family() != b.family()) return a.family() == AF_INET;
  const auto bytes = [](const Endpoint& endpoint) {
    const auto* begin = reinterpret_cast<const uint8_t*>(&endpoint.storage);
    return std::vector<uint8_t>(begin, begin + endpoint.length);  // family, port, address: in network order
  };
  return bytes(a) < bytes(b);
}

void sort(std::vector<Endpoint>& addresses) { std::sort(addresses.begin(), addresses.end(), before); }

/// The one that says most: that it works, else that something is wrong with it.
bool says_more(State a, State b) {
  const auto rank = [](State state) {
    return state == State::ok ? 3 : state == State::failing ? 2 : state == State::missing ? 1 : 0;
  };
  return rank(a) > rank(b);
}

void sort_and_merge(std::vector<Member>& members) {
  std::sort(members.begin(), members.end(), [](const Member& a, const Member& b) {
    return before(a.address, b.address) || (a.address == b.address && a.backup < b.backup);
  });
  std::vector<Member> merged;
  for (auto& member : members) {
    if (!merged.empty() && merged.back().address == member.address) {
      if (merged.back().backup == member.backup) merged.back().weight += member.weight;
    } else {
      merged.push_back(std::move(member));
    }
  }
  members = std::move(merged);
}

/// SRV weights go to 65535, ours to 1000: they keep their proportions. 0 is a very small share (RFC 2782), but if all
/// are 0 there is none to be smaller than.
void scale_weights(std::vector<Member>& members) {
  uint32_t greatest = 0;
  for (const auto& member : members) greatest = std::max(greatest, member.weight);
  for (auto& member : members) {
    if (greatest > kMaxWeight) member.weight = static_cast<uint32_t>(uint64_t{member.weight} * kMaxWeight / greatest);
    member.weight = std::max(member.weight, 1u);
  }
}

}  // namespace

Endpoint with_port(Endpoint address, uint16_t port) {
  if (address.family() == AF_INET)
    reinterpret_cast<sockaddr_in*>(&address.storage)->sin_port = htons(port);
  else
    reinterpret_cast<sockaddr_in6*>(&address.storage)->sin6_port = htons(port);
  return address;
}

std::vector<Question> host_questions(const std::string& name, config::Resolver::Family family) {
  using Family = config::Resolver::Family;
  std::vector<Question> questions;
  if (family != Family::ipv6) questions.push_back({name, net::DnsType::a});
  if (family != Family::ipv4) questions.push_back({name, net::DnsType::aaaa});
  return questions;
}

std::vector<Question> Names::host_questions(const std::string& name) const {
  return discover::host_questions(name, rules_.family);
}

void Names::configure(const config::Resolver& rules, std::set<Question> roots, TimePoint now) {
  rules_ = rules;
  roots_ = std::move(roots);
  // Under other rules than these, or by another process.
  const TimePoint latest = now + std::max<Duration>({rules.min_ttl, rules.max_ttl, kLastRetry});
  for (auto& [question, entry] : entries_) entry.next = std::min(entry.next, latest);
  add_targets(now);
}

/// What is wanted: the roots, and the hosts that services lead to. New ones are asked at once, others are forgotten.
void Names::add_targets(TimePoint now) {
  std::set<Question> wanted = roots_;
  for (const auto& question : roots_) {
    const auto entry = entries_.find(question);
    if (question.type != net::DnsType::srv || entry == entries_.end()) continue;
    for (const auto& service : entry->second.services)
      for (auto& asked : host_questions(service.target)) wanted.insert(std::move(asked));
  }
  std::erase_if(entries_, [&](const auto& entry) { return !wanted.contains(entry.first); });
  for (const auto& question : wanted) {
    const auto [entry, fresh] = entries_.try_emplace(question);
    if (fresh) entry->second.next = entry->second.since = now;
  }
}

std::vector<Question> Names::due(TimePoint now) {
  std::vector<Question> questions;
  for (auto& [question, entry] : entries_) {
    if (entry.asking || entry.next > now) continue;
    entry.asking = true;
    questions.push_back(question);
  }
  return questions;
}

TimePoint Names::next() const {
  TimePoint next = TimePoint::max();
  for (const auto& [question, entry] : entries_) {
    if (!entry.asking) next = std::min(next, entry.next);
    if (entry.state == State::missing && !(entry.addresses.empty() && entry.services.empty()))
      next = std::min(next, entry.since + Duration(rules_.keep_missing));
  }
  return next;
}

Duration Names::jittered(Duration duration) {
  return duration + Duration(static_cast<int64_t>(static_cast<double>(duration.count()) * kJitter * rng_.unit()));
}

Duration Names::bounded_ttl(uint32_t seconds) const {
  return std::clamp<Duration>(std::chrono::seconds(seconds), rules_.min_ttl, rules_.max_ttl);
}

void Names::believe(Entry& entry, net::DnsAnswer data, TimePoint now) {
  if (entry.state != State::ok) entry.since = now;
  entry.state = State::ok;
  entry.reason.clear();
  entry.failures = 0;
  entry.good_at = now;
  entry.addresses = std::move(data.addresses);
  entry.services = std::move(data.services);
  entry.next = now + jittered(bounded_ttl(data.ttl));
}

/// Missing or failed: what is known stays, and it is asked again soon.
void Names::doubt(Entry& entry, Answer answer, TimePoint now) {
  const bool missing = answer.kind == Answer::Kind::missing;
  const State state = missing ? State::missing : State::failing;
  if (entry.state != state) entry.since = now;
  entry.state = state;
  entry.reason = std::move(answer.reason);
  entry.failures = missing ? 0 : entry.failures + 1;
  Duration wait = std::min(kLastRetry, kFirstRetry * (1u << std::min(entry.failures ? entry.failures - 1 : 0, 5u)));
  if (missing) {
    const auto& said = answer.data.negative_ttl;
    wait = std::clamp<Duration>(said ? Duration(std::chrono::seconds(*said)) : kMissingRetry, rules_.min_ttl,
                                std::max<Duration>(kLastRetry, rules_.min_ttl));
  }
  entry.next = now + jittered(wait);
}

bool Names::take(const Question& question, Answer answer, TimePoint now) {
  const auto found = entries_.find(question);
  if (found == entries_.end() || !found->second.asking) return false;
  Entry& entry = found->second;
  entry.asking = false;
  const State before_it = entry.state;
  const auto addresses = entry.addresses;
  const auto services = entry.services;
  if (answer.kind == Answer::Kind::found) {
    sort(answer.data.addresses);
    std::sort(answer.data.services.begin(), answer.data.services.end(), [](const auto& a, const auto& b) {
      return std::tie(a.priority, a.target, a.port, a.weight) < std::tie(b.priority, b.target, b.port, b.weight);
    });
    believe(entry, std::move(answer.data), now);
  } else {
    doubt(entry, std::move(answer), now);
  }
  // The state, too: whether a name is still awaited, or whether its other family's absence is believed, hangs on it.
  const bool changed = before_it != entry.state || addresses != entry.addresses || services != entry.services;
  if (services != entry.services) add_targets(now);
  return expire(now) || changed;
}

bool Names::expire(TimePoint now) {
  bool changed = false;
  for (auto& [question, entry] : entries_) {
    if (entry.state != State::missing || (entry.addresses.empty() && entry.services.empty())) continue;
    if (now - entry.since < rules_.keep_missing) continue;
    entry.addresses.clear();
    entry.services.clear();
    changed = true;
  }
  if (changed) add_targets(now);
  return changed;
}

View Names::host(const std::string& name) const {
  View view;
  std::vector<const Entry*> entries;
  for (const auto& question : host_questions(name))
    if (const auto found = entries_.find(question); found != entries_.end()) entries.push_back(&found->second);
  const bool found =
      std::any_of(entries.begin(), entries.end(), [](const Entry* entry) { return entry->state == State::ok; });
  for (const Entry* entry : entries) {
    if (says_more(entry->state, view.state)) {
      view.state = entry->state;
      view.reason = entry->reason;
      view.since = entry->since;
    }
    view.good_at = std::max(view.good_at, entry->good_at);
    view.answered = view.answered || entry->state == State::missing || entry->good_at != TimePoint{};
    // One family is there, so the name is well, and that it has no more of the other is meant so.
    if (entry->state == State::missing && found) continue;
    view.addresses.insert(view.addresses.end(), entry->addresses.begin(), entry->addresses.end());
  }
  // Not missing before both families are: the other one may still come.
  const bool awaited =
      std::any_of(entries.begin(), entries.end(), [](const Entry* entry) { return entry->state == State::pending; });
  if (awaited && view.addresses.empty()) view.state = State::pending, view.answered = false;
  sort(view.addresses);
  return view;
}

View Names::services(const std::string& name) const {
  const auto found = entries_.find({name, net::DnsType::srv});
  if (found == entries_.end()) return {};
  const Entry& entry = found->second;
  return {entry.state,   entry.reason, {},
          entry.good_at, entry.since,  entry.state == State::missing || entry.good_at != TimePoint{}};
}

Members Names::members(const config::Discover& from) const {
  Members out;
  if (from.kind == config::Discover::Kind::services) {
    add_services(from, out);
  } else {
    out.view = host(from.name);
    out.settled = out.view.state != State::pending;
    for (const auto& address : out.view.addresses)
      out.members.push_back({with_port(address, from.port), fmt::format("{}:{}", from.name, from.port)});
  }
  sort_and_merge(out.members);
  if (from.kind == config::Discover::Kind::services) scale_weights(out.members);
  return out;
}

void Names::add_services(const config::Discover& from, Members& out) const {
  out.view = services(from.name);
  out.settled = out.view.state != State::pending;
  const auto entry = entries_.find({from.name, net::DnsType::srv});
  if (entry == entries_.end()) return;
  const auto& records = entry->second.services;
  uint16_t first = UINT16_MAX;
  for (const auto& record : records) first = std::min(first, record.priority);
  for (const auto& record : records) {
    const View target = host(record.target);
    out.settled = out.settled && target.state != State::pending;
    if (target.addresses.empty() && target.state != State::pending && out.view.reason.empty())
      out.view.reason = fmt::format("{}: {}", record.target, target.reason);
    for (const auto& address : target.addresses)
      out.members.push_back({with_port(address, record.port), fmt::format("{}:{}", record.target, record.port),
                             record.weight, record.priority != first});
    out.view.addresses.insert(out.view.addresses.end(), target.addresses.begin(), target.addresses.end());
  }
}

bool Names::first_round_done() const {
  return std::none_of(entries_.begin(), entries_.end(),
                      [](const auto& entry) { return entry.second.state == State::pending; });
}

}  // namespace weir::discover
