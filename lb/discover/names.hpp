// What is known of the names that backends come from: when to ask again, what to keep when there is no answer. No I/O;
// time is passed in. docs/discovery.md has the rules in words.
#pragma once
#include <compare>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "config/model.hpp"
#include "lb/base/clock.hpp"
#include "lb/base/rng.hpp"
#include "lb/net/dns_message.hpp"

namespace weir::discover {

inline constexpr Duration kFirstRetry = std::chrono::seconds(1);  // after a failure; doubled with each in a row …
inline constexpr Duration kLastRetry = std::chrono::seconds(30);  // … up to this
inline constexpr uint32_t kMaxWeight = 1000;                      // as config::Backend's

struct Question {
  std::string name;
  net::DnsType type = net::DnsType::a;
  auto operator<=>(const Question&) const = default;
};

struct Answer {
  enum class Kind { found, missing, failed };
  Kind kind = Kind::failed;
  std::string reason;  // unless found
  net::DnsAnswer data;
};

enum class State {
  pending,  // never answered
  ok,
  missing,  // the last answer says that it isn't there; what was known is kept for resolver.keep_missing
  failing,  // the last question was not answered; what was known is kept
};

/// What is known of one question.
struct Entry {
  State state = State::pending;
  std::string reason;  // unless ok
  std::vector<Endpoint> addresses;
  std::vector<net::SrvRecord> services;
  TimePoint good_at{};    // of the last answer with records; the clock's beginning: there was none
  TimePoint since{};      // in its state
  TimePoint next{};       // to be asked again
  uint32_t failures = 0;  // in a row
  bool asking = false;
};

/// One name as those see it who want its addresses, of both families, or its services.
struct View {
  State state = State::pending;
  std::string reason;
  std::vector<Endpoint> addresses;  // sorted, IPv4 first
  TimePoint good_at{}, since{};
  bool answered = false;  // once at least: found or missing
};

struct Member {
  Endpoint address;
  std::string authority;  // "app.internal:8080"
  uint32_t weight = 1;
  bool backup = false;
};

struct Members {
  std::vector<Member> members;  // sorted by address, none twice
  bool settled = false;         // nothing that it is made of is still being asked for the first time
  View view;                    // of the name itself
};

class Names {
 public:
  explicit Names(uint64_t seed) : rng_(seed) {}

  /// What another process knew, before the first configure().
  void recall(std::map<Question, Entry> known) { entries_ = std::move(known); }
  /// `roots`: what the configuration names; what services lead to is added by itself. Names that stay keep what is
  /// known of them.
  void configure(const config::Resolver& rules, std::set<Question> roots, TimePoint now);

  /// The questions to be asked now; they count as asked.
  std::vector<Question> due(TimePoint now);
  /// When due() or expire() has something again.
  TimePoint next() const;
  /// True: the records have changed. An answer that nobody waits for any more is left.
  bool take(const Question& question, Answer answer, TimePoint now);
  /// Forgets what has been missing for too long. True: there was some.
  bool expire(TimePoint now);

  View host(const std::string& name) const;
  View services(const std::string& name) const;
  /// The backends of a pool with `discover`.
  Members members(const config::Discover& from) const;
  /// Has every name been answered, or failed, once?
  bool first_round_done() const;
  const std::map<Question, Entry>& entries() const { return entries_; }

  /// The questions that a host name is; for the roots.
  std::vector<Question> host_questions(const std::string& name) const;

 private:
  void add_targets(TimePoint now);
  void believe(Entry& entry, net::DnsAnswer data, TimePoint now);
  void doubt(Entry& entry, Answer answer, TimePoint now);
  Duration jittered(Duration duration);
  Duration bounded_ttl(uint32_t seconds) const;
  void add_services(const config::Discover& from, Members& out) const;

  Rng rng_;
  config::Resolver rules_;
  std::set<Question> roots_;
  std::map<Question, Entry> entries_;
};

/// An IPv4 or IPv6 address with another port.
Endpoint with_port(Endpoint address, uint16_t port);

std::vector<Question> host_questions(const std::string& name, config::Resolver::Family family);

}  // namespace weir::discover
