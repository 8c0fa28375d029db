// Content codings for responses: gzip (RFC 1952) and brotli (RFC 7932) as streams, without I/O. Their memory comes from
// a pool with a bound; one a worker, used by that worker alone.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lb/base/content_coding.hpp"

namespace weir::net {

/// Lends memory to encoders and keeps what they give back for the next ones.
class EncoderMemory {
 public:
  EncoderMemory() = default;
  ~EncoderMemory() { trim(); }
  EncoderMemory(const EncoderMemory&) = delete;
  EncoderMemory& operator=(const EncoderMemory&) = delete;

  /// Null when the heap has nothing.
  void* take(size_t bytes);
  void give_back(void* memory);
  /// Frees what is kept.
  void trim();
  /// Bytes lent, and bytes kept for the next.
  size_t lent() const { return lent_; }
  size_t kept() const { return kept_; }

 private:
  static constexpr size_t kSmallest = 64, kClasses = 80;  // four sizes a doubling
  struct Block {                                          // before the memory that is lent
    union {
      Block* next;
      size_t size_class;
    };
    size_t bytes;
  };
  static size_t size_class(size_t bytes);
  static size_t class_bytes(size_t index);
  std::array<Block*, kClasses> free_{};
  size_t lent_ = 0, kept_ = 0;
};

/// One encoder at a time of one body. Begun, fed, and ended; may then be begun again.
class Encoder {
 public:
  /// What stays of a piece in the encoder: as much as it likes; nothing that the client couldn't decode at once; and
  /// nothing at all, for it was the last.
  enum class Flush : uint8_t { none, sync, finish };
  struct Step {
    size_t written;
    bool done;    // all is taken; otherwise call again with the rest, and the same flush
    bool failed;  // no memory: the body can't go on
  };
  static constexpr int kLevels = 6;                       // from 1, the fastest
  static constexpr int kBrotliLevel = 4, kGzipLevel = 4;  // docs/compression.md has the figures
  /// What an encoder holds at most, EncoderMemory's rounding included (a test measures it). The window, 2^kBrotliWindow
  /// bytes, keeps it small; four times that would make pages smaller by 1 %.
  static constexpr int kBrotliWindow = 17;
  static size_t memory(ContentCoding coding, int level);

  Encoder() = default;
  ~Encoder() { end(); }
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  /// `size`: bytes of the body, 0 if that is unknown. False: no memory. `memory` must live until end().
  bool begin(EncoderMemory& memory, ContentCoding coding, int level, uint64_t size);
  /// Takes from the front of `in` and writes up to `room` bytes.
  Step encode(std::string_view& in, Flush flush, char* out, size_t room);
  void end();
  bool begun() const { return state_ != nullptr; }

 private:
  Step encode_gzip(std::string_view& in, Flush flush, char* out, size_t room);
  Step encode_brotli(std::string_view& in, Flush flush, char* out, size_t room);

  EncoderMemory* memory_ = nullptr;
  void* state_ = nullptr;  // z_stream or BrotliEncoderState
  ContentCoding coding_ = ContentCoding::gzip;
};

}  // namespace weir::net
