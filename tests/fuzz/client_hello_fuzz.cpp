// A ClientHello: what is taken lies in the room and is a name, what is asked for is bounded, each beginning of a good
// one asks for more, and cutting it into other records changes nothing.
#include "lb/net/client_hello.hpp"

#include <array>
#include <string>

#include "tests/fuzz/fuzz.hpp"
#include "tests/fuzz/http1_checks.hpp"

using namespace weir;
using net::ClientHello;
using net::HelloParse;
using net::kMaxClientHello;

namespace {

using Room = std::array<char, kMaxClientHello>;

void check_name(std::string_view name, const Room& room) {
  if (name.empty()) return;
  if (name.size() > 253 || name.data() < room.data() || name.data() + name.size() > room.data() + room.size())
    fuzz::require("a name outside the room");
  for (const char c : name)
    if (static_cast<unsigned char>(c) <= ' ' || static_cast<unsigned char>(c) >= 0x7f || (c >= 'A' && c <= 'Z'))
      fuzz::require("a name with bytes that none has");
}

/// The same payload in records of `size` bytes.
std::string cut_again(std::string_view records, size_t size) {
  std::string payload, out;
  for (size_t at = 0; at + 5 <= records.size();) {
    const size_t length =
        static_cast<size_t>(static_cast<uint8_t>(records[at + 3])) << 8 | static_cast<uint8_t>(records[at + 4]);
    payload += records.substr(at + 5, length);
    at += 5 + length;
    const size_t wanted = payload.size() < 4 ? ~size_t{0}
                                             : 4 + (static_cast<size_t>(static_cast<uint8_t>(payload[1])) << 16 |
                                                    static_cast<size_t>(static_cast<uint8_t>(payload[2])) << 8 |
                                                    static_cast<uint8_t>(payload[3]));
    if (payload.size() >= wanted) break;
  }
  for (size_t at = 0; at < payload.size(); at += size) {
    const std::string piece = payload.substr(at, size);
    out += std::string("\x16\x03\x01") + static_cast<char>(piece.size() >> 8) + static_cast<char>(piece.size()) + piece;
  }
  return out;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const http1::checks::Exact raw({reinterpret_cast<const char*>(data), size});
  static Room room, other_room;
  ClientHello hello;
  const auto result = net::parse_client_hello(raw.view(), room, hello);
  check_name(hello.server_name, room);
  if (result.status == HelloParse::Status::need_more && size >= kMaxClientHello)
    fuzz::require("more is wanted than may be");
  if (result.status != HelloParse::Status::ok) return 0;
  const std::string again = cut_again(raw.view(), 700);
  if (again.size() > kMaxClientHello) return 0;
  ClientHello other;
  if (net::parse_client_hello(again, other_room, other).status != HelloParse::Status::ok ||
      other.server_name != hello.server_name)
    fuzz::require("other records make another ClientHello");
  for (size_t i = 0; i < again.size(); i += 1 + again.size() / 64)
    if (net::parse_client_hello(std::string_view(again).substr(0, i), other_room, other).status !=
        HelloParse::Status::need_more)
      fuzz::require("a beginning is taken for the whole, or refused");
  return 0;
}
