#include "lb/route/pattern.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "lb/route/hex.hpp"

namespace weir::route {
namespace {

/// Eight bytes with A–Z made a–z. A byte's top bit of (x + 0x80 − 'A') tells x ≥ 'A' for x < 0x80; bytes from 0x80 on
/// stay.
uint64_t lower_word(uint64_t word) {
  constexpr uint64_t ones = 0x0101010101010101ull;
  const uint64_t low = word & (0x7f * ones);
  const uint64_t from_a = low + (0x80 - 'A') * ones, after_z = low + (0x80 - 'Z' - 1) * ones;
  return word | ((from_a & ~after_z & ~word & (0x80 * ones)) >> 2);
}

bool unreserved(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

std::string normalise(std::string_view text) {
  constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  const auto escape = [&](unsigned char c) {
    out += '%';
    out += digits[c >> 4];
    out += digits[c & 15];
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const int high = c == '%' && i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_value(text[i + 2]) : -1;
    if (low >= 0) {
      const auto byte = static_cast<unsigned char>(high * 16 + low);
      if (unreserved(byte)) {
        out += static_cast<char>(byte);
      } else {
        escape(byte);
      }
      i += 2;
    } else if (c <= ' ' || c >= 0x7f) {
      escape(c);
    } else {
      out += static_cast<char>(c);
    }
  }
  return out;
}

bool is_wild(std::string_view segment) { return segment.size() > 2 && segment.front() == '{' && segment.back() == '}'; }

}  // namespace

FoldedHost::FoldedHost(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.empty() || host.size() > kMaxHost) return;
  size_ = host.size();
  std::memcpy(buffer_, host.data(), size_);
  std::memset(buffer_ + size_, 0, 8);
  for (size_t i = 0; i < size_; i += 8) {
    uint64_t word;
    std::memcpy(&word, buffer_ + i, 8);
    word = lower_word(word);
    std::memcpy(buffer_ + i, &word, 8);
  }
}

HostPattern::HostPattern(std::string_view text) : kind_(Kind::exact) {
  if (text == "*") {
    kind_ = Kind::any;
    return;
  }
  if (text.starts_with("*.")) {
    kind_ = Kind::below;
    text.remove_prefix(2);
  }
  name_ = FoldedHost(text).view();
}

bool HostPattern::matches(std::string_view host) const {
  if (kind_ == Kind::any) return true;
  if (name_.empty()) return false;
  if (kind_ == Kind::exact) return host == name_;
  return host.size() > name_.size() + 1 && host.ends_with(name_) && host[host.size() - name_.size() - 1] == '.';
}

bool HostPattern::covers(const HostPattern& other) const {
  if (kind_ == Kind::any) return true;
  if (other.kind_ == Kind::any || other.name_.empty()) return false;
  if (other.kind_ == Kind::exact) return matches(other.name_);
  return kind_ == Kind::below && (other.name_ == name_ || matches(other.name_));
}

PathPattern::PathPattern(std::string_view raw) {
  const std::string normalised = normalise(raw);
  std::string_view text = normalised;
  if (text.empty() || text == "*") return;
  if (text[0] != '/') {
    kind_ = Kind::odd;
    tail_ = text;
    return;
  }
  if (text.ends_with("/*")) {
    kind_ = Kind::below;
    text.remove_suffix(2);
  } else if (text.ends_with('*')) {
    kind_ = Kind::prefix;
    const size_t slash = text.rfind('/');
    tail_ = text.substr(slash + 1, text.size() - slash - 2);
    text = text.substr(0, slash);
  } else {
    kind_ = Kind::exact;
  }
  while (!text.empty()) {  // text begins with a slash
    const size_t end = std::min(text.find('/', 1), text.size());
    const auto segment = text.substr(1, end - 1);
    segments_.push_back({std::string(segment), is_wild(segment)});
    text.remove_prefix(end);
  }
}

bool PathPattern::matches(std::string_view path) const {
  if (kind_ == Kind::any) return true;
  if (kind_ == Kind::odd) {
    const std::string_view tail = tail_;
    return tail.ends_with('*') ? path.starts_with(tail.substr(0, tail.size() - 1)) : path == tail;
  }
  for (const auto& segment : segments_) {
    if (!path.starts_with('/')) return false;
    path.remove_prefix(1);
    const auto actual = path.substr(0, path.find('/'));
    if (segment.wild ? actual.empty() : actual != segment.text) return false;
    path.remove_prefix(actual.size());
  }
  if (kind_ == Kind::exact) return path.empty();
  if (kind_ == Kind::below) return path.empty() || path[0] == '/';
  return path.starts_with('/') && path.substr(1).starts_with(tail_);
}

bool PathPattern::segments_cover(const PathPattern& other, size_t count) const {
  for (size_t i = 0; i < count; ++i)
    if (!segments_[i].covers(other.segments_[i])) return false;
  return true;
}

bool PathPattern::covers(const PathPattern& other) const {
  if (kind_ == Kind::any) return true;
  if (other.kind_ == Kind::any) return false;
  if (kind_ == Kind::odd || other.kind_ == Kind::odd) return kind_ == other.kind_ && tail_ == other.tail_;
  switch (kind_) {
    case Kind::exact:
      return other.kind_ == Kind::exact && segments_.size() == other.segments_.size() &&
             segments_cover(other, segments_.size());
    case Kind::below: return below_covers(other);
    default: return prefix_covers(other);
  }
}

bool PathPattern::below_covers(const PathPattern& other) const {
  const size_t own = segments_.size(), count = other.segments_.size();
  if (count >= own) return segments_cover(other, own);
  // /{x}/* covers /a*: whatever begins with "a" is a segment.
  return other.kind_ == Kind::prefix && count + 1 == own && segments_[count].wild && segments_cover(other, count);
}

bool PathPattern::prefix_covers(const PathPattern& other) const {
  const size_t own = segments_.size(), count = other.segments_.size();
  if (count < own || !segments_cover(other, own)) return false;
  if (count == own) return other.kind_ == Kind::prefix && other.tail_.starts_with(tail_);
  return !other.segments_[own].wild && other.segments_[own].text.starts_with(tail_);
}

std::vector<PathPattern> PathPattern::parts() const {
  std::vector<PathPattern> parts;
  if (kind_ != Kind::below) return parts;
  std::vector<Segment> longer = segments_;
  if (!segments_.empty()) parts.push_back({Kind::exact, segments_});
  longer.push_back({"", false});
  parts.push_back({Kind::exact, longer});
  longer.back().wild = true;
  parts.push_back({Kind::below, std::move(longer)});
  return parts;
}

std::string PathPattern::example() const {
  std::string path;
  if (kind_ == Kind::any) return "*";
  if (kind_ == Kind::odd) return tail_.ends_with('*') ? tail_.substr(0, tail_.size() - 1) : tail_;
  for (const auto& segment : segments_) path += '/' + (segment.wild ? "x" : segment.text);
  if (kind_ == Kind::prefix) path += '/' + tail_;
  if (path.empty()) path = "/";
  return path;
}

}  // namespace weir::route
