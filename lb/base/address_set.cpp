#include "lb/base/address_set.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace weir {

namespace {

uint32_t last_four(const std::array<uint8_t, 16>& bytes) {
  return uint32_t{bytes[12]} << 24 | uint32_t{bytes[13]} << 16 | uint32_t{bytes[14]} << 8 | bytes[15];
}

}  // namespace

AddressSet::AddressSet(std::span<const AddressBlock> blocks) {
  for (const auto& block : blocks) {
    if (block.is_unix()) {
      unix_ = true;
      continue;
    }
    Bytes first = block.bytes(), last = first;
    for (unsigned bit = block.prefix(); bit < 128; ++bit) {
      const auto mask = static_cast<uint8_t>(0x80 >> bit % 8);
      first[bit / 8] = static_cast<uint8_t>(first[bit / 8] & ~mask);
      last[bit / 8] |= mask;
    }
    if (block.is_v4())
      v4_.push_back({last_four(first), last_four(last)});
    else
      v6_.push_back({first, last});
  }
  merge(v4_);
  merge(v6_);
}

template <typename T>
void AddressSet::merge(std::vector<Range<T>>& ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Range<T>> merged;
  for (const auto& range : ranges) {
    if (merged.empty() || merged.back().last < range.first)
      merged.push_back(range);
    else
      merged.back().last = std::max(merged.back().last, range.last);
  }
  ranges = std::move(merged);
}

template <typename T>
bool AddressSet::find(const std::vector<Range<T>>& ranges, const T& value) {
  const auto behind = std::upper_bound(ranges.begin(), ranges.end(), value,
                                       [](const T& wanted, const Range<T>& range) { return wanted < range.first; });
  return behind != ranges.begin() && !(std::prev(behind)->last < value);
}

bool AddressSet::contains(const Endpoint& address) const {
  if (address.is_unix()) return unix_;
  if (address.family() == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &address.storage, sizeof v4);
    return find(v4_, ntohl(v4.sin_addr.s_addr));
  }
  sockaddr_in6 v6;
  std::memcpy(&v6, &address.storage, sizeof v6);
  Bytes bytes;
  std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
  // Blocks wider than ::ffff:0:0/96 mean IPv6 alone, as in AddressBlock.
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) return find(v4_, last_four(bytes));
  return find(v6_, bytes);
}

bool AddressSet::contains(std::string_view text) const {
  if (text.starts_with("unix")) return unix_;
  const auto address = AddressBlock::parse_address(text.substr(0, text.find('%')));
  return address && contains(*address);
}

}  // namespace weir
