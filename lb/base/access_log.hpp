// The access log: workers put a record into a ring of their own, one writer thread formats and writes. A full ring
// drops and counts, never blocks.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lb/base/access_fields.hpp"
#include "lb/base/cause.hpp"

namespace weir {

/// One finished request. The views need to live only until write() returns.
struct AccessRecord {
  int64_t wall_ns = 0;                          // when the first byte of the request came
  uint64_t duration_us = 0;                     // until the last byte of the answer was handed to the kernel
  uint64_t upstream_us = 0;                     // first byte sent to the backend → response head; 0: none
  uint64_t bytes_received = 0, bytes_sent = 0;  // downstream, heads included
  uint16_t status = 0, upstream_status = 0;
  uint8_t attempts = 0;
  static constexpr uint8_t kTcp = 255;  // in place of a version: a session of mode: tcp
  uint8_t minor = 1;
  static constexpr uint8_t kNoGrpc = 255;
  uint8_t grpc_status = kNoGrpc;
  Cause cause = Cause::none;
  std::string_view client, user, method, target, host, user_agent, referer, request_id;
  std::string_view listener, route, pool, backend;  // empty: none
  std::string_view trace_id, span_id, path, query;
  std::span<const std::string_view> headers;  // of the log's header fields, in their order; may be fewer
};

enum class AccessFormat { json, combined };

class AccessLog {
 public:
  struct Settings {
    std::string path;  // a file (opened for append), or "stdout"
    AccessFormat format = AccessFormat::json;
    std::vector<LogFieldUse> fields = {};  // of a JSON line; empty: the default ones
    size_t workers = 1;
    size_t ring_bytes = 1 << 20;  // a worker
    bool operator==(const Settings&) const = default;
  };
  /// Opens the file (see LogOutput) and starts the writer thread; throws std::system_error with the path if it can't.
  explicit AccessLog(const Settings& settings);
  /// Writes what the rings hold, then ends the writer; gives up after 2 s if the output takes nothing.
  ~AccessLog();
  /// Begins what the destructor does, without waiting for it; no write() may follow. Any thread.
  void begin_ending();
  /// The writer has ended: the destructor will not wait.
  bool ended() const;

  /// Worker `worker` only. False: the ring was full and the record is lost (the caller counts it). No system call, no
  /// allocation; wakes no one.
  bool write(size_t worker, const AccessRecord& record) noexcept;
  /// The fields among `Settings::fields` that are headers, in their order.
  const std::vector<LogFieldUse>& headers() const;
  bool wants_response_headers() const;
  uint64_t serial() const;  // no other log of this process has it

  /// Opens the path again (log rotation); any thread. Nothing is lost: what the writer has not yet written goes to the
  /// new file. If that fails the old file stays in use, an event says why, and so does what is returned (else empty).
  /// Nothing to do for stdout.
  std::string reopen();
  /// How often the writer has taken a file that reopen() opened; any thread. From then on the old one gets nothing.
  uint64_t openings() const;
  const std::string& path() const;
  /// Lines that were taken from the rings but could not be written (disk full, reader gone); any thread.
  uint64_t lost_lines() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Writes JSON lines of some fields.
class JsonLine {
 public:
  explicit JsonLine(const std::vector<LogFieldUse>& fields);
  /// One line with its newline, appended to `out`. Strings are cut at 8 KiB; control bytes, DEL, quotes and invalid
  /// UTF-8 are escaped (C8).
  void format(const AccessRecord& record, std::string& out) const;

 private:
  struct Part {
    std::string before;  // `","method":"`: with the quote that ends the text before, and the one that begins this
    LogField field;
    size_t header;  // which of AccessRecord::headers
  };
  std::vector<Part> parts_;
  std::string end_;
};
/// NCSA combined, as Apache and nginx write it, escaped likewise; times in UTC, bytes with the head (Apache's %O).
void format_combined(const AccessRecord& record, std::string& out);

}  // namespace weir
