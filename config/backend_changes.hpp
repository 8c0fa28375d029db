// What an operator has changed in the backends of a running daemon, laid over what the file says. No I/O.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/model.hpp"

namespace weir::config {

struct BackendChange {
  enum class Kind { add, weight, remove };
  Kind kind = Kind::add;
  std::string pool, name;
  std::string url;      // add
  uint32_t weight = 1;  // add, weight
  bool operator==(const BackendChange&) const = default;
};

class BackendChanges {
 public:
  using Key = std::pair<std::string, std::string>;  // pool and backend
  using Map = std::map<Key, BackendChange>;

  struct Refusal {
    enum class Kind { unknown, wrong, conflict };
    Kind kind = Kind::wrong;
    std::string text;  // with what exists, or what to write
  };

  BackendChanges() = default;
  explicit BackendChanges(Map changes) : changes_(std::move(changes)) {}

  /// `written`: the configuration as the file has it. Nothing has changed if it is refused.
  std::optional<Refusal> take(const Config& written, const BackendChange& change);
  /// Changes `config`. What doesn't fit it any more is forgotten: a line for each.
  std::vector<std::string> apply(Config& config);
  const Map& all() const { return changes_; }

 private:
  std::optional<Refusal> take_add(const Pool& written, const Pool& now, const BackendChange& change);
  std::optional<Refusal> take_weight(const Pool& written, const Pool& now, const BackendChange& change);
  std::optional<Refusal> take_remove(const Pool& now, const BackendChange& change);

  Map changes_;
};

}  // namespace weir::config
