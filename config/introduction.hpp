// The language in a few words: the beginning of docs/configuration.md and of weir.yaml(5).
#pragma once
#include <string_view>

namespace weir::config {

/// Markdown, without a heading.
extern const std::string_view kLanguage;

}  // namespace weir::config
