// What the two processes of an upgrade say to each other over their channel (docs/upgrade.md, docs/adr/0005), as text:
// a message is lines of fields between tabs, the first line its word alone, the last one a dot. Pure; who reads passes
// over words, lines and fields that it doesn't know, for the other may be a newer or an older Weir.
//
// clang-format off
//   handover  old → new   what there is: sockets, processes and the channels to them, counts; what is known of names,
//                         changes of backends, the secret of tickets
//   failed    new → old   code, reason, more lines; then it ends
//   ready     new → old   it could serve now; the sockets that it has no use for, the changes that no longer fit
//   go        old → new   it shall; the operator's orders and what is known of backends' health, as they are now
//   serving   new → old   it does: the old one stops accepting
//   handed_over  old → new   it has, and speaks no more to those before it
// Then, from whoever serves now to every older process, over the channels that were handed on:
//   order     new → old   of the operator, to a backend
//   count     new → old   how much is in flight? `asked`, when
//   inflight  old → new   that; `asked`, and each backend that has something
//   ending    new → old   it ends in order: nobody takes back
// clang-format on
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::net {

using Lines = std::vector<std::vector<std::string>>;  // of fields

struct Message {
  std::string word;
  Lines lines;
  bool operator==(const Message&) const = default;
};

inline constexpr size_t kMostOfAMessage =
    16 << 20;  // bytes; 10,000 orders are about 1 MiB, the health of 10,000 backends 3

std::string encode(const Message& message);

/// Takes the first message from `buffer`; nothing if it is not whole yet. Throws std::runtime_error when it can never
/// become one. `known`: so many bytes of it were there when it was not whole, and needn't be looked through again.
std::optional<Message> take_message(std::string& buffer, size_t known = 0);

/// What the old process has. The descriptors are those of the process that tells it, which owns them; in the message
/// they have the numbers under which the new one has them.
struct Handover {
  struct Socket {
    std::string key;       // as both call it: its address, or whose it is, too, if that is not enough
    std::vector<int> fds;  // of one SO_REUSEPORT group, or one unix socket
  };
  struct Passed {  // by the service manager
    std::string name;
    int fd = -1;
  };
  struct Process {  // that drains, or will
    int64_t pid = 0;
    int fd = -1;       // pidfd_open(2)
    int channel = -1;  // the serving end of its upgrade's; -1: it can't be spoken to, or is the teller
  };
  std::string version;
  uint64_t upgrades_ok = 0, upgrades_failed = 0;
  std::vector<Socket> sockets;
  std::vector<Passed> passed;
  std::vector<Process> processes;  // the teller is the last one, the oldest the first
  Lines names;                     // what DNS has said, lb/discover/handed.hpp
  Lines serving;                   // backends as they serve, likewise
  std::string ticket_secret;       // of TLS sessions, when no file has one
  Lines changes;                   // of backends, lb/backend_orders.hpp
  bool takes_orders = false;       // the teller does, after it has handed over

  Message to_message() const;
  /// Throws std::runtime_error if it is none.
  static Handover from(const Message& message);
  std::vector<int> descriptors() const;
  /// The same with other numbers, from `first` on in the order of descriptors().
  Handover numbered_from(int first) const;
};

/// An order of the operator to a backend.
struct HandedOrder {
  std::string pool, backend, order, by;  // order: "drain", "disable"; "serve", but not in go
  int64_t at_ns = 0;                     // CLOCK_MONOTONIC, which both have
};
/// `word`: "go" or "order".
Message orders_message(std::string word, const std::vector<HandedOrder>& orders);
/// Throws std::runtime_error if one is cut short.
std::vector<HandedOrder> orders_of(const Message& message);

/// What the new process gets at the last moment.
struct Go {
  std::vector<HandedOrder> orders;
  Lines health;  // of backends, health/handed.hpp
  Message to_message() const;
  /// Throws std::runtime_error if an order is cut short.
  static Go from(const Message& message);
};

/// What a process has in flight.
struct Inflight {
  struct OfBackend {
    std::string pool, backend;
    uint64_t inflight = 0;
  };
  int64_t asked_ns = 0;  // CLOCK_MONOTONIC of the one that asks, and which question this answers
  std::vector<OfBackend> backends;
};
Message count_message(int64_t asked_ns);
/// Throws std::runtime_error if it has no number.
int64_t asked_by(const Message& count);
Message inflight_message(const Inflight& inflight);
/// Nothing if it is another message; throws std::runtime_error if it is broken.
std::optional<Inflight> inflight_of(const Message& message);

}  // namespace weir::net
