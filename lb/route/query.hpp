// Names and values of a query as every backend reads them: decoded, %xx and "+" alike. A bad escape stands for itself.
#pragma once
#include <span>
#include <string_view>

namespace weir::route {

bool decoded_equals(std::string_view raw, std::string_view wanted);

/// The decoded form, which is never longer, written to `room`; `raw` itself if there is too little of that.
std::string_view decode(std::string_view raw, std::span<char> room);

}  // namespace weir::route
