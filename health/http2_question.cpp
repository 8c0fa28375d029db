#include "health/http2_question.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "lb/net/http1.hpp"

namespace weir::health {

namespace {

constexpr size_t kPrefix = 5;  // not compressed; the length, of 4 bytes

/// A number of protobuf (base 128, the lowest digits first) at the front; false: there is none.
bool take_varint(std::string_view& bytes, uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (!(byte & 0x80)) return true;
  }
  return false;
}

void add_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

std::string_view find_line(std::string_view lines, std::string_view name) {
  for (size_t at = 0; at < lines.size();) {
    const size_t end = std::min(lines.find("\r\n", at), lines.size());
    const std::string_view line = lines.substr(at, end - at);
    if (line.size() > name.size() && line[name.size()] == ':' && line.starts_with(name))
      return http1::trim(line.substr(name.size() + 1));
    at = end + 2;
  }
  return {};
}

}  // namespace

std::string write_health_request(std::string_view service) {
  std::string message;
  if (!service.empty()) {
    message += '\x0a';  // field 1, of bytes
    add_varint(message, service.size());
    message += service;
  }
  std::string out(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(message.size() >> shift & 0xff);
  return out + message;
}

int read_health_response(std::string_view message) {
  if (message.size() < kPrefix || message[0] != 0) return -1;
  size_t length = 0;
  for (size_t i = 1; i < kPrefix; ++i) length = length << 8 | static_cast<uint8_t>(message[i]);
  message.remove_prefix(kPrefix);
  if (length != message.size()) return -1;
  uint64_t status = 0;  // what is not written is 0, UNKNOWN
  while (!message.empty()) {
    uint64_t key = 0, value = 0;
    if (!take_varint(message, key)) return -1;
    switch (key & 7) {
      case 0:
        if (!take_varint(message, value)) return -1;
        if (key >> 3 == 1) status = value;
        break;
      case 2:
        if (!take_varint(message, value) || value > message.size()) return -1;
        message.remove_prefix(value);
        break;
      default: return -1;
    }
  }
  return status <= 1000 ? static_cast<int>(status) : -1;
}

Http2Question::Http2Question(const Asked& asked) : session_(buffers_) {
  http2::FieldSection fields;
  fields.add(":method", asked.grpc ? "POST" : "GET");
  fields.add(":scheme", asked.tls ? "https" : "http");
  fields.add(":authority", asked.authority);
  fields.add(":path", asked.grpc ? "/grpc.health.v1.Health/Check" : std::string_view(asked.path));
  fields.add("user-agent", "weir/" WEIR_VERSION " health");
  if (asked.grpc) {
    fields.add("te", "trailers");
    fields.add("content-type", "application/grpc");
    stream_.out.append(buffers_, write_health_request(asked.service));
    stream_.out_end = true;
  } else {
    fields.add("accept", "*/*");
  }
  session_.submit(stream_, fields, asked.grpc);
}

Http2Question::~Http2Question() { stream_.release(buffers_); }

std::string Http2Question::take_output() {
  std::string all;
  for (auto piece = session_.next_output(); !piece.empty(); piece = session_.next_output()) all += piece;
  return all;
}

bool Http2Question::receive(const char* data, size_t size) {
  const bool well = session_.receive(data, size, TimePoint());
  read_answer();
  return well && !stream_.closed && session_.problem() == http2::ClientSession::Problem::none;
}

/// Heads first, then the body, in the form of HTTP/1.1.
void Http2Question::read_answer() {
  const auto keep = [this](std::string_view bytes) { body_ += bytes.substr(0, kMostBody - body_.size()); };
  if (status_) {
    keep(stream_.in.view());
  } else {
    head_ += stream_.in.view();
    for (size_t end; status_ == 0 && (end = head_.find("\r\n\r\n")) != std::string::npos; head_.erase(0, end + 4)) {
      uint16_t status = 0;
      const char* const digits = head_.data() + sizeof "HTTP/1.1 " - 1;
      std::from_chars(digits, digits + 3, status);
      if (status < 200) continue;
      status_ = status;
      const size_t fields = head_.find("\r\n") + 2;
      head_fields_ = head_.substr(fields, end + 2 - fields);
      keep(std::string_view(head_).substr(end + 4));
    }
  }
  stream_.in.release(buffers_);
  session_.consume(stream_, std::exchange(stream_.unconsumed, 0));
}

std::string Http2Question::problem() const {
  using Problem = http2::ClientSession::Problem;
  if (session_.problem() == Problem::not_http2) return "the answer is not HTTP/2";
  if (session_.problem() != Problem::none) return fmt::format("HTTP/2: {}", session_.detail());
  switch (stream_.fault) {
    case http2::StreamFault::none: return {};
    case http2::StreamFault::refused: return "HTTP/2: the request was refused";
    case http2::StreamFault::reset: return "HTTP/2: the stream was reset";
    case http2::StreamFault::malformed: return "HTTP/2: the answer is malformed";
    case http2::StreamFault::too_large: return "the answer's head is over 64 KiB";
  }
  return {};
}

std::string Http2Question::judge_grpc() const {
  static constexpr std::array<std::string_view, 4> kStates{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
  if (status_ != 200) return fmt::format("status {}, expected 200", status_);
  std::string_view status = find_line(stream_.trailers.view(), "grpc-status");
  if (status.empty()) status = find_line(head_fields_, "grpc-status");
  if (status == "5") return "grpc-status 5: it doesn't know the service";
  if (status == "12") return "grpc-status 12: it has no grpc.health.v1.Health";
  if (status != "0") return status.empty() ? "the answer has no grpc-status" : fmt::format("grpc-status {}", status);
  const int state = read_health_response(body_);
  if (state == 1) return {};
  if (state < 0 || state >= static_cast<int>(kStates.size())) return "the answer is no HealthCheckResponse";
  return fmt::format("it is {}, expected SERVING", kStates[static_cast<size_t>(state)]);
}

}  // namespace weir::health
