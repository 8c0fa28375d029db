// Spans as OTLP has them in JSON (opentelemetry-proto, docs/specification.md#json-protobuf-encoding): ids in
// hexadecimal, 64-bit numbers as strings, enumerations as numbers. Attributes by the semantic conventions for
// HTTP, 1.23 and later.
#pragma once
#include <string>
#include <string_view>

#include "lb/net/span_queue.hpp"

namespace weir::trace {

/// What is the same for all spans of the process.
struct Resource {
  std::string service, version, host;
  int pid = 0;
};

/// Makes an ExportTraceServiceRequest: begin_batch(), append_request() for each, end_batch().
void begin_batch(const Resource& resource, std::string& out);
/// Its span and those of its tries, each behind a comma unless it is the first of the batch.
void append_request(const RequestSpan& request, std::string& out);
void end_batch(std::string& out);

/// `partialSuccess.rejectedSpans` of an ExportTraceServiceResponse; 0 if there is none.
uint64_t rejected_spans(std::string_view answer);

}  // namespace weir::trace
