#include "lb/net/tls_names.hpp"

namespace weir::net {

namespace {

constexpr size_t kLongestName = 255;

std::string folded(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
  std::string text(name);
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  return text;
}

}  // namespace

bool TlsNames::add(std::string_view name, uint32_t certificate) {
  const std::string text = folded(name);
  if (text.starts_with("*.")) return wildcard_.emplace(text.substr(2), certificate).second;
  return exact_.emplace(text, certificate).second;
}

uint32_t TlsNames::find(std::string_view host) const {
  if (host.empty() || host.size() > kLongestName) return kNone;
  const std::string text = folded(host);
  if (const auto found = exact_.find(text); found != exact_.end()) return found->second;
  const size_t dot = text.find('.');
  if (dot == std::string::npos || dot == 0) return kNone;
  const auto found = wildcard_.find(text.substr(dot + 1));
  return found == wildcard_.end() ? kNone : found->second;
}

bool TlsNames::covers(std::string_view name, std::string_view host) {
  TlsNames one;
  one.add(name, 0);
  return one.find(host) == 0;
}

}  // namespace weir::net
