// weir.yaml(5), from the same tables that read the file.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "config/introduction.hpp"
#include "config/load.hpp"
#include "config/tables.hpp"
#include "lb/base/roff.hpp"

namespace weir::config {

namespace {

class Writer {
 public:
  /// `path` is how the section is reached: "pools.NAME.timeout".
  void section(const std::string& path, const SectionDoc& doc) {
    out_ += fmt::format(".SS {}\n", path.empty() ? "Top level" : roff::escape(path));
    if (!doc.help.empty()) out_ += roff::markdown(doc.help);
    std::vector<std::string> later;
    for (const auto& key : doc.keys)
      if (key.later)
        later.push_back(key.name);
      else
        entry(key);
    if (!later.empty())
      out_ += fmt::format(".PP\nNot supported yet: {}.\n", roff::escape(fmt::format("{}", fmt::join(later, ", "))));
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

  void entry(const KeyDoc& key) {
    const std::string fallback = key.required               ? "Required."
                                 : key.default_text.empty() ? ""
                                                            : "Default: `" + key.default_text + "`.";
    out_ += ".TP\n\\fB" + roff::escape(key.name) + "\\fR: " + roff::inline_markdown(value(key.type)) + '\n';
    std::string text = key.help;
    if (!fallback.empty()) text += (text.empty() ? "" : " ") + fallback;
    out_ += "\\&" + roff::inline_markdown(text) + '\n';
  }

  static std::string value(const TypeDoc& type) {
    switch (type.shape) {
      case TypeDoc::Shape::value: return type.text;
      case TypeDoc::Shape::section: return type.text.empty() ? "section" : "section, or " + type.text;
      case TypeDoc::Shape::named: return "map from names to sections";
      case TypeDoc::Shape::list: return "list of sections";
    }
    return {};
  }

  std::string out_;
};

}  // namespace

std::string reference_man() {
  Writer writer;
  writer.section("", *root_section().doc().section);
  return roff::title("weir.yaml", 5) +
         ".SH NAME\nweir.yaml \\- configuration of the load balancer Weir\n.SH SYNOPSIS\n.B /etc/weir/weir.yaml\n"
         ".SH DESCRIPTION\n" +
         roff::markdown(kLanguage) + ".SH KEYS\n" + writer.take() +
         ".SH FILES\n.TP\n.I /etc/weir/weir.yaml\nThe configuration.\n.TP\n.I /usr/share/doc/weir/examples\nA "
         "configuration for each feature.\n.SH SEE ALSO\n.BR weir (1)\n";
}

}  // namespace weir::config
