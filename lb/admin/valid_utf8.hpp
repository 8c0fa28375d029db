// Strangers' bytes in JSON.
#pragma once
#include <boost/json/string.hpp>

#include <string_view>

namespace weir::admin {

/// Valid UTF-8, which JSON must be: a byte that isn't becomes the four characters \xNN, as in the access log.
boost::json::string valid_utf8(std::string_view text);

}  // namespace weir::admin
