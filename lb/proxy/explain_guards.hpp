// The guards of a route, asked for `weir explain`.
#pragma once
#include <string_view>

#include "lb/net/http1.hpp"
#include "lb/proxy/explain.hpp"

namespace weir::proxy {

/// In the order of Exchange::pass_guards, by the same rules; nothing is taken. False: one refuses, and `out` says why.
bool explain_guards(const Route& route, const Question& question, const http1::RequestHead& head,
                    const http1::NormalizedPath& path, Explanation& out);

}  // namespace weir::proxy
