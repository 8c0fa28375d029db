// docs/configuration.md, from the same tables that read the file.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

#include "config/load.hpp"
#include "config/tables.hpp"

namespace weir::config {

namespace {

constexpr std::string_view kIntroduction = R"(# Configuration reference

<!-- Made from the tables in config/*_tables.cpp; a test compares the two: WEIR_UPDATE_DOCS=1 build/debug/unit_config writes it again. -->

Weir reads one YAML file (`/etc/weir/weir.yaml` unless told otherwise). `weir check FILE` lists everything that is wrong with it, each with
file, line, column and what to write instead; `weir schema` prints a JSON schema for editors. The smallest file is

```yaml
listeners: { web: { bind: ":8080" } }
pools:     { app: { backends: { a: "http://127.0.0.1:9001", b: "http://127.0.0.1:9002" } } }
routes:    [ { pool: app } ]
```

- **Units** are always written: `500ms`, `2s`, `5m`, `1h`; `512B`, `32KiB`, `256MiB`, `1GiB`; `50%`.
- **Booleans** are `true` and `false`; `yes`, `no`, `on` are texts. Numbers begin with no zero and stand in no quotes.
- **Names** of listeners, pools, backends, keys and routes have 1 to 64 of `A-Z a-z 0-9 _ . -`.
- **Unknown and duplicate keys** are errors; so are anchors, aliases, `<<`, tags, a second document, more than 32 levels, and files above 4 MiB.
- **Environment variables**: `${NAME}`, or `${NAME:-default}`, in any value; `$$` is a dollar. Inside `{ }` and `[ ]` it needs
  quotes, as in `"${PORT}"`, which may still be a number. A variable that is not set is an error unless there is
  a default (which also stands in for an empty one). What comes in is text and never becomes YAML.
- **Several files**: `include: [conf.d/*.yaml]` in the main file, relative to it. Maps merge, and a name that is in two files is an error; routes append in
  the order of the files, which is the order of the list, and of their names within a pattern.
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
  return std::string(kIntroduction) + writer.take();
}

}  // namespace weir::config
