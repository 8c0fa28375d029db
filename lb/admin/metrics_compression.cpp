// Metrics of compression; all are there even where no route has it.
#include "lb/admin/family_writer.hpp"

namespace weir::admin {

namespace {

uint64_t sum(const ProcessState& process, const Counter& (*cell)(const WorkerCells&, size_t), size_t index) {
  uint64_t total = 0;
  for (const auto& worker : process.cells) total += cell(worker, index).get();
  return total;
}

}  // namespace

void collect_compression(const ProcessState& process, std::vector<MetricFamily>& families) {
  FamilyWriter responses("weir_compressed_responses_total", "Responses that were compressed.", MetricType::Counter);
  for (size_t i = 0; i < kContentCodings.size(); ++i)
    responses.add(
        {{"encoding", to_string(kContentCodings[i])}},
        sum(
            process, [](const WorkerCells& cells, size_t at) -> const Counter& { return cells.compressed[at]; }, i));
  responses.move_to(families);
  FamilyWriter skipped("weir_compression_skipped_total",
                       "Responses of routes with compress that went out as they came, by why.", MetricType::Counter);
  for (size_t i = 0; i < kCompressionSkips; ++i)
    skipped.add(
        {{"reason", to_string(static_cast<CompressionSkip>(i))}},
        sum(
            process, [](const WorkerCells& cells, size_t at) -> const Counter& { return cells.compress_skipped[at]; },
            i));
  skipped.move_to(families);
  uint64_t in = 0, out = 0, nanoseconds = 0, reserved = 0;
  for (const auto& worker : process.cells) {
    in += worker.compress_in.get();
    out += worker.compress_out.get();
    nanoseconds += worker.compress_ns.get();
    reserved += worker.encoder_bytes.load(std::memory_order_relaxed);
  }
  const auto single = [&](const char* name, const char* help, MetricType type, double value) {
    FamilyWriter family(name, help, type);
    family.add({}, value);
    family.move_to(families);
  };
  single("weir_compression_in_bytes_total", "Bytes of bodies that were compressed.", MetricType::Counter,
         static_cast<double>(in));
  single("weir_compression_out_bytes_total", "Bytes that these bodies have become.", MetricType::Counter,
         static_cast<double>(out));
  single("weir_compression_seconds_total", "Time of the workers spent on compressing.", MetricType::Counter,
         static_cast<double>(nanoseconds) / 1e9);
  single("weir_compression_memory_bytes", "Part of compress.memory that is in use.", MetricType::Gauge,
         static_cast<double>(reserved));
}

}  // namespace weir::admin
