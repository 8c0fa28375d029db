#include "lb/base/state.hpp"

namespace weir {

std::string_view to_string(BackendStatus status) {
  switch (status) {
    case BackendStatus::unknown: return "unknown";
    case BackendStatus::up: return "up";
    case BackendStatus::down: return "down";
    case BackendStatus::ejected: return "ejected";
    case BackendStatus::draining: return "draining";
    case BackendStatus::disabled: return "disabled";
  }
  return "invalid";
}

void BackendState::count_sessions() {
  if (counted_) return;
  counted_ = std::make_unique<SlidingHyperLogLog>();
  sessions.store(counted_.get(), std::memory_order_release);
}

std::string_view to_string(AffinityResult result) {
  switch (result) {
    case AffinityResult::hit: return "hit";
    case AffinityResult::created: return "new";
    case AffinityResult::broken: return "broken";
    case AffinityResult::forged: return "forged";
  }
  return "invalid";
}

std::string_view to_string(AdminRefusal reason) {
  switch (reason) {
    case AdminRefusal::host: return "host";
    case AdminRefusal::origin: return "origin";
    case AdminRefusal::token: return "token";
  }
  return "invalid";
}

}  // namespace weir
