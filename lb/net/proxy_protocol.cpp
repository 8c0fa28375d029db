#include "lb/net/proxy_protocol.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string>

namespace weir::net {

namespace {

using Status = ProxyParse::Status;

constexpr std::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::string_view kV1 = "PROXY ";
constexpr size_t kV1Most = 107, kV2Fixed = 16, kTextMost = 255, kUnixPath = 108;
constexpr uint8_t kAlpn = 0x01, kAuthority = 0x02, kCrc = 0x03;

ProxyParse broken(const char* detail, ProxyFailure failure = ProxyFailure::broken) {
  return {Status::error, failure, detail};
}

uint16_t number16(std::string_view bytes) {
  return static_cast<uint16_t>(static_cast<uint8_t>(bytes[0]) << 8 | static_cast<uint8_t>(bytes[1]));
}

uint32_t number32(std::string_view bytes) {
  return static_cast<uint32_t>(number16(bytes)) << 16 | number16(bytes.substr(2));
}

Endpoint internet(int family, std::string_view address, uint16_t port) {
  Endpoint endpoint;
  if (family == AF_INET) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&v4.sin_addr, address.data(), sizeof v4.sin_addr);
    return Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&v4), sizeof v4);
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  std::memcpy(&v6.sin6_addr, address.data(), sizeof v6.sin6_addr);
  return Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&v6), sizeof v6);
}

// ---- version 1 ----

bool take_address(int family, std::string_view text, char (&address)[16]) {
  char zero_ended[INET6_ADDRSTRLEN];
  if (text.empty() || text.size() >= sizeof zero_ended) return false;
  std::memcpy(zero_ended, text.data(), text.size());
  zero_ended[text.size()] = '\0';
  return text.find('\0') == text.npos && inet_pton(family, zero_ended, address) == 1;
}

bool take_port(std::string_view text, uint16_t& port) {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text[0] == '0')) return false;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), port);
  return result.ec == std::errc() && result.ptr == text.data() + text.size();
}

ProxyParse parse_v1(std::string_view bytes, ProxyHeader& header) {
  const size_t end = bytes.substr(0, kV1Most).find('\n');
  if (end == bytes.npos) {
    if (bytes.size() >= kV1Most) return broken("the line is longer than 107 bytes");
    return {};
  }
  if (bytes[end - 1] != '\r') return broken("the line ends without a carriage return");
  header.version = ProxyVersion::v1;
  header.size = end + 1;
  std::string_view line = bytes.substr(kV1.size(), end - 1 - kV1.size());
  if (line == "UNKNOWN" || line.starts_with("UNKNOWN ")) {
    header.local = true;
    return {Status::ok};
  }
  std::array<std::string_view, 5> words;
  for (size_t i = 0; i < words.size(); ++i) {
    const size_t space = i + 1 < words.size() ? line.find(' ') : line.size();
    if (space == line.npos) return broken("the line has fewer words than six");
    words[i] = line.substr(0, space);
    line.remove_prefix(std::min(space + 1, line.size()));
  }
  const int family = words[0] == "TCP4" ? AF_INET : words[0] == "TCP6" ? AF_INET6 : AF_UNSPEC;
  if (family == AF_UNSPEC) return broken("the protocol is none of TCP4, TCP6 and UNKNOWN");
  char source[16], destination[16];
  const size_t size = family == AF_INET ? 4 : 16;
  if (!take_address(family, words[1], source) || !take_address(family, words[2], destination))
    return broken("an address is none of its family");
  uint16_t source_port = 0, destination_port = 0;
  if (!take_port(words[3], source_port) || !take_port(words[4], destination_port))
    return broken("a port is no number from 0 to 65535");
  header.source = internet(family, {source, size}, source_port);
  header.destination = internet(family, {destination, size}, destination_port);
  return {Status::ok};
}

// ---- version 2 ----

bool is_text(std::string_view value) {
  return !value.empty() && value.size() <= kTextMost &&
         std::all_of(value.begin(), value.end(), [](char c) { return static_cast<uint8_t>(c) > 0x20 && c != 0x7f; });
}

/// `header`: from its first byte to its last one.
bool checksum_holds(std::string_view header, std::string_view value) {
  const auto at = static_cast<size_t>(value.data() - header.data());
  uint32_t crc = crc32c(0, header.substr(0, at));
  crc = crc32c(crc, std::string_view("\0\0\0\0", 4));
  return crc32c(crc, header.substr(at + 4)) == number32(value);
}

ProxyParse take_tlvs(std::string_view whole, std::string_view tlvs, ProxyHeader& header) {
  bool checked = false;
  while (!tlvs.empty()) {
    if (tlvs.size() < 3) return broken("the last TLV is cut off");
    const auto type = static_cast<uint8_t>(tlvs[0]);
    const size_t length = number16(tlvs.substr(1));
    if (tlvs.size() - 3 < length) return broken("a TLV is longer than the header");
    const std::string_view value = tlvs.substr(3, length);
    tlvs.remove_prefix(3 + length);
    if (type == kCrc) {
      if (checked || length != 4) return broken("CRC32C is there twice, or is not of four bytes");
      if (!checksum_holds(whole, value)) return broken("CRC32C is that of other bytes", ProxyFailure::checksum);
      checked = true;
    } else if (type == kAlpn || type == kAuthority) {
      std::string_view& kept = type == kAlpn ? header.alpn : header.authority;
      if (!kept.empty()) return broken("a TLV is there twice");
      if (!is_text(value)) return broken("ALPN or AUTHORITY is empty, too long, or holds spaces or control bytes");
      kept = value;
    }
  }
  return {Status::ok};
}

Endpoint unix_address(std::string_view field) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const size_t end = field[0] ? field.find('\0') : field.find_last_not_of('\0') + 1;
  const size_t size = std::min(end, sizeof address.sun_path - 1);
  std::memcpy(address.sun_path, field.data(), size);
  return Endpoint::from_sockaddr(reinterpret_cast<const sockaddr*>(&address),
                                 static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + size + (field[0] ? 1 : 0)));
}

/// Bytes of the two addresses and their ports, by the high half of the protocol byte.
constexpr std::array<size_t, 4> kAddressBytes{0, 12, 36, 2 * kUnixPath};

ProxyParse parse_v2(std::string_view bytes, ProxyHeader& header) {
  if (bytes.size() < kV2Fixed) return {};
  const auto version_command = static_cast<uint8_t>(bytes[12]), protocol = static_cast<uint8_t>(bytes[13]);
  if (version_command >> 4 != 2) return broken("the version is not 2");
  if ((version_command & 15) > 1) return broken("the command is neither LOCAL nor PROXY");
  const size_t family = protocol >> 4, transport = protocol & 15;
  if (family >= kAddressBytes.size() || transport > 2) return broken("the family or the transport is not known");
  const size_t length = number16(bytes.substr(14));
  if (kV2Fixed + length > kMaxProxyHeader) return broken("it is longer than 4096 bytes");
  if (bytes.size() < kV2Fixed + length) return {};
  header.version = ProxyVersion::v2;
  header.size = kV2Fixed + length;
  const std::string_view whole = bytes.substr(0, header.size);
  std::string_view rest = whole.substr(kV2Fixed);
  // LOCAL may say anything behind itself; datagrams are nothing that could have come by a stream.
  header.local = (version_command & 15) == 0 || family == 0 || transport != 1;
  if (header.local && (version_command & 15) == 0) return {Status::ok};
  if (rest.size() < kAddressBytes[family]) return broken("it is shorter than its addresses");
  const std::string_view addresses = rest.substr(0, kAddressBytes[family]);
  if (!header.local && family == 3) {
    header.source = unix_address(addresses.substr(0, kUnixPath));
    header.destination = unix_address(addresses.substr(kUnixPath));
  } else if (!header.local) {
    const int of = family == 1 ? AF_INET : AF_INET6;
    const size_t size = family == 1 ? 4 : 16;
    header.source = internet(of, addresses.substr(0, size), number16(addresses.substr(2 * size)));
    header.destination = internet(of, addresses.substr(size, size), number16(addresses.substr(2 * size + 2)));
  }
  rest.remove_prefix(addresses.size());
  return take_tlvs(whole, rest, header);
}

// ---- writing ----

class Writer {
 public:
  explicit Writer(ProxyBytes& room) : room_(room) {}
  void add(std::string_view bytes) {
    std::memcpy(room_.data() + size_, bytes.data(), bytes.size());
    size_ += bytes.size();
  }
  void add8(size_t value) { room_[size_++] = static_cast<char>(value); }
  void add16(size_t value) {
    add8(value >> 8);
    add8(value & 0xff);
  }
  std::string_view view() const { return {room_.data(), size_}; }
  void set_length() {
    const size_t length = size_ - kV2Fixed;
    room_[14] = static_cast<char>(length >> 8);
    room_[15] = static_cast<char>(length & 0xff);
  }

 private:
  ProxyBytes& room_;
  size_t size_ = 0;
};

/// An IPv4 address that came by an IPv6 socket is IPv4.
bool is_mapped(const Endpoint& endpoint) {
  if (endpoint.family() != AF_INET6) return false;
  sockaddr_in6 v6;
  std::memcpy(&v6, endpoint.address(), sizeof v6);
  return IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr);
}
int family_of(const Endpoint& endpoint) { return is_mapped(endpoint) ? AF_INET : endpoint.family(); }

std::string_view address_bytes(const Endpoint& endpoint, char (&room)[16]) {
  if (endpoint.family() == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, endpoint.address(), sizeof v4);
    std::memcpy(room, &v4.sin_addr, 4);
    return {room, 4};
  }
  sockaddr_in6 v6;
  std::memcpy(&v6, endpoint.address(), sizeof v6);
  std::memcpy(room, &v6.sin6_addr, 16);
  return is_mapped(endpoint) ? std::string_view(room + 12, 4) : std::string_view(room, 16);
}

std::string_view write_v1(const ProxyHeader& header, bool local, ProxyBytes& room) {
  Writer out(room);
  if (local || header.source.is_unix()) {
    out.add("PROXY UNKNOWN\r\n");
    return out.view();
  }
  out.add(family_of(header.source) == AF_INET ? "PROXY TCP4" : "PROXY TCP6");
  for (const Endpoint* endpoint : {&header.source, &header.destination}) {
    const std::string host = endpoint->host();
    out.add(" ");
    out.add(std::string_view(host).substr(0, host.find('%')));  // a zone is this machine's own affair
  }
  for (const uint16_t port : {header.source.port(), header.destination.port()}) {
    out.add(" ");
    out.add(std::to_string(port));
  }
  out.add("\r\n");
  return out.view();
}

void add_unix(Writer& out, const Endpoint& endpoint) {
  char path[kUnixPath]{};
  const size_t offset = offsetof(sockaddr_un, sun_path);
  if (endpoint.length > offset)
    std::memcpy(path, reinterpret_cast<const char*>(endpoint.address()) + offset,
                std::min<size_t>(endpoint.length - offset, sizeof path));
  out.add({path, sizeof path});
}

std::string_view write_v2(const ProxyHeader& header, bool local, ProxyBytes& room) {
  Writer out(room);
  out.add(kSignature);
  out.add8(local ? 0x20 : 0x21);
  const int family = family_of(header.source);
  out.add8(local ? 0 : family == AF_INET ? 0x11 : family == AF_INET6 ? 0x21 : 0x31);
  out.add16(0);
  if (!local && family == AF_UNIX) {
    add_unix(out, header.source);
    add_unix(out, header.destination);
  } else if (!local) {
    char bytes[16];
    out.add(address_bytes(header.source, bytes));
    out.add(address_bytes(header.destination, bytes));
    out.add16(header.source.port());
    out.add16(header.destination.port());
  }
  const auto add_tlv = [&](uint8_t type, std::string_view value) {
    if (local || !is_text(value)) return;
    out.add8(type);
    out.add16(value.size());
    out.add(value);
  };
  add_tlv(kAlpn, header.alpn);
  add_tlv(kAuthority, header.authority);
  out.set_length();
  return out.view();
}

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value & 1 ? value >> 1 ^ 0x82f63b78u : value >> 1;
    table[i] = value;
  }
  return table;
}
constexpr auto kCrcTable = make_crc_table();

}  // namespace

uint32_t crc32c(uint32_t crc, std::string_view bytes) {
  crc = ~crc;
  for (const char c : bytes) crc = crc >> 8 ^ kCrcTable[(crc ^ static_cast<uint8_t>(c)) & 0xff];
  return ~crc;
}

ProxyParse parse_proxy_header(std::string_view bytes, ProxyHeader& header) {
  header = {};
  const auto begins_like = [&](std::string_view with) {
    const size_t common = std::min(bytes.size(), with.size());
    return bytes.substr(0, common) == with.substr(0, common);
  };
  if (begins_like(kSignature)) return parse_v2(bytes, header);
  if (!begins_like(kV1)) return broken("what has come first is no PROXY header", ProxyFailure::missing);
  return bytes.size() < kV1.size() ? ProxyParse{} : parse_v1(bytes, header);
}

std::string_view write_proxy_header(const ProxyHeader& header, ProxyBytes& room) {
  const int family = family_of(header.source);
  const bool known = family == AF_INET || family == AF_INET6 || family == AF_UNIX;
  const bool local = header.local || !known || family != family_of(header.destination);
  if (header.version == ProxyVersion::none) return {};
  return header.version == ProxyVersion::v1 ? write_v1(header, local, room) : write_v2(header, local, room);
}

}  // namespace weir::net
