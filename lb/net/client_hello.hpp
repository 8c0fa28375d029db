// What a TLS client says first, read without answering it (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2, RFC 6066 §3): which
// server it wants, so that a backend can be chosen and the bytes passed on untouched. Pure; strict; bounded.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace weir::net {

/// Of what a client sends, so much at most is looked at: records with their headers.
inline constexpr size_t kMaxClientHello = 16 << 10;

struct ClientHello {
  std::string_view server_name;  // in lower case; empty: the client names none. In the room that was given
};

struct HelloParse {
  enum class Status : uint8_t { ok, need_more, error };
  Status status = Status::need_more;
  const char* detail = "";  // with error: for people
};

/// Reads a ClientHello at the beginning of `bytes`, which may be spread over several records. Its own bytes are put
/// together in `room`, of kMaxClientHello bytes at least. What can't become one is an error as soon as it is seen, and
/// so is one that is not complete within kMaxClientHello bytes.
HelloParse parse_client_hello(std::string_view bytes, std::span<char> room, ClientHello& hello);

}  // namespace weir::net
