#include "lb/net/encoder.hpp"

#include <brotli/encode.h>
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <new>

namespace weir::net {

// ---- memory ----

/// 64, 80, 96, 112, 128, 160 …: at most a quarter is lost.
size_t EncoderMemory::size_class(size_t bytes) {
  if (bytes <= kSmallest) return 0;
  const auto doubling = static_cast<size_t>(std::bit_width(bytes - 1)) - 1;  // bytes in (2^doubling, 2^(doubling + 1)]
  const size_t base = size_t{1} << doubling, step = base / 4;
  const size_t quarter = (bytes - base + step - 1) / step;  // 1 to 4
  return (doubling - 6) * 4 + quarter;
}

size_t EncoderMemory::class_bytes(size_t index) {
  const size_t base = kSmallest << (index / 4);
  return base + base / 4 * (index % 4);
}

void* EncoderMemory::take(size_t bytes) {
  const size_t index = size_class(bytes + sizeof(Block));
  if (index >= kClasses) return nullptr;
  const size_t whole = class_bytes(index);
  Block* block = free_[index];
  if (block) {
    free_[index] = block->next;
    kept_ -= whole;
  } else {
    block = static_cast<Block*>(std::malloc(whole));
    if (!block) return nullptr;
  }
  lent_ += whole;
  block->size_class = index;
  block->bytes = whole;
  return block + 1;
}

void EncoderMemory::give_back(void* memory) {
  if (!memory) return;
  Block* block = static_cast<Block*>(memory) - 1;
  const size_t index = block->size_class;
  lent_ -= block->bytes;
  kept_ += block->bytes;
  block->next = free_[index];
  free_[index] = block;
}

void EncoderMemory::trim() {
  for (auto& list : free_)
    while (Block* block = list) {
      list = block->next;
      std::free(block);
    }
  kept_ = 0;
}

namespace {

void* take_for_zlib(void* memory, unsigned count, unsigned size) {
  return static_cast<EncoderMemory*>(memory)->take(size_t{count} * size);
}
void* take_for_brotli(void* memory, size_t bytes) { return static_cast<EncoderMemory*>(memory)->take(bytes); }
void give_back(void* memory, void* lent) { static_cast<EncoderMemory*>(memory)->give_back(lent); }

constexpr int kGzipWrapper = 16, kGzipWindow = 15, kGzipMemory = 8;  // zlib.h: deflateInit2

constexpr size_t kGzipBytes = 352 << 10;
constexpr std::array<size_t, Encoder::kLevels> kBrotliBytes{2 << 20, 2 << 20, 2 << 20, 7 << 19, 4 << 20, 11 << 19};

}  // namespace

// ---- the encoders ----

size_t Encoder::memory(ContentCoding coding, int level) {
  if (coding == ContentCoding::gzip) return kGzipBytes;
  return kBrotliBytes[static_cast<size_t>(std::clamp(level, 1, kLevels) - 1)];
}

bool Encoder::begin(EncoderMemory& memory, ContentCoding coding, int level, uint64_t size) {
  end();
  memory_ = &memory;
  coding_ = coding;
  if (coding == ContentCoding::gzip) {
    void* room = memory.take(sizeof(z_stream));
    if (!room) return false;
    auto* stream = new (room) z_stream{};
    stream->zalloc = take_for_zlib;
    stream->zfree = give_back;
    stream->opaque = &memory;
    if (deflateInit2(stream, level, Z_DEFLATED, kGzipWindow + kGzipWrapper, kGzipMemory, Z_DEFAULT_STRATEGY) != Z_OK) {
      memory.give_back(room);
      return false;
    }
    state_ = stream;
    return true;
  }
  BrotliEncoderState* state = BrotliEncoderCreateInstance(take_for_brotli, give_back, &memory);
  if (!state) return false;
  BrotliEncoderSetParameter(state, BROTLI_PARAM_QUALITY, static_cast<uint32_t>(level));
  BrotliEncoderSetParameter(state, BROTLI_PARAM_LGWIN, kBrotliWindow);
  // Above 1 MiB the hint would choose a larger hash table.
  if (size)
    BrotliEncoderSetParameter(state, BROTLI_PARAM_SIZE_HINT, static_cast<uint32_t>(std::min<uint64_t>(size, 1 << 19)));
  state_ = state;
  return true;
}

void Encoder::end() {
  if (!state_) return;
  if (coding_ == ContentCoding::gzip) {
    deflateEnd(static_cast<z_stream*>(state_));
    memory_->give_back(state_);
  } else {
    BrotliEncoderDestroyInstance(static_cast<BrotliEncoderState*>(state_));
  }
  state_ = nullptr;
}

Encoder::Step Encoder::encode(std::string_view& in, Flush flush, char* out, size_t room) {
  return coding_ == ContentCoding::gzip ? encode_gzip(in, flush, out, room) : encode_brotli(in, flush, out, room);
}

Encoder::Step Encoder::encode_gzip(std::string_view& in, Flush flush, char* out, size_t room) {
  auto* stream = static_cast<z_stream*>(state_);
  stream->next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
  stream->avail_in = static_cast<uInt>(in.size());
  stream->next_out = reinterpret_cast<Bytef*>(out);
  stream->avail_out = static_cast<uInt>(room);
  const int how = flush == Flush::finish ? Z_FINISH : flush == Flush::sync ? Z_SYNC_FLUSH : Z_NO_FLUSH;
  const int result = deflate(stream, how);
  in.remove_prefix(in.size() - stream->avail_in);
  const size_t written = room - stream->avail_out;
  // Z_BUF_ERROR: there was nothing to do.
  if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) return {written, true, true};
  const bool done = flush == Flush::finish ? result == Z_STREAM_END : stream->avail_out > 0;
  return {written, done, false};
}

Encoder::Step Encoder::encode_brotli(std::string_view& in, Flush flush, char* out, size_t room) {
  auto* state = static_cast<BrotliEncoderState*>(state_);
  const auto* next_in = reinterpret_cast<const uint8_t*>(in.data());
  size_t left = in.size(), space = room;
  auto* next_out = reinterpret_cast<uint8_t*>(out);
  const auto how = flush == Flush::finish ? BROTLI_OPERATION_FINISH
                   : flush == Flush::sync ? BROTLI_OPERATION_FLUSH
                                          : BROTLI_OPERATION_PROCESS;
  if (!BrotliEncoderCompressStream(state, how, &left, &next_in, &space, &next_out, nullptr))
    return {room - space, true, true};
  in.remove_prefix(in.size() - left);
  const bool done =
      left == 0 && !BrotliEncoderHasMoreOutput(state) && (flush != Flush::finish || BrotliEncoderIsFinished(state));
  return {room - space, done, false};
}

}  // namespace weir::net
