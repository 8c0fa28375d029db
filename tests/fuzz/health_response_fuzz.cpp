// grpc.health.v1.HealthCheckResponse with its prefix. What is read is in bounds, fields that it doesn't know change
// nothing, the last status counts, and a length that lies is refused.
#include <string>

#include "health/http2_question.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/fuzz/http1_checks.hpp"

using namespace weir;

namespace {

std::string with_prefix(std::string_view message) {
  std::string text(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(message.size() >> shift & 0xff);
  return text.append(message);
}

int read(std::string_view text) {
  const http1::checks::Exact exact(text);
  const int status = health::read_health_response(exact.view());
  if (status < -1 || status > 1000) fuzz::require("a status out of range");
  return status;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string message(reinterpret_cast<const char*>(data), size);
  read(message);
  const int status = read(with_prefix(message));
  if (read(with_prefix(message) + "x") != -1) fuzz::require("a byte behind the message is taken");
  if (read(with_prefix(message).substr(0, 4 + size)) != -1) fuzz::require("a message that was cut is taken");
  std::string compressed = with_prefix(message);
  compressed[0] = 1;
  if (read(compressed) != -1) fuzz::require("a compressed message is taken");
  if (status == -1) return 0;
  if (read(with_prefix(message + std::string("\x12\x02xy\x18\x05", 6))) != status)
    fuzz::require("a field that it doesn't know changes the status");
  if (read(with_prefix(message + "\x08\x02")) != 2) fuzz::require("the last status doesn't count");
  return 0;
}
