// docs/configuration.md, from the same tables that read the file.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

#include "config/introduction.hpp"
#include "config/load.hpp"
#include "config/tables.hpp"

namespace weir::config {

namespace {

constexpr std::string_view kHeading = R"(# Configuration reference

<!-- Made from the tables in config/*_tables.cpp; a test compares the two: WEIR_UPDATE_DOCS=1 build/debug/unit_config writes it again. -->

)";

std::string cell(std::string text) {
  for (size_t i = 0; (i = text.find('|', i)) != std::string::npos; i += 2) text.replace(i, 1, "\\|");
  return text;
}

std::string code(const std::string& text) { return text.empty() ? "" : "`" + cell(text) + "`"; }

class Writer {
 public:
  /// `path` is how the section is reached: "pools.NAME.timeout".
  void section(const std::string& path, const SectionDoc& doc) {
    out_ += fmt::format("\n## {}\n", path.empty() ? "Top level" : "`" + path + "`");
    if (!doc.help.empty()) out_ += "\n" + doc.help + "\n";
    out_ += "\n| key | value | default | meaning |\n|---|---|---|---|\n";
    std::vector<std::string> later;
    for (const auto& key : doc.keys) {
      if (key.later) {
        later.push_back("`" + key.name + "`");
        continue;
      }
      out_ += fmt::format("| `{}` | {} | {} | {} |\n", key.name, value(key),
                          key.required ? "required" : code(key.default_text), cell(key.help));
    }
    if (!later.empty()) out_ += fmt::format("\nNot supported yet: {}.\n", fmt::join(later, ", "));
    if (path == "defaults") return;  // its sections are those of a pool
    for (const auto& key : doc.keys) {
      if (key.later || !key.type.section) continue;
      section((path.empty() ? "" : path + ".") + key.name + suffix(key.type), *key.type.section);
    }
  }

  std::string take() { return std::move(out_); }

 private:
  static std::string suffix(const TypeDoc& type) {
    return type.shape == TypeDoc::Shape::named ? ".NAME" : type.shape == TypeDoc::Shape::list ? "[]" : "";
  }
  static std::string value(const KeyDoc& key) {
    const char* kinds[] = {"", "section", "map from names to sections", "list of sections"};
    const std::string kind = kinds[static_cast<size_t>(key.type.shape)];
    if (kind.empty()) return cell(key.type.text);
    return key.type.text.empty() || key.type.shape != TypeDoc::Shape::section
               ? kind
               : fmt::format("{}, or {}", kind, cell(key.type.text));
  }

  std::string out_;
};

}  // namespace

std::string reference_markdown() {
  Writer writer;
  writer.section("", *root_section().doc().section);
  return std::string(kHeading) + std::string(kLanguage) + writer.take();
}

}  // namespace weir::config
