// The dashboard's files, embedded from lb/admin/dashboard/ by CMake.
#pragma once
#include <span>
#include <string_view>

namespace weir::admin {

struct Asset {
  std::string_view path, content_type, content;
};

/// In no order; index.html stands under "/".
std::span<const Asset> assets();

/// Null if there is none. They hold nothing secret: whoever reaches the listener may have them, or nobody could log in.
inline const Asset* find_asset(std::string_view path) {
  for (const auto& asset : assets())
    if (asset.path == path) return &asset;
  return nullptr;
}

/// Nothing but what stands in these files runs, nothing is loaded from elsewhere, and no page may frame it.
inline constexpr std::string_view kContentSecurityPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

}  // namespace weir::admin
