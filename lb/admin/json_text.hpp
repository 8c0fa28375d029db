// JSON as people like to read it.
#pragma once
#include <boost/json/value.hpp>
#include <string>

namespace weir::admin {

/// Indented by two; what is short and holds nothing nested stays on its line. Numbers are plain decimals, with up to
/// three digits behind the point (Boost.JSON writes 1E0). Ends with a newline.
std::string json_text(const boost::json::value& value);

}  // namespace weir::admin
