// Many blocks of addresses as sorted ranges: whether one holds an address takes a binary search, however many there
// are.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "lb/base/endpoint.hpp"

namespace weir {

class AddressSet {
 public:
  explicit AddressSet(std::span<const AddressBlock> blocks);
  /// The same as asking each block in turn (AddressBlock::contains).
  bool contains(const Endpoint& address) const;
  /// For an address in text form, as an exchange knows its client: "192.0.2.1", "::1", "fe80::1%eth0" (the zone does
  /// not count), "unix:". False for what is no address.
  bool contains(std::string_view text) const;

 private:
  using Bytes = std::array<uint8_t, 16>;  // big-endian, so that they compare as numbers
  template <typename T>
  struct Range {
    T first, last;
  };
  template <typename T>
  static void merge(std::vector<Range<T>>& ranges);
  template <typename T>
  static bool find(const std::vector<Range<T>>& ranges, const T& value);

  std::vector<Range<uint32_t>> v4_;  // sorted, apart from each other
  std::vector<Range<Bytes>> v6_;
  bool unix_ = false;
};

}  // namespace weir
