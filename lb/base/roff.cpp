#include "lb/base/roff.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace weir::roff {

namespace {

/// The text up to the next line break, taken off the front of `rest`.
std::string_view take_line(std::string_view& rest) {
  const auto end = rest.find('\n');
  const auto line = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  return line;
}

std::string bold(std::string_view text) { return "\\fB" + escape(text) + "\\fR"; }

/// Text at the beginning of a line: a dot or a quote there would be a request.
std::string guarded(std::string line) {
  if (line.starts_with('.') || line.starts_with("\\(aq")) line.insert(0, "\\&");
  return line;
}

}  // namespace

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) switch (c) {
      case '\\': out += "\\e"; break;
      case '-': out += "\\-"; break;
      case '\'': out += "\\(aq"; break;
      case '"': out += "\\(dq"; break;
      case '`': out += "\\(ga"; break;
      case '^': out += "\\(ha"; break;
      case '~': out += "\\(ti"; break;
      default: out += c;
    }
  return out;
}

std::string inline_markdown(std::string_view text) {
  std::string out, plain;
  const auto flush = [&] { out += escape(plain), plain.clear(); };
  for (size_t i = 0; i < text.size();) {
    const bool strong = text.substr(i, 2) == "**";
    if (const size_t marks = strong ? 2 : text[i] == '`' ? 1 : 0) {
      const auto end = text.find(text.substr(i, marks), i + marks);
      if (end != std::string_view::npos) {
        flush();
        out += bold(text.substr(i + marks, end - i - marks));
        i = end + marks;
        continue;
      }
    }
    if (text[i] == '[') {
      const auto middle = text.find("](", i), end = text.find(')', middle);
      if (middle != std::string_view::npos && end != std::string_view::npos &&
          text.substr(i, middle - i).find('`') == std::string_view::npos) {
        plain += text.substr(i + 1, middle - i - 1);
        i = end + 1;
        continue;
      }
    }
    plain += text[i++];
  }
  flush();
  return out;
}

std::string verbatim(std::string_view text) {
  std::string out = ".EX\n";
  while (!text.empty()) out += guarded(escape(take_line(text))) + '\n';
  return out + ".EE\n";
}

std::string markdown(std::string_view text) {
  std::string out, block;
  bool in_item = false;
  const auto flush = [&] {
    if (!block.empty()) out += (in_item ? ".IP \\(bu 2\n" : ".PP\n") + guarded(inline_markdown(block)) + '\n';
    block.clear();
    in_item = false;
  };
  while (!text.empty()) {
    auto line = take_line(text);
    if (line.starts_with("```")) {
      flush();
      std::string code;
      while (!text.empty() && !(line = take_line(text)).starts_with("```")) code += std::string(line) + '\n';
      out += ".PP\n.in +4\n" + verbatim(code) + ".in\n";
    } else if (line.empty() || line.starts_with('#') || line.starts_with("<!--")) {
      flush();
    } else if (line.starts_with("- ")) {
      flush();
      in_item = true;
      block = line.substr(2);
    } else {
      line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
      if (!block.empty()) block += ' ';
      block += line;
    }
  }
  flush();
  return out;
}

std::string title(std::string_view name, int section) {
  std::string capitals(name);
  std::transform(capitals.begin(), capitals.end(), capitals.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return fmt::format(".TH {} {} \"\" \"Weir {}\" \"{}\"\n", escape(capitals), section, WEIR_VERSION,
                     section == 5 ? "File formats" : "User commands");
}

}  // namespace weir::roff
