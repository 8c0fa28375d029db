// The types that hold others: a section (a map with fixed keys), named things (a map from names to sections) and a list
// of sections.
#pragma once
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "config/schema.hpp"

namespace weir::config {

/// Reports that `node` is not a map with words that fit what it is instead. False if it isn't one.
bool expect_map(Reader& in, const Node& node, std::string_view example);
/// Reports an entry without a value. False if it has none.
bool expect_value(Reader& in, const Entry& entry);
void report_unknown_key(Reader& in, const Entry& entry, const std::vector<std::string>& known);

template <class S>
class Section final : public Type<S> {
 public:
  using Hook = std::function<void(Reader&, const Node&, S&)>;

  Section(std::string title, std::string help, std::vector<Key<S>> keys)
      : title_(std::move(title)), help_(std::move(help)), keys_(std::move(keys)) {
    for (const auto& key : keys_) names_.push_back(key.name);
  }

  /// What a scalar (or list) means in place of the map; `json` describes it.
  Section&& short_form(std::string text, std::string json, Hook read) && {
    short_text_ = std::move(text), short_json_ = std::move(json), short_form_ = std::move(read);
    return std::move(*this);
  }
  /// Runs before the keys of the map are read.
  Section&& before(Hook hook) && { return before_ = std::move(hook), std::move(*this); }
  /// Runs after them: checks that need more than one key.
  Section&& after(Hook hook) && { return after_ = std::move(hook), std::move(*this); }
  /// At least one of `names` must be there; the first is what is called missing, `hint` what to write.
  Section&& needs_one_of(std::vector<std::string> names, std::string hint) && {
    one_of_ = std::move(names), one_of_hint_ = std::move(hint);
    return std::move(*this);
  }
  /// What to write instead of something that is no map.
  Section&& example(std::string text) && { return example_ = std::move(text), std::move(*this); }
  /// The text of the whole, for sections that stand for one value.
  Section&& shown_as(std::function<std::string(const S&)> show) && { return show_ = std::move(show), std::move(*this); }

  operator TypeOf<S>() && { return std::make_shared<const Section>(std::move(*this)); }

  void read(Reader& in, const Node& node, S& section) const override {
    if (node.kind == Node::Kind::broken) return;
    if (short_form_ && node.kind != Node::Kind::map) return short_form_(in, node, section);
    if (node.kind != Node::Kind::map) {
      const std::string keys = fmt::format("a map; its keys are: {}", fmt::join(usable_names(), ", "));
      expect_map(in, node, example_.empty() ? keys : example_);
      return;
    }
    if (before_) before_(in, node, section);
    for (const auto& entry : node.entries)
      if (std::find(names_.begin(), names_.end(), entry.key) == names_.end())
        report_unknown_key(in, entry, usable_names());
    // In the order of the table, which puts first what others need.
    bool has_later = false;
    for (const auto& key : keys_) {
      const Entry* entry = key.later ? node.find_entry(key.name) : nullptr;
      if (entry) in.error(entry->at, fmt::format("{} is not supported yet; leave it out", key.name));
      has_later = has_later || entry;
    }
    for (const auto& key : keys_) {
      const Entry* entry = key.later ? nullptr : node.find_entry(key.name);
      if (entry) {
        Trail::Step step(in.trail, key.name);
        if (expect_value(in, *entry)) key.read(in, entry->value, section);
      } else if (!key.required_hint.empty() && !has_later) {  // which may well stand for it
        in.error(node.at, fmt::format("{} is missing; write {}", key.name, key.required_hint));
      }
    }
    const auto has = [&](const std::string& name) { return node.find_entry(name) != nullptr; };
    if (!one_of_.empty() && !has_later && std::none_of(one_of_.begin(), one_of_.end(), has))
      in.error(node.at, fmt::format("{} is missing; write {}", one_of_.front(), one_of_hint_));
    if (after_) after_(in, node, section);
  }

  std::string show(const S& section) const override { return show_ ? show_(section) : std::string(); }

  TypeDoc doc() const override {
    auto section = std::make_shared<SectionDoc>();
    section->title = title_;
    section->help = help_;
    section->one_of = one_of_;
    const S fresh{};
    for (const auto& key : keys_) {
      section->keys.push_back(key.doc(fresh));
      section->keys.back().required = !key.required_hint.empty();
    }
    return {TypeDoc::Shape::section, short_text_, short_json_, std::move(section)};
  }

  void compare(Changes& out, const S& before, const S& after) const override {
    if (show_) return out.changed(show_(before), show_(after));
    for (const auto& key : keys_) {
      Trail::Step step(out.trail, key.name);
      key.compare(out, before, after);
    }
  }

 private:
  std::vector<std::string> usable_names() const {
    std::vector<std::string> names;
    for (const auto& key : keys_)
      if (!key.later) names.push_back(key.name);
    return names;
  }

  std::string title_, help_, short_text_, short_json_, example_, one_of_hint_;
  std::vector<Key<S>> keys_;
  std::vector<std::string> names_, one_of_;
  Hook short_form_, before_, after_;
  std::function<std::string(const S&)> show_;
};

/// A map from names to sections, kept as a vector in the order of the file; `T` has members name and at.
template <class T>
class Named final : public Type<std::vector<T>> {
 public:
  struct Options {
    std::string singular;                                       // "pool"
    std::string example;                                        // for something that is no map
    std::function<void(Reader&, Place, T&)> prepare = nullptr;  // before its keys are read
    std::function<std::string(const T&)> summary = [](const T&) { return std::string(); };  // behind "b added"
  };
  Named(TypeOf<T> item, Options options) : item_(std::move(item)), options_(std::move(options)) {}

  void read(Reader& in, const Node& node, std::vector<T>& values) const override {
    if (!expect_map(in, node, options_.example)) return;
    for (const auto& entry : node.entries) {
      if (!in.check_name(entry.at, entry.key)) continue;
      Trail::Step step(in.trail, options_.singular + " " + entry.key, true);
      if (!expect_value(in, entry)) continue;
      T value;
      if (options_.prepare) options_.prepare(in, entry.at, value);
      value.name = entry.key;
      value.at = in.location(entry.at);
      item_->read(in, entry.value, value);
      values.push_back(std::move(value));
    }
  }

  std::string show(const std::vector<T>&) const override { return {}; }

  TypeDoc doc() const override {
    TypeDoc doc = item_->doc();
    doc.shape = TypeDoc::Shape::named;
    return doc;
  }

  void compare(Changes& out, const std::vector<T>& before, const std::vector<T>& after) const override {
    const auto find = [](const std::vector<T>& values) {
      std::unordered_map<std::string_view, const T*> index;
      for (const auto& value : values) index.emplace(value.name, &value);
      return index;
    };
    const auto old_ones = find(before), new_ones = find(after);
    const auto note = [&](const T& value, const char* what) {
      Trail::Step step(out.trail, options_.singular + " " + value.name, true);
      const std::string summary = options_.summary(value);
      out.note(summary.empty() ? what : fmt::format("{} ({})", what, summary));
    };
    for (const auto& value : before)
      if (!new_ones.contains(value.name)) note(value, "removed");
    for (const auto& value : after) {
      if (const auto old = old_ones.find(value.name); old != old_ones.end()) {
        Trail::Step step(out.trail, options_.singular + " " + value.name, true);
        item_->compare(out, *old->second, value);
      } else {
        note(value, "added");
      }
    }
  }

 private:
  TypeOf<T> item_;
  Options options_;
};

}  // namespace weir::config
