// Files of secret keys, one a line: of `secret` and `tls.ticket_keys`.
#pragma once
#include <string>
#include <vector>

#include "config/reader.hpp"

namespace weir::config {

inline constexpr const char* kMakeSecret = "make one with `head -c 32 /dev/urandom | base64`";

/// Reads the file whose path stands at `node`, or reports what is wrong with it. The keys are shown to nobody.
void read_secret_file(Reader& in, const Node& node, std::string& file_path, std::vector<std::string>& keys);

}  // namespace weir::config
