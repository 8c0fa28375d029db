#include "lb/proxy/compressor.hpp"

#include <algorithm>

#include "lb/proxy/exchange.hpp"

namespace weir::proxy {

void BodyEncoder::on_timer(TimePoint) { exchange->flush_encoded(); }

Compressor::~Compressor() = default;

/// Each worker has an equal part of compress.memory.
size_t Compressor::bound() const {
  return worker_.runtime->config().compression.memory / worker_.shared.process.workers;
}

BodyEncoder* Compressor::begin(Exchange& exchange, const config::Compress& how, ContentCoding coding,
                               std::optional<uint64_t> size) {
  const bool brotli = coding == ContentCoding::br;
  const int own = brotli ? net::Encoder::kBrotliLevel : net::Encoder::kGzipLevel;
  const int level = how.level ? static_cast<int>(how.level) : own;
  const size_t needed = net::Encoder::memory(coding, level);
  if (reserved_ + needed > bound()) return nullptr;
  // What is kept for the next ones counts too; blocks of other sizes may be among it.
  if (memory_.lent() + memory_.kept() + needed > bound()) memory_.trim();
  if (free_.empty()) free_.push_back(std::make_unique<BodyEncoder>());
  if (!free_.back()->encoder.begin(memory_, coding, level, size.value_or(0))) return nullptr;
  BodyEncoder* encoder = free_.back().release();
  free_.pop_back();
  encoder->exchange = &exchange;
  encoder->coding = coding;
  encoder->reserved = needed;
  encoder->each_piece = encoder->paused = false;
  reserved_ += needed;
  worker_.cells.encoder_bytes.store(reserved_, std::memory_order_relaxed);
  return encoder;
}

void Compressor::end(BodyEncoder* encoder) {
  if (encoder->paused) std::erase(waiting_, encoder);
  encoder->cancel();
  encoder->encoder.end();
  encoder->exchange = nullptr;
  reserved_ -= encoder->reserved;
  worker_.cells.encoder_bytes.store(reserved_, std::memory_order_relaxed);
  std::unique_ptr<BodyEncoder> owned(encoder);
  if (free_.size() < kFree) free_.push_back(std::move(owned));
}

bool Compressor::used_up() {
  return share_.used_up(monotonic_now(), worker_.runtime->config().compression.cpu_percent);
}

net::Encoder::Step Compressor::encode(BodyEncoder& encoder, std::string_view& in, net::Encoder::Flush flush) {
  const size_t before = in.size();
  const TimePoint began = monotonic_now();
  const auto step = encoder.encoder.encode(in, flush, output_.get(), kOutput);
  const TimePoint ended = monotonic_now();
  share_.take(ended, worker_.runtime->config().compression.cpu_percent, ended - began);
  worker_.cells.compress_ns.add(static_cast<uint64_t>((ended - began).count()));
  worker_.cells.compress_in.add(before - in.size());
  worker_.cells.compress_out.add(step.written);
  return step;
}

void Compressor::pause(BodyEncoder& encoder) {
  encoder.paused = true;
  waiting_.push_back(&encoder);
  if (!armed()) worker_.wheel.arm(*this, worker_.now);  // at the next tick
}

void Compressor::on_timer(TimePoint now) {
  while (!waiting_.empty() && !used_up()) {
    BodyEncoder* next = waiting_.front();
    waiting_.erase(waiting_.begin());
    next->paused = false;
    next->exchange->resume_encoding();
  }
  if (!waiting_.empty()) worker_.wheel.arm(*this, now);
}

void Compressor::trim() { memory_.trim(); }

}  // namespace weir::proxy
