// The question of a check over HTTP/2, without I/O: a GET, or gRPC's own question (grpc.health.v1).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "lb/net/http2_client_session.hpp"

namespace weir::health {

class Http2Question {
 public:
  struct Asked {
    bool grpc = false;
    bool tls = false;
    std::string authority, path;  // of a GET
    std::string service;          // of gRPC; empty: the server as a whole
  };
  /// Of a body that is kept.
  static constexpr size_t kMostBody = 64 << 10;

  explicit Http2Question(const Asked& asked);
  ~Http2Question();
  /// Takes what has come. False: nothing more is to be had, see problem().
  bool receive(const char* data, size_t size);
  /// Bytes to be sent; empty: none now.
  std::string take_output();

  bool greeted() const { return session_.greeted(); }
  uint16_t status() const { return status_; }  // of the final answer; 0: it is not here yet
  bool complete() const { return stream_.ended; }
  const std::string& body() const { return body_; }
  /// Why there is no answer, for people; empty: there is one, or it may still come.
  std::string problem() const;
  /// What is wrong with gRPC's answer once it is complete; empty: SERVING.
  std::string judge_grpc() const;

 private:
  void read_answer();

  net::BufferPool buffers_;
  http2::ClientSession session_;
  http2::ClientStream stream_;
  std::string head_, body_;
  uint16_t status_ = 0;
  std::string head_fields_;  // of the final head, lines
};

/// grpc.health.v1.HealthCheckRequest, as a message of gRPC.
std::string write_health_request(std::string_view service);
/// The `status` of a HealthCheckResponse, which is `message` with gRPC's prefix; -1: it is none.
int read_health_response(std::string_view message);

}  // namespace weir::health
