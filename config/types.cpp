#include "config/types.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "config/section.hpp"
#include "config/suggest.hpp"

namespace weir::config {

namespace {

std::string brief(std::string_view text) {
  return text.size() <= 64 ? std::string(text) : std::string(text.substr(0, 61)) + "...";
}

}  // namespace

std::string json_quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<int>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

bool expect_map(Reader& in, const Node& node, std::string_view example) {
  if (node.kind == Node::Kind::map) return true;
  if (node.kind != Node::Kind::broken) {
    const char* what = node.kind == Node::Kind::list   ? "a list"
                       : node.kind == Node::Kind::null ? "nothing"
                                                       : "a single value";
    in.error(node.at, fmt::format("{} stands where keys are needed; write {}", what, example));
  }
  return false;
}

bool expect_value(Reader& in, const Entry& entry) {
  if (entry.value.kind != Node::Kind::null) return true;
  in.error(entry.at, "it has no value; write one, or remove the line");
  return false;
}

void report_unknown_key(Reader& in, const Entry& entry, const std::vector<std::string>& known) {
  if (in.errors.size() >= kMaxProblems) return;  // the search for the nearest word is not free
  in.error(entry.at,
           fmt::format("unknown key \"{}\"; {}", brief(entry.key), suggest(entry.key, known, "the keys here are")));
}

const std::string* expect_scalar(Reader& in, const Node& node, std::string_view wanted) {
  if (node.kind == Node::Kind::scalar) return &node.text;
  if (node.kind != Node::Kind::broken) {
    const char* what = node.kind == Node::Kind::list ? "a list" : node.kind == Node::Kind::map ? "a map" : "nothing";
    in.error(node.at, fmt::format("{} stands where a single value is needed; write {}", what, wanted));
  }
  return nullptr;
}

void Changes::changed(const std::string& before, const std::string& after) {
  if (before == after) return;
  const auto visible = [](const std::string& text) { return text.empty() ? "unset" : brief(text); };
  // Long texts may differ only behind the part that is shown.
  const bool same_head = visible(before) == visible(after);
  const char* separator = trail.text().find(": ") == std::string::npos && !trail.at_item() ? ": " : " ";
  if (same_head) {
    lines.push_back(fmt::format("{}{}changed", trail.text(), separator));
  } else {
    lines.push_back(fmt::format("{}{}{} → {}", trail.text(), separator, visible(before), visible(after)));
  }
}

void Changes::note(const std::string& what) { lines.push_back(trail.text() + " " + what); }

// ---- booleans, texts, words ----

namespace {

class Boolean final : public Type<bool> {
 public:
  void read(Reader& in, const Node& node, bool& value) const override {
    const std::string* text = expect_scalar(in, node, "true or false");
    if (!text) return;
    if (*text == "true" || *text == "false") {
      if (node.quoted)
        return in.error(node.at, fmt::format("\"{0}\" in quotes is a text; write {0} without quotes", *text));
      value = *text == "true";
      return;
    }
    in.error(node.at, fmt::format("{} is neither true nor false; write true or false", brief(*text)));
  }
  std::string show(const bool& value) const override { return value ? "true" : "false"; }
  TypeDoc doc() const override { return {.text = "`true` or `false`", .json = R"({"type":"boolean"})"}; }
};

class Text final : public Type<std::string> {
 public:
  Text(std::string doc, TextRule rule) : doc_(std::move(doc)), rule_(std::move(rule)) {}
  void read(Reader& in, const Node& node, std::string& value) const override {
    const std::string* text = expect_scalar(in, node, doc_);
    if (!text) return;
    std::string candidate = *text;
    if (const std::string problem = rule_(candidate); !problem.empty()) return in.error(node.at, problem);
    value = std::move(candidate);
  }
  std::string show(const std::string& value) const override { return value; }
  TypeDoc doc() const override { return {.text = doc_, .json = R"({"type":["string","number","boolean"]})"}; }

 private:
  std::string doc_;
  TextRule rule_;
};

class Pairs final : public Type<std::vector<std::pair<std::string, std::string>>> {
 public:
  using Value = std::vector<std::pair<std::string, std::string>>;
  Pairs(std::string doc, TextRule name_rule, TextRule value_rule, Names names)
      : doc_(std::move(doc)), name_rule_(std::move(name_rule)), value_rule_(std::move(value_rule)), names_(names) {}

  void read(Reader& in, const Node& node, Value& values) const override {
    values.clear();
    if (!expect_map(in, node, "{ name: value }")) return;
    for (const auto& entry : node.entries) {
      std::string name = entry.key;
      if (const std::string problem = name_rule_(name); !problem.empty()) {
        in.error(entry.at, problem);
        continue;
      }
      Trail::Step step(in.trail, name);
      const auto same = [&](const auto& pair) { return is_same(pair.first, name); };
      if (std::any_of(values.begin(), values.end(), same)) {
        in.error(entry.at, fmt::format("{} is here twice in different spellings; keep one", name));
        continue;
      }
      if (!expect_value(in, entry)) continue;
      const std::string* text = expect_scalar(in, entry.value, "a text");
      if (!text) continue;
      std::string value = *text;
      if (const std::string problem = value_rule_(value); !problem.empty()) {
        in.error(entry.value.at, problem);
        continue;
      }
      values.emplace_back(std::move(name), std::move(value));
    }
  }
  std::string show(const Value& values) const override {
    std::vector<std::string> shown;
    for (const auto& [name, value] : values) shown.push_back(name + ": " + value);
    return shown.empty() ? std::string() : fmt::format("{{ {} }}", fmt::join(shown, ", "));
  }
  TypeDoc doc() const override {
    return {.text = doc_, .json = R"({"type":"object","additionalProperties":{"type":["string","number","boolean"]}})"};
  }

 private:
  bool is_same(std::string_view a, std::string_view b) const {
    if (names_ == Names::exact) return a == b;
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
  }

  std::string doc_;
  TextRule name_rule_, value_rule_;
  Names names_;
};

}  // namespace

TypeOf<bool> boolean() { return std::make_shared<Boolean>(); }
TypeOf<std::string> text(std::string doc, TextRule rule) {
  return std::make_shared<Text>(std::move(doc), std::move(rule));
}
TypeOf<std::vector<std::pair<std::string, std::string>>> pairs(std::string doc, TextRule name_rule, TextRule value_rule,
                                                               Names names) {
  return std::make_shared<Pairs>(std::move(doc), std::move(name_rule), std::move(value_rule), names);
}

std::optional<size_t> Words::read(Reader& in, const Node& node) const {
  const std::string* text = expect_scalar(in, node, doc().text);
  if (!text) return std::nullopt;
  const auto found = std::find(words_.begin(), words_.end(), *text);
  if (found != words_.end()) return static_cast<size_t>(found - words_.begin());
  const auto mistake =
      std::find_if(mistakes_.begin(), mistakes_.end(), [&](const auto& m) { return m.first == *text; });
  if (mistake != mistakes_.end()) {
    in.error(node.at, fmt::format("\"{}\" is not known here; {}", *text, mistake->second));
  } else if (std::find(later_.begin(), later_.end(), *text) != later_.end()) {
    in.error(node.at, fmt::format("{} is not supported yet; write {}", *text, fmt::join(words_, ", ")));
  } else {
    in.error(node.at,
             fmt::format("\"{}\" is not known here; {}", brief(*text), suggest(*text, words_, "write one of")));
  }
  return std::nullopt;
}

TypeDoc Words::doc() const {
  std::vector<std::string> quoted, json;
  for (const auto& word : words_) {
    quoted.push_back("`" + word + "`");
    json.push_back(json_quote(word));
  }
  return {.text = fmt::format("{}", fmt::join(quoted, ", ")),
          .json = fmt::format(R"({{"enum":[{}]}})", fmt::join(json, ","))};
}

// ---- lists ----

std::string show_list(const std::vector<std::string>& shown) {
  if (shown.empty()) return {};
  return shown.size() == 1 ? shown[0] : fmt::format("[{}]", fmt::join(shown, ", "));
}

TypeDoc list_doc(const TypeDoc& element, bool single_allowed) {
  const std::string list = fmt::format(R"({{"type":"array","items":{}}})", element.json);
  if (!single_allowed) return {.text = "list of: " + element.text, .json = list};
  return {.text = element.text + ", or a list", .json = fmt::format(R"({{"anyOf":[{},{}]}})", element.json, list)};
}

void read_list(Reader& in, const Node& node, bool single_allowed, const std::function<void(const Node&)>& each) {
  if (node.kind == Node::Kind::broken) return;
  if (node.kind == Node::Kind::list) {
    if (single_allowed && node.items.empty())
      in.error(node.at, "this list is empty; name at least one, or remove the key");
    for (const auto& item : node.items) each(item);
  } else if (single_allowed) {
    each(node);
  } else {
    in.error(node.at, "a list is needed here; write it in brackets: [a, b]");
  }
}

}  // namespace weir::config
