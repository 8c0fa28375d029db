// The one description of the language: what keys there are, of what type, with what help. Reading, the JSON schema, the
// reference and the diff all walk it, so they can't drift apart; defaults are read off the model's own member
// initialisers. The tables themselves are in tables.cpp, pool_tables.cpp and route_tables.cpp: a new key is one line
// there and one field in model.hpp.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "config/reader.hpp"

namespace weir::config {

struct SectionDoc;

/// A type as the documentation sees it.
struct TypeDoc {
  enum class Shape {
    value,
    section,
    named,
    list
  };  // `named`: a map from names to sections; `list`: a list of sections
  Shape shape = Shape::value;
  std::string text = {};  // "duration", "`drop`, `reject` or `allow`"
  std::string json = {};  // JSON schema of a value, or of a section's short form; may be empty for a section
  std::shared_ptr<const SectionDoc> section = {};  // unless it is a value
};

struct KeyDoc {
  std::string name, help = {}, default_text = {};
  TypeDoc type = {};
  bool required = false, later = false;
};

struct SectionDoc {
  std::string title, help;
  std::vector<KeyDoc> keys;
  std::vector<std::string> one_of;  // at least one of these keys is required
};

/// The lines of a diff, and where it stands.
struct Changes {
  Trail trail;
  std::vector<std::string> lines;

  void changed(const std::string& before, const std::string& after);
  void note(const std::string& what);  // "pool app: " + what
};

template <class T>
class Type {
 public:
  virtual ~Type() = default;
  /// Fills `value` from `node`, or reports why not.
  virtual void read(Reader& in, const Node& node, T& value) const = 0;
  /// As one would write it in the file; empty: nothing to write.
  virtual std::string show(const T& value) const = 0;
  virtual TypeDoc doc() const = 0;
  virtual void compare(Changes& out, const T& before, const T& after) const { out.changed(show(before), show(after)); }
};

template <class T>
using TypeOf = std::shared_ptr<const Type<T>>;

/// One key of a section that is read into an S.
template <class S>
struct Key {
  std::string name, help;
  std::function<void(Reader&, const Node&, S&)> read;
  std::function<void(Changes&, const S&, const S&)> compare;
  std::function<KeyDoc(const S&)> doc;  // given a section as it is before reading
  std::string required_hint = {};       // what to write if it is missing; empty: it may be
  bool later = false;                   // known, but not supported yet

  Key required(std::string hint) && {
    required_hint = std::move(hint);
    return std::move(*this);
  }
};

/// A key whose value is a field.
template <class S, class T>
Key<S> key(const char* name, T S::*field, std::type_identity_t<TypeOf<T>> type, const char* help) {
  return {.name = name,
          .help = help,
          .read = [=](Reader& in, const Node& node, S& section) { type->read(in, node, section.*field); },
          .compare = [=](Changes& out, const S& a, const S& b) { type->compare(out, a.*field, b.*field); },
          .doc =
              [=](const S& section) {
                return KeyDoc{name, help, type->show(section.*field), type->doc()};
              }};
}

/// A key whose field is empty when the file doesn't have it.
template <class S, class T>
Key<S> key(const char* name, std::optional<T> S::*field, std::type_identity_t<TypeOf<T>> type, const char* help) {
  const auto show = [=](const S& section) { return section.*field ? type->show(*(section.*field)) : std::string(); };
  return {.name = name,
          .help = help,
          .read =
              [=](Reader& in, const Node& node, S& section) {
                T value = (section.*field).value_or(T{});
                type->read(in, node, value);
                section.*field = std::move(value);
              },
          .compare =
              [=](Changes& out, const S& a, const S& b) {
                if (a.*field && b.*field) return type->compare(out, *(a.*field), *(b.*field));
                const std::string before = show(a), after = show(b);
                // A section has no text of its own, but to appear or to vanish is a change.
                const bool silent = before == after && (a.*field).has_value() != (b.*field).has_value();
                out.changed(silent && a.*field ? "set" : before, silent && b.*field ? "set" : after);
              },
          .doc =
              [=](const S& section) {
                return KeyDoc{name, help, show(section), type->doc()};
              }};
}

/// A key that groups further keys of the same S.
template <class S>
Key<S> group(const char* name, std::type_identity_t<TypeOf<S>> type, const char* help) {
  return {.name = name,
          .help = help,
          .read = [=](Reader& in, const Node& node, S& section) { type->read(in, node, section); },
          .compare = [=](Changes& out, const S& a, const S& b) { type->compare(out, a, b); },
          .doc =
              [=](const S&) {
                return KeyDoc{name, help, "", type->doc()};
              }};
}

/// A key that touches more of S than one field: `show` gives what the diff compares and the default.
template <class S>
Key<S> custom(const char* name, TypeDoc type, std::function<void(Reader&, const Node&, S&)> read,
              std::function<std::string(const S&)> show, const char* help) {
  return {.name = name,
          .help = help,
          .read = std::move(read),
          .compare = [show](Changes& out, const S& a, const S& b) { out.changed(show(a), show(b)); },
          .doc =
              [=](const S& section) {
                return KeyDoc{name, help, show(section), type};
              }};
}

/// A key that a later release brings.
template <class S>
Key<S> later(const char* name) {
  return {.name = name,
          .help = "",
          .read = [](Reader&, const Node&, S&) {},
          .compare = [](Changes&, const S&, const S&) {},
          .doc = [=](const S&) { return KeyDoc{.name = name, .later = true}; },
          .later = true};
}

template <class S>
std::vector<Key<S>> operator+(std::vector<Key<S>> keys, std::vector<Key<S>> more) {
  keys.insert(keys.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  return keys;
}

}  // namespace weir::config
