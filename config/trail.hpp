// Where in the configuration we are, in words: "pool app: timeout.connect". Shared by error messages and the diff.
#pragma once
#include <string>
#include <vector>

namespace weir::config {

class Trail {
 public:
  /// One step deeper for as long as the object lives. An item ("pool app", "route 3") swallows the name of the key that
  /// holds it.
  class Step {
   public:
    Step(Trail& trail, std::string word, bool item = false) : trail_(trail) {
      trail_.steps_.push_back({std::move(word), item});
    }
    ~Step() { trail_.steps_.pop_back(); }
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;

   private:
    Trail& trail_;
  };

  /// "pool app: backend b: weight"; with `between` behind it unless it is empty: "pool app: " for text() + what
  /// follows.
  std::string text() const {
    std::string text;
    for (size_t i = 0; i < steps_.size(); ++i) {
      if (i + 1 < steps_.size() && steps_[i + 1].item) continue;
      if (i > 0 && !text.empty()) text += steps_[i - 1].item || steps_[i].item ? ": " : ".";
      text += steps_[i].word;
    }
    return text;
  }
  /// Does it end at an item rather than a key?
  bool at_item() const { return !steps_.empty() && steps_.back().item; }
  bool empty() const { return steps_.empty(); }

 private:
  struct Part {
    std::string word;
    bool item;
  };
  std::vector<Part> steps_;
};

}  // namespace weir::config
