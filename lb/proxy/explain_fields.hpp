// What `weir explain` says of fields that nothing is decided by.
#pragma once
#include <string>
#include <vector>

#include "lb/net/http1.hpp"

namespace weir::proxy {

/// "X-Beta: named by Connection", for each dropped field after drop_unbelieved(); not those that are only written anew.
std::vector<std::string> explain_dropped(const http1::RequestHead& head, bool trusted_peer, bool asks_certificates);

}  // namespace weir::proxy
