// Keys of session tickets (RFC 5077 §4): derived from a secret and the time, so that they change by themselves, all
// workers have the same ones, and all instances with the same secret, too. Pure; time is passed in.
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::net {

struct TicketKey {
  std::array<uint8_t, 16> name;  // stands in the ticket
  std::array<uint8_t, 32> cipher, mac;
};

class TicketKeys {
 public:
  /// How long a key encrypts; for as long again it decrypts, and that is how long a ticket holds.
  static constexpr std::chrono::seconds kPeriod = std::chrono::hours(12);

  /// `secrets`: the first encrypts, each decrypts. `use`: what the tickets are for; those of another use are not taken.
  TicketKeys(std::vector<std::string> secrets, std::string use) : secrets_(std::move(secrets)), use_(std::move(use)) {}

  /// `now`: seconds since the epoch.
  TicketKey current(int64_t now) const;
  /// Also of the period before, and of the next one: another instance's clock may be ahead. False: none of ours.
  bool find(const uint8_t* name, int64_t now, TicketKey& key) const;

 private:
  TicketKey derive(std::string_view secret, int64_t period) const;
  std::vector<std::string> secrets_;
  std::string use_;
};

}  // namespace weir::net
