#include "lb/base/state.hpp"

namespace weir {

std::string_view to_string(BackendStatus status) {
  switch (status) {
    case BackendStatus::unknown: return "unknown";
    case BackendStatus::up: return "up";
    case BackendStatus::down: return "down";
    case BackendStatus::ejected: return "ejected";
  }
  return "invalid";
}

}  // namespace weir
