// The command line's side of the admin API: one blocking request after the other.
#pragma once
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace weir::admin {

inline constexpr std::string_view kDefaultSocket = "/run/weir/admin.sock";

/// Where an admin API is, and how to get in.
struct Target {
  bool is_unix = true;
  std::string path;        // of the unix socket
  std::string host, port;  // of a TCP listener
  std::string token;       // empty: none is sent
  /// "/run/weir/admin.sock" or "http://127.0.0.1:9901", for people.
  std::string shown() const;
};

/// What went wrong, in one line that says what to do next.
struct ClientError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// "/path", "unix:/path", "http://HOST:PORT" or "HOST:PORT" ("[::1]:9901"). Throws ClientError.
Target parse_target(std::string_view text);

/// The token in a file, without the blanks around it. Throws ClientError.
std::string read_token(const std::string& path);

struct ClientReply {
  uint16_t status = 0;
  std::string content_type, body;
};

/// Keeps its connection from one request to the next.
class Client {
 public:
  static constexpr std::chrono::seconds kTimeout{30};  // for each step of a request

  explicit Client(Target target) : target_(std::move(target)) {}
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Any answer, of whatever status. Throws ClientError when there is none.
  ClientReply request(std::string_view method, std::string_view path);
  /// For requests to come, in place of kTimeout. Throws ClientError.
  void wait_for_answers(std::chrono::seconds limit);
  const Target& target() const { return target_; }

 private:
  void connect();
  void close();
  ClientReply exchange(std::string_view method, std::string_view path);

  const Target target_;
  std::string host_;  // the Host field: a number, for a name would be taken for DNS rebinding (access.hpp)
  int fd_ = -1;
};

}  // namespace weir::admin
