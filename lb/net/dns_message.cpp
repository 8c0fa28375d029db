#include "lb/net/dns_message.hpp"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace weir::net {

namespace {

constexpr uint16_t kCname = 5, kSoa = 6, kInternet = 1;
constexpr size_t kHeader = 12, kMaxName = 255, kMaxLabel = 63;

bool plain(uint8_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

class Cursor {
 public:
  Cursor(std::span<const uint8_t> message, size_t at) : message_(message), at_(at) {}

  bool ok() const { return ok_; }
  size_t at() const { return at_; }
  uint8_t byte() { return take(1) ? message_[at_ - 1] : 0; }
  uint16_t two() {
    const uint16_t high = byte();
    return static_cast<uint16_t>(high << 8 | byte());
  }
  uint32_t four() {
    const uint32_t high = two();
    return high << 16 | two();
  }
  void skip(size_t n) { take(n); }

  /// In lower case, labels with a dot between them; empty is the root. What a host name can't have is written as \nnn,
  /// so that no two names look alike.
  std::string name() {
    std::string out;
    size_t place = at_, limit = at_, length = 1;
    bool jumped = false;
    for (;;) {
      if (place >= message_.size()) return fail();
      const uint8_t size = message_[place];
      if ((size & 0xc0) == 0xc0) {
        if (place + 1 >= message_.size()) return fail();
        const size_t target = static_cast<size_t>(size & 0x3f) << 8 | message_[place + 1];
        // Only ever backwards, so that there is no loop.
        if (target >= limit || target < kHeader) return fail();
        if (!jumped) at_ = place + 2;
        jumped = true;
        place = limit = target;
        continue;
      }
      if (size & 0xc0 || place + 1 + size > message_.size() || (length += size + 1u) > kMaxName) return fail();
      ++place;
      if (size == 0) break;
      if (!out.empty()) out += '.';
      for (size_t i = 0; i < size; ++i) append(message_[place + i], out);
      place += size;
    }
    if (!jumped) at_ = place;
    return out;
  }

 private:
  bool take(size_t n) {
    if (!ok_ || n > message_.size() - at_) return ok_ = false;
    at_ += n;
    return true;
  }
  std::string fail() {
    ok_ = false;
    return {};
  }
  static void append(uint8_t c, std::string& out) {
    if (plain(c)) {
      out += static_cast<char>(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
      return;
    }
    const char escaped[]{'\\', static_cast<char>('0' + c / 100), static_cast<char>('0' + c / 10 % 10),
                         static_cast<char>('0' + c % 10)};
    out.append(escaped, sizeof escaped);
  }

  std::span<const uint8_t> message_;
  size_t at_;
  bool ok_ = true;
};

struct Record {
  std::string owner;
  uint16_t type = 0;
  uint32_t ttl = 0;
  size_t data = 0, size = 0;  // where its data are
};

/// False: malformed. One of another class than the internet's gets type 0.
bool read_record(Cursor& in, Record& record) {
  record.owner = in.name();
  record.type = in.two();
  if (in.two() != kInternet) record.type = 0;
  record.ttl = in.four();
  if (record.ttl > 0x7fffffff) record.ttl = 0;  // RFC 2181 §8
  record.size = in.two();
  record.data = in.at();
  in.skip(record.size);
  return in.ok();
}

Endpoint address_of(std::span<const uint8_t> data) {
  if (data.size() == 4) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    std::memcpy(&v4.sin_addr, data.data(), 4);
    return Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&v4), sizeof v4);
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  std::memcpy(&v6.sin6_addr, data.data(), 16);
  return Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&v6), sizeof v6);
}

bool take_address(std::span<const uint8_t> message, const Record& record, DnsAnswer& answer) {
  if (record.size != (record.type == static_cast<uint16_t>(DnsType::a) ? 4u : 16u)) return false;
  const Endpoint address = address_of(message.subspan(record.data, record.size));
  if (std::find(answer.addresses.begin(), answer.addresses.end(), address) == answer.addresses.end())
    answer.addresses.push_back(address);
  return true;
}

bool take_service(std::span<const uint8_t> message, const Record& record, DnsAnswer& answer) {
  Cursor in(message, record.data);
  SrvRecord service;
  service.priority = in.two();
  service.weight = in.two();
  service.port = in.two();
  service.target = in.name();
  if (!in.ok() || in.at() != record.data + record.size) return false;
  if (service.target.empty()) return true;
  if (!is_dns_name(service.target)) return false;
  if (std::find(answer.services.begin(), answer.services.end(), service) == answer.services.end())
    answer.services.push_back(std::move(service));
  return true;
}

/// The name at the end of the aliases, whose TTLs lower `ttl`. Nothing: there are too many.
std::optional<std::string> follow_aliases(std::span<const uint8_t> message, const std::vector<Record>& records,
                                          std::string name, uint32_t& ttl) {
  for (size_t step = 0;; ++step) {
    const auto alias = std::find_if(records.begin(), records.end(), [&](const Record& record) {
      return record.type == kCname && record.owner == name;
    });
    if (alias == records.end()) return name;
    if (step == DnsAnswer::kMaxAliases) return {};
    ttl = std::min(ttl, alias->ttl);
    Cursor in(message, alias->data);
    name = in.name();
    if (!in.ok()) return {};
  }
}

void take_negative_ttl(std::span<const uint8_t> message, const Record& soa, DnsAnswer& answer) {
  Cursor in(message, soa.data);
  in.name();
  in.name();
  in.skip(16);
  const uint32_t minimum = in.four();
  if (in.ok()) answer.negative_ttl = std::min(soa.ttl, minimum);
}

}  // namespace

std::optional<DnsAnswer> parse_dns(std::span<const uint8_t> message, DnsType type) {
  Cursor in(message, 0);
  in.skip(2);
  const uint16_t flags = in.two(), questions = in.two(), answers = in.two(), authorities = in.two();
  in.skip(2);
  if (!in.ok() || !(flags & 0x8000) || questions != 1) return {};
  DnsAnswer answer;
  answer.rcode = flags & 0x0f;
  const std::string asked = in.name();
  if (in.two() != static_cast<uint16_t>(type) || !in.ok()) return {};
  in.skip(2);

  std::vector<Record> records;
  for (size_t i = 0; i < answers; ++i) {
    Record record;
    if (!read_record(in, record)) return {};
    if (records.size() < DnsAnswer::kMaxRecords) records.push_back(std::move(record));
  }
  uint32_t ttl = 0x7fffffff;
  const auto name = follow_aliases(message, records, asked, ttl);
  if (!name) return {};
  for (const auto& record : records) {
    if (record.type != static_cast<uint16_t>(type) || record.owner != *name) continue;
    if (!(type == DnsType::srv ? take_service(message, record, answer) : take_address(message, record, answer)))
      return {};
    ttl = std::min(ttl, record.ttl);
  }
  if (!answer.addresses.empty() || !answer.services.empty()) {
    answer.ttl = ttl;
    return answer;
  }
  for (size_t i = 0; i < authorities; ++i) {
    Record record;
    if (!read_record(in, record)) return {};
    if (record.type == kSoa) take_negative_ttl(message, record, answer);
  }
  return answer;
}

bool is_dns_name(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  for (;;) {
    const auto label = text.substr(0, text.find('.'));
    if (label.empty() || label.size() > kMaxLabel) return false;
    if (!std::all_of(label.begin(), label.end(), [](char c) { return plain(static_cast<uint8_t>(c)); })) return false;
    if (label.size() == text.size()) return true;
    text.remove_prefix(label.size() + 1);
  }
}

}  // namespace weir::net
