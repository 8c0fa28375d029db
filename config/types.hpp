// The types of single values: numbers with their units, words, texts, and lists of them.
#pragma once
#include <chrono>
#include <concepts>
#include <unordered_set>

#include "config/schema.hpp"

namespace weir::config {

std::string json_quote(std::string_view text);

/// A scalar's text, or nullptr after reporting that `node` is something else; `wanted` as in "a duration like 2s".
const std::string* expect_scalar(Reader& in, const Node& node, std::string_view wanted);

// ---- numbers ----

/// Numbers of every kind: what unit is written behind them, the range, and a word that stands for 0.
class Number {
 public:
  enum class Unit { none, percent, bytes, bytes_per_second, duration };
  Number(Unit unit, uint64_t min, uint64_t max) : unit_(unit), min_(min), max_(max) {}

  /// `word` means 0, which needs not be in the range. The first one given is how 0 is shown.
  Number&& zero_is(std::string word) && { return zero_words_.push_back(std::move(word)), std::move(*this); }

  std::optional<uint64_t> read(Reader& in, const Node& node) const;
  /// Else `problem` says what is wrong, and what to write.
  std::optional<uint64_t> read(std::string_view text, std::string& problem) const;
  std::string show(uint64_t value) const;
  TypeDoc doc() const;

  template <class T>
  requires std::unsigned_integral<T> || std::same_as<T, std::chrono::milliseconds>
  operator TypeOf<T>() const;

 private:
  std::string example() const;
  std::string range() const;
  std::optional<uint64_t> parse(std::string_view text, std::string& problem) const;
  /// What to write for WHOLE.REST, where `rest` ends with the unit.
  std::string instead_of_decimal(std::string_view whole, std::string_view rest) const;

  Unit unit_;
  uint64_t min_, max_;
  std::vector<std::string> zero_words_;
};

template <class T>
class NumberType final : public Type<T> {
 public:
  explicit NumberType(Number number) : number_(std::move(number)) {}
  void read(Reader& in, const Node& node, T& value) const override {
    if (const auto number = number_.read(in, node)) value = static_cast<T>(*number);
  }
  std::string show(const T& value) const override {
    if constexpr (std::unsigned_integral<T>) {
      return number_.show(value);
    } else {
      return number_.show(static_cast<uint64_t>(value.count()));
    }
  }
  TypeDoc doc() const override { return number_.doc(); }

 private:
  Number number_;
};

template <class T>
requires std::unsigned_integral<T> || std::same_as<T, std::chrono::milliseconds> Number::operator TypeOf<T>() const {
  return std::make_shared<NumberType<T>>(*this);
}

inline Number count(uint64_t min, uint64_t max) { return {Number::Unit::none, min, max}; }
inline Number percent(uint64_t min, uint64_t max) { return {Number::Unit::percent, min, max}; }
inline Number bytes(uint64_t min, uint64_t max) { return {Number::Unit::bytes, min, max}; }
inline Number bytes_per_second(uint64_t min, uint64_t max) { return {Number::Unit::bytes_per_second, min, max}; }
inline Number duration(std::chrono::milliseconds min, std::chrono::milliseconds max) {
  return {Number::Unit::duration, static_cast<uint64_t>(min.count()), static_cast<uint64_t>(max.count())};
}

TypeOf<bool> boolean();

// ---- texts ----

/// Why a text won't do, with what to write instead ("… ; write …"); empty: it will. May normalise it.
using TextRule = std::function<std::string(std::string& text)>;

TypeOf<std::string> text(std::string doc, TextRule rule);

// ---- words ----

/// Words that people write by mistake, and what to write instead ("write …").
using Mistakes = std::vector<std::pair<std::string, std::string>>;

/// One of a few words. `later`: words that a later release brings.
class Words {
 public:
  Words(std::vector<std::string> words, std::vector<std::string> later_words = {}, Mistakes mistakes = {})
      : words_(std::move(words)), later_(std::move(later_words)), mistakes_(std::move(mistakes)) {}
  std::optional<size_t> read(Reader& in, const Node& node) const;
  const std::string& word(size_t index) const { return words_[index]; }
  TypeDoc doc() const;

 private:
  std::vector<std::string> words_, later_;
  Mistakes mistakes_;
};

template <class E>
class Choice final : public Type<E> {
 public:
  Choice(Words words, std::vector<E> values) : words_(std::move(words)), values_(std::move(values)) {}
  void read(Reader& in, const Node& node, E& value) const override {
    if (const auto index = words_.read(in, node)) value = values_[*index];
  }
  std::string show(const E& value) const override {
    for (size_t i = 0; i < values_.size(); ++i)
      if (values_[i] == value) return words_.word(i);
    return {};
  }
  TypeDoc doc() const override { return words_.doc(); }

 private:
  Words words_;
  std::vector<E> values_;
};

template <class E>
TypeOf<E> choice(std::vector<std::pair<const char*, E>> pairs, Mistakes mistakes = {}) {
  std::vector<std::string> words;
  std::vector<E> values;
  for (const auto& [word, value] : pairs) {
    words.emplace_back(word);
    values.push_back(value);
  }
  return std::make_shared<Choice<E>>(Words(std::move(words), {}, std::move(mistakes)), std::move(values));
}

/// A key with one possible value so far; the others are still to come.
template <class S>
Key<S> only(const char* name, const char* word, std::vector<std::string> later_words, const char* help) {
  const Words words({word}, std::move(later_words));
  return custom<S>(
      name, words.doc(), [=](Reader& in, const Node& node, S&) { words.read(in, node); },
      [=](const S&) { return std::string(word); }, help);
}

// ---- lists ----

/// "[a, b]" of the shown elements; a single one without brackets.
std::string show_list(const std::vector<std::string>& shown);
TypeDoc list_doc(const TypeDoc& element, bool single_allowed);
/// Calls `each` on the elements; a scalar is one element if `single_allowed`.
void read_list(Reader& in, const Node& node, bool single_allowed, const std::function<void(const Node&)>& each);

template <class T>
class List final : public Type<std::vector<T>> {
 public:
  List(TypeOf<T> element, bool single_allowed) : element_(std::move(element)), single_allowed_(single_allowed) {}
  void read(Reader& in, const Node& node, std::vector<T>& values) const override {
    values.clear();
    std::unordered_set<std::string> seen;
    read_list(in, node, single_allowed_, [&](const Node& item) {
      T value{};
      const size_t problems = in.errors.size();
      element_->read(in, item, value);
      if (in.errors.size() != problems || item.kind == Node::Kind::broken) return;
      if (!seen.insert(element_->show(value)).second)
        return in.error(item.at, element_->show(value) + " is here twice; keep one");
      values.push_back(std::move(value));
    });
  }
  std::string show(const std::vector<T>& values) const override {
    std::vector<std::string> shown;
    for (const auto& value : values) shown.push_back(element_->show(value));
    return show_list(shown);
  }
  TypeDoc doc() const override { return list_doc(element_->doc(), single_allowed_); }

 private:
  TypeOf<T> element_;
  bool single_allowed_;
};

template <class T>
TypeOf<std::vector<T>> list(TypeOf<T> element) {
  return std::make_shared<List<T>>(std::move(element), false);
}
/// A list, or one element without brackets.
template <class T>
TypeOf<std::vector<T>> one_or_more(TypeOf<T> element) {
  return std::make_shared<List<T>>(std::move(element), true);
}

/// When are two names the same?
enum class Names { exact, any_case };
/// A map from texts to texts, in the order of the file.
TypeOf<std::vector<std::pair<std::string, std::string>>> pairs(std::string doc, TextRule name_rule, TextRule value_rule,
                                                               Names names = Names::exact);

}  // namespace weir::config
