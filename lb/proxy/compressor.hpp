// Encoders of a worker: their memory, their share of its time, and those that wait for it.
#pragma once
#include <memory>
#include <vector>

#include "config/model.hpp"
#include "lb/base/timer_wheel.hpp"
#include "lb/net/encoder.hpp"
#include "lb/proxy/head_writer.hpp"
#include "lb/route/compression.hpp"

namespace weir::proxy {

class Exchange;
class Worker;

/// Encodes the body of one response. What it has taken is with the client 100 to 200 ms later at the latest.
class BodyEncoder final : public Timer {
 public:
  net::Encoder encoder;
  Exchange* exchange = nullptr;
  ContentCoding coding{};
  size_t reserved = 0;      // bytes of compress.memory
  bool each_piece = false;  // an event stream: what comes goes on at once
  bool paused = false;      // until there is time again

 private:
  void on_timer(TimePoint now) override;
};

class Compressor final : private Timer {
 public:
  static constexpr size_t kOutput = 32 << 10;
  /// What is read of a body at once, so that others get a turn between.
  static constexpr uint32_t kReadBytes = 64 << 10;

  explicit Compressor(Worker& worker) : worker_(worker) {}
  ~Compressor() override;

  /// Null: compress.memory is used up.
  BodyEncoder* begin(Exchange& exchange, const config::Compress& how, ContentCoding coding,
                     std::optional<uint64_t> size);
  void end(BodyEncoder* encoder);
  /// compress.cpu: no further response may begin to be compressed, and those that are have to wait.
  bool used_up();
  /// Encodes into `output`; the time is counted.
  net::Encoder::Step encode(BodyEncoder& encoder, std::string_view& in, net::Encoder::Flush flush);
  char* output() { return output_.get(); }
  /// Its exchange reads on when there is time again, in the order of those that wait.
  void pause(BodyEncoder& encoder);
  /// Frees what no encoder has in use.
  void trim();

  CompressionFields fields;  // of the head that is being written

 private:
  static constexpr size_t kFree = 64;  // encoders kept without memory
  void on_timer(TimePoint now) override;
  size_t bound() const;

  Worker& worker_;
  net::EncoderMemory memory_;
  route::TimeShare share_;
  std::vector<std::unique_ptr<BodyEncoder>> free_;
  std::vector<BodyEncoder*> waiting_;  // the first since the longest time
  std::unique_ptr<char[]> output_ = std::make_unique<char[]>(kOutput);
  size_t reserved_ = 0;
};

}  // namespace weir::proxy
