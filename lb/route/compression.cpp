#include "lb/route/compression.hpp"

#include <algorithm>

namespace weir::route {

namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

/// `pattern` is in lower case.
bool same(std::string_view text, std::string_view pattern) {
  return std::equal(text.begin(), text.end(), pattern.begin(), pattern.end(),
                    [](char a, char b) { return lower(a) == b; });
}

std::string_view media_type(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.remove_suffix(1);
  return type;
}

bool matches(std::string_view pattern, std::string_view type) {
  if (pattern.starts_with('*')) {  // "*+json"
    const std::string_view suffix = pattern.substr(1);
    return type.size() > suffix.size() && same(type.substr(type.size() - suffix.size()), suffix);
  }
  if (pattern.ends_with('*')) {  // "text/*"
    const std::string_view prefix = pattern.substr(0, pattern.size() - 1);
    return type.size() > prefix.size() && same(type.substr(0, prefix.size()), prefix);
  }
  return same(type, pattern);
}

}  // namespace

bool matches_type(const std::vector<std::string>& patterns, std::string_view content_type) {
  const std::string_view type = media_type(content_type);
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return matches(pattern, type); });
}

bool is_grpc(std::string_view content_type) {
  constexpr std::string_view kGrpc = "application/grpc";
  return same(content_type.substr(0, kGrpc.size()), kGrpc);  // application/grpc-web+proto, too
}

bool is_event_stream(std::string_view content_type) { return same(media_type(content_type), "text/event-stream"); }

std::optional<CompressionSkip> unfit(const config::Compress& how, const ResponseFacts& response) {
  const uint16_t status = response.status;
  if (status < 200 || status == 204 || status == 205 || status == 206 || status == 304 || response.range)
    return CompressionSkip::status;
  if (response.encoded) return CompressionSkip::encoded;
  if (response.no_transform) return CompressionSkip::no_transform;
  if (is_grpc(response.content_type) || !matches_type(how.types, response.content_type)) return CompressionSkip::type;
  if (response.length && (*response.length == 0 || *response.length < how.min_size)) return CompressionSkip::size;
  return std::nullopt;
}

bool is_strong(std::string_view etag) { return etag.size() >= 2 && etag.front() == '"' && etag.back() == '"'; }

bool names_weak_form(std::string_view if_none_match, std::string_view strong_etag) {
  constexpr std::string_view kWeak = "W/";
  for (size_t at = 0; (at = if_none_match.find(strong_etag, at)) != if_none_match.npos; ++at)
    if (at >= kWeak.size() && if_none_match.substr(at - kWeak.size(), kWeak.size()) == kWeak) return true;
  return false;
}

}  // namespace weir::route
