// Private to lb/net/http2_*.cpp: a field section as nghttp2 takes it.
#pragma once
#include <nghttp2/nghttp2.h>

#include <vector>

#include "lb/net/http2_fields.hpp"

namespace weir::http2 {

struct FieldSection::Rows : std::vector<nghttp2_nv> {};

}  // namespace weir::http2
