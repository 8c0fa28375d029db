// Beast's parser as the oracle of ours: whatever we accept, Beast accepts too and reads the same. We are stricter,
// never laxer, but for the differences that are explained here (see docs/adr/0001-own-http1-parser.md). Each function
// returns an empty string or what differs.
#pragma once
#include <string>
#include <string_view>

#include "lb/net/http1.hpp"

namespace weir::http1::oracle {

/// `bytes` is what parse_request has accepted as `head`.
std::string compare_request(std::string_view bytes, const RequestHead& head);
/// `bytes` is what parse_response has accepted as `head`, as the answer to `request_method`.
std::string compare_response(std::string_view bytes, Method request_method, const ResponseHead& head);
/// ChunkDecoder has taken the first `consumed` of `bytes` as a complete body, `body` being its data.
std::string compare_chunked(std::string_view bytes, size_t consumed, std::string_view body);

}  // namespace weir::http1::oracle
