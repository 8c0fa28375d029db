// The chunked coding (RFC 9112 §7.1), byte by byte outside the data: a state holds all that is known, so any split
// gives the same answer.
#include <algorithm>

#include "lb/net/http1.hpp"
#include "lb/net/http1_scan.hpp"

namespace weir::http1 {

using namespace detail;

enum class ChunkDecoder::State : uint8_t {
  size,  // the first: ChunkDecoder starts with State{}
  extension_name_start,
  extension_name,
  extension_after_name,  // ; BWS name BWS
  extension_value_start,
  extension_token,
  extension_quoted,
  extension_quoted_end,
  extension_escape,
  extension_after_value,  // = BWS value BWS
  size_lf,
  data,
  data_cr,
  data_lf,
  trailer_start,
  trailer_name,
  trailer_value,
  trailer_lf,
  end_lf,
  done,
  failed,
};

const char* ChunkDecoder::fail(Cause cause, const char* detail, const char* at) {
  state_ = State::failed;
  cause_ = cause;
  detail_ = detail;
  return at;
}

// Digits, then CR or ";" (A7: no blanks before them, although BWS would allow some).
const char* ChunkDecoder::take_size_line(const char* p, const char* end) {
  for (; p < end; ++p) {
    const int digit = hex_value(*p);
    if (digit >= 0) {
      if (digits_ == 16) return fail(Cause::bad_framing, "chunk size of more than 16 digits", p);
      remaining_ = remaining_ << 4 | static_cast<unsigned>(digit);
      ++digits_;
      continue;
    }
    if (digits_ == 0) return fail(Cause::bad_framing, "no chunk size", p);
    if (remaining_ > INT64_MAX) return fail(Cause::bad_framing, "chunk size of 2^63 or more", p);
    if (*p != '\r' && *p != ';') return fail(Cause::bad_framing, "byte in a chunk size that is not allowed there", p);
    if (*p == ';') ++extension_bytes_;
    state_ = *p == '\r' ? State::size_lf : State::extension_name_start;
    return p + 1;
  }
  return p;
}

// chunk-ext of RFC 9112 §7.1.1: checked and dropped (A8).
const char* ChunkDecoder::take_extension(const char* p, const char* end) {
  constexpr const char* kBad = "bad chunk extension";
  for (; p < end; ++p) {
    const char c = *p;
    const bool ends_element = c == ';' || c == '\r';
    if (c != '\r' && ++extension_bytes_ > limits_.extension_bytes)
      return fail(Cause::bad_framing, "chunk extensions too long", p);
    State next = State::failed;
    switch (state_) {
      case State::extension_name_start:
        if (is_token_byte(c)) next = State::extension_name;
        if (is_blank(c)) next = state_;
        break;
      case State::extension_name:
        if (is_token_byte(c)) next = state_;
        if (is_blank(c)) next = State::extension_after_name;
        if (c == '=') next = State::extension_value_start;
        if (ends_element) next = c == ';' ? State::extension_name_start : State::size_lf;
        break;
      case State::extension_after_name:
        if (is_blank(c)) next = state_;
        if (c == '=') next = State::extension_value_start;
        if (c == ';') next = State::extension_name_start;
        break;
      case State::extension_value_start:
        if (is_blank(c)) next = state_;
        if (c == '"') next = State::extension_quoted;
        if (is_token_byte(c)) next = State::extension_token;
        break;
      case State::extension_token:
      case State::extension_quoted_end:
        if (is_token_byte(c) && state_ == State::extension_token) next = state_;
        if (is_blank(c)) next = State::extension_after_value;
        if (ends_element) next = c == ';' ? State::extension_name_start : State::size_lf;
        break;
      case State::extension_quoted:
        if (is_value_byte(c)) next = state_;
        if (c == '\\') next = State::extension_escape;
        if (c == '"') next = State::extension_quoted_end;
        break;
      case State::extension_escape:
        if (is_value_byte(c)) next = State::extension_quoted;
        break;
      default:  // extension_after_value: blanks are for another extension alone
        if (is_blank(c)) next = state_;
        if (c == ';') next = State::extension_name_start;
        break;
    }
    if (next == State::failed) return fail(Cause::bad_framing, kBad, p);
    state_ = next;
    if (next == State::size_lf) return p + 1;
  }
  return p;
}

// Field lines like those of a head (A5, A6), checked and dropped (A9).
const char* ChunkDecoder::take_trailers(const char* p, const char* end) {
  for (; p < end; ++p) {
    const char c = *p;
    if (state_ == State::end_lf) {
      if (c != '\n') return fail(Cause::bad_framing, "bare CR after the last chunk", p);
      state_ = State::done;
      return p + 1;
    }
    if (state_ == State::trailer_start && c == '\r') {
      state_ = State::end_lf;
      continue;
    }
    if (++trailer_bytes_ > limits_.trailer_bytes) return fail(Cause::header_too_large, "trailers too long", p);
    switch (state_) {
      case State::trailer_start:
        if (!is_token_byte(c)) return fail(Cause::bad_framing, "bad trailer name", p);
        if (++trailers_ > limits_.trailers) return fail(Cause::header_too_large, "too many trailers", p);
        state_ = State::trailer_name;
        break;
      case State::trailer_name:
        if (c == ':')
          state_ = State::trailer_value;
        else if (!is_token_byte(c))
          return fail(Cause::bad_framing, "bad trailer name", p);
        break;
      case State::trailer_value:
        if (c == '\r')
          state_ = State::trailer_lf;
        else if (!is_value_byte(c))
          return fail(Cause::bad_framing, "control byte or bare LF in a trailer", p);
        break;
      default:  // trailer_lf
        if (c != '\n') return fail(Cause::bad_framing, "bare CR in a trailer", p);
        state_ = State::trailer_start;
        break;
    }
  }
  return p;
}

ChunkDecoder::Step ChunkDecoder::next(std::string_view input) {
  const char* const begin = input.data();
  const char* const end = begin + input.size();
  const char* p = begin;
  auto step = [&](Status status, std::string_view data = {}) {
    return Step{status, static_cast<size_t>(p - begin), data};
  };
  while (true) {
    if (state_ == State::done) return step(Status::done);
    if (state_ == State::failed) return step(Status::error);
    if (p == end) return step(Status::need_more);
    switch (state_) {
      case State::size: p = take_size_line(p, end); break;
      case State::size_lf:
        if (*p != '\n') {
          p = fail(Cause::bad_framing, "bare CR after a chunk size", p);
          break;
        }
        ++p;
        digits_ = 0;
        state_ = remaining_ == 0 ? State::trailer_start : State::data;
        break;
      case State::data: {
        const size_t length = std::min<uint64_t>(remaining_, static_cast<uint64_t>(end - p));
        const std::string_view piece{p, length};
        remaining_ -= length;
        p += length;
        if (remaining_ == 0) state_ = State::data_cr;
        return step(Status::data, piece);
      }
      case State::data_cr:
        if (*p == '\r')
          ++p, state_ = State::data_lf;
        else
          p = fail(Cause::bad_framing, "no CRLF after the data of a chunk", p);
        break;
      case State::data_lf:
        if (*p == '\n')
          ++p, state_ = State::size;
        else
          p = fail(Cause::bad_framing, "no CRLF after the data of a chunk", p);
        break;
      case State::trailer_start:
      case State::trailer_name:
      case State::trailer_value:
      case State::trailer_lf:
      case State::end_lf: p = take_trailers(p, end); break;
      default: p = take_extension(p, end); break;
    }
  }
}

}  // namespace weir::http1
