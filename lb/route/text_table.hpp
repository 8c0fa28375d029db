// A hash table from (owner, text) to a number: built once, then only read. Open addressing with linear probing, at most
// half full, so that a look-up touches one or two cache lines. Seeded, because requests choose what is looked up
// (security-rules D).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lb/base/hash.hpp"

namespace weir::route {

class TextTable {
 public:
  static constexpr uint32_t kNone = ~uint32_t{0};

  /// The pair must not be in the table yet; `value` is not kNone.
  void insert(uint32_t owner, std::string_view text, uint32_t value) {
    if ((size_ + 1) * 2 > slots_.size()) grow();
    const auto offset = static_cast<uint32_t>(text_.size());
    text_ += text;
    place({hash(owner, text), owner, offset, static_cast<uint32_t>(text.size()), value});
    ++size_;
    if (text.size() > longest_) longest_ = text.size();
  }

  uint32_t find(uint32_t owner, std::string_view text) const {
    if (size_ == 0 || text.size() > longest_) return kNone;
    const uint64_t wanted = hash(owner, text);
    for (size_t i = wanted & mask();; i = (i + 1) & mask()) {
      const Slot& slot = slots_[i];
      if (slot.value == kNone) return kNone;
      if (slot.hash == wanted && slot.owner == owner &&
          text == std::string_view(text_).substr(slot.offset, slot.length)) {
        return slot.value;
      }
    }
  }

  bool empty() const { return size_ == 0; }

 private:
  struct Slot {
    uint64_t hash = 0;
    uint32_t owner = 0, offset = 0, length = 0, value = kNone;
  };

  uint64_t hash(uint32_t owner, std::string_view text) const {
    return stable_hash(text, seed_ + owner * 0x9e3779b97f4a7c15ull);
  }
  size_t mask() const { return slots_.size() - 1; }
  void place(const Slot& slot) {
    size_t i = slot.hash & mask();
    while (slots_[i].value != kNone) i = (i + 1) & mask();
    slots_[i] = slot;
  }
  void grow() {
    std::vector<Slot> old(slots_.empty() ? 8 : slots_.size() * 2);
    old.swap(slots_);
    for (const auto& slot : old)
      if (slot.value != kNone) place(slot);
  }

  uint64_t seed_ = process_hash_seed();
  size_t size_ = 0, longest_ = 0;
  std::vector<Slot> slots_;
  std::string text_;
};

}  // namespace weir::route
