// The rules of a route's guards, apart from what they do to a request: guards.cpp and `weir explain` ask these. Pure,
// but for the clock that is passed in.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "lb/net/basic_auth.hpp"
#include "lb/net/http1.hpp"
#include "lb/proxy/request_facts.hpp"
#include "lb/proxy/runtime.hpp"

namespace weir::proxy {

/// `deny` and `allow`: whether the list that is asked last refuses the client. `deny` goes first; an empty allow is
/// everybody.
enum class AddressVerdict : uint8_t { passes, denied, not_allowed };
AddressVerdict judge_address(const Route& route, std::string_view client);

/// The bucket of `rate_limit`. Requests without the key share one: leaving it out must not be a way around the limit.
/// Another spelling must be none either.
uint64_t rate_bucket(std::string_view key, KeyValues::Spelling spelling);
/// Why a request is refused that has more values for the key than KeyValues::kMost.
inline constexpr const char* kTooManyKeys = "more than 4 different values for the key of rate_limit";

/// What a request says in Authorization to `auth: { basic: … }`.
enum class Login : uint8_t {
  missing,  // no credentials, or of another scheme
  wrong,    // they can't be read, or stand there twice
  given,    // `out` has them
};
/// `out` points into `room`.
Login read_login(const http1::RequestHead& head, std::span<char, http1::kMaxCredentials> room,
                 http1::BasicCredentials& out);

}  // namespace weir::proxy
