// What a reload changes, for the log and for people.
#pragma once
#include <string>
#include <vector>

#include "config/model.hpp"

namespace weir::config {

/// One line a change, in the order of the reference: "pool app: backend b added (127.0.0.1:9002)",
/// "listener web: timeout.keep_alive 75s → 30s", "workers: auto → 4". Empty if nothing that counts has changed; places
/// in files and the order of named things don't count.
std::vector<std::string> diff(const Config& before, const Config& after);

}  // namespace weir::config
