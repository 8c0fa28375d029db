#include "lb/net/client_hello.hpp"

#include <algorithm>
#include <cstring>

namespace weir::net {

namespace {

using Status = HelloParse::Status;

constexpr uint8_t kHandshake = 22, kAlert = 21;  // kinds of records
constexpr uint8_t kClientHello = 1;
constexpr uint16_t kServerName = 0;  // an extension
constexpr size_t kRecordHeader = 5, kMessageHeader = 4, kMostRecord = 1 << 14, kMostName = 253;

HelloParse broken(const char* detail) { return {Status::error, detail}; }

/// A cursor over bytes; what goes beyond them makes it fail, and yields zeros from then on.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : rest_(bytes) {}
  bool failed() const { return failed_; }
  bool at_end() const { return rest_.empty(); }
  uint32_t number(size_t bytes) {
    uint32_t value = 0;
    for (const char byte : take(bytes)) value = value << 8 | static_cast<uint8_t>(byte);
    return value;
  }
  std::string_view take(size_t bytes) {
    if (bytes > rest_.size()) {
      failed_ = true;
      rest_ = {};
      return {};
    }
    const std::string_view taken = rest_.substr(0, bytes);
    rest_.remove_prefix(bytes);
    return taken;
  }
  /// What stands behind its own length of so many bytes.
  std::string_view vector(size_t length_bytes) { return take(number(length_bytes)); }

 private:
  std::string_view rest_;
  bool failed_ = false;
};

/// Puts the payload of the records together. `ok`: `message` is as long as its header says.
HelloParse join_records(std::string_view bytes, std::span<char> room, std::string_view& message) {
  size_t joined = 0, wanted = 0;
  for (size_t at = 0;;) {
    const std::string_view rest = bytes.substr(at);
    if (rest.empty()) return {};
    const auto kind = static_cast<uint8_t>(rest[0]);
    if (kind != kHandshake) return broken(kind == kAlert ? "a TLS alert came first" : "what came first is not TLS");
    if (rest.size() > 1 && rest[1] != 3) return broken("what came first is not TLS, or older than SSL 3");
    if (rest.size() > 2 && static_cast<uint8_t>(rest[2]) > 4) return broken("a record of an unknown version");
    if (rest.size() < kRecordHeader) return {};
    const size_t length = static_cast<size_t>(static_cast<uint8_t>(rest[3])) << 8 | static_cast<uint8_t>(rest[4]);
    if (length == 0 || length > kMostRecord) return broken("a record is empty, or longer than TLS allows");
    const std::string_view payload = rest.substr(kRecordHeader, std::min(length, room.size() - joined));
    std::memcpy(room.data() + joined, payload.data(), payload.size());
    joined += payload.size();
    if (joined && static_cast<uint8_t>(room[0]) != kClientHello) return broken("the first message is no ClientHello");
    if (!wanted && joined >= kMessageHeader) {
      Cursor header({room.data() + 1, kMessageHeader - 1});
      wanted = kMessageHeader + header.number(3);
      if (wanted > room.size()) return broken("the ClientHello is longer than 16 KiB");
    }
    if (wanted && joined >= wanted) {
      message = {room.data(), wanted};
      // Records end with messages before an answer (RFC 8446 §5.1): nothing may stand behind it in its record.
      if (joined > wanted || payload.size() < length) return broken("something stands behind the ClientHello");
      return {Status::ok};
    }
    if (payload.size() < length) return {};
    at += kRecordHeader + length;
  }
}

/// A host name as in DNS; made lower case where it stands.
bool take_name(std::string_view name) {
  if (name.empty() || name.size() > kMostName || name.front() == '.' || name.back() == '.') return false;
  char* at = const_cast<char*>(name.data());  // in the room, which is ours
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = at[i];
    if (c >= 'A' && c <= 'Z') at[i] = static_cast<char>(c | 0x20);
    const bool allowed = (at[i] >= 'a' && at[i] <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
    if (!allowed || (c == '.' && at[i - 1] == '.')) return false;
  }
  return true;
}

HelloParse take_server_name(std::string_view extension, ClientHello& hello) {
  Cursor outer(extension);
  Cursor list(outer.vector(2));
  if (outer.failed() || !outer.at_end() || list.at_end()) return broken("the server's name is not in order");
  if (list.number(1) != 0) return broken("the server's name is of an unknown kind");
  const std::string_view name = list.vector(2);
  if (list.failed() || !list.at_end()) return broken("the server's name is not in order, or not the only one");
  if (!take_name(name)) return broken("the server's name is no name of a host");
  hello.server_name = name;
  return {Status::ok};
}

HelloParse take_extensions(std::string_view extensions, ClientHello& hello) {
  bool named = false;
  for (Cursor cursor(extensions); !cursor.at_end();) {
    const uint32_t type = cursor.number(2);
    const std::string_view value = cursor.vector(2);
    if (cursor.failed()) return broken("an extension is cut off");
    if (type != kServerName) continue;
    if (named) return broken("the server is named twice");
    named = true;
    if (const auto result = take_server_name(value, hello); result.status != Status::ok) return result;
  }
  return {Status::ok};
}

}  // namespace

HelloParse parse_client_hello(std::string_view bytes, std::span<char> room, ClientHello& hello) {
  hello = {};
  const bool all = bytes.size() >= kMaxClientHello;
  std::string_view message;
  const auto joined = join_records(bytes.substr(0, kMaxClientHello), room.first(kMaxClientHello), message);
  if (joined.status == Status::need_more && all) return broken("the ClientHello is longer than 16 KiB");
  if (joined.status != Status::ok) return joined;
  Cursor cursor(message.substr(kMessageHeader));
  if (cursor.number(1) != 3) return broken("the ClientHello is of an unknown version");
  cursor.take(1 + 32);  // minor version, random
  const std::string_view session = cursor.vector(1), ciphers = cursor.vector(2), compression = cursor.vector(1);
  if (cursor.failed() || session.size() > 32 || ciphers.size() < 2 || ciphers.size() % 2 || compression.empty())
    return broken("the ClientHello is not in order");
  if (cursor.at_end()) return {Status::ok};  // without extensions, as before TLS 1.2
  const std::string_view extensions = cursor.vector(2);
  if (cursor.failed() || !cursor.at_end()) return broken("the extensions are not as long as they say");
  return take_extensions(extensions, hello);
}

}  // namespace weir::net
