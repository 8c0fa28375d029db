#include "lb/net/trailers.hpp"

#include "tests/catch.hpp"

using weir::allowed_in_trailers;

TEST_CASE("trailers: what tells of the body that was sent may follow it") {
  for (const char* name : {"grpc-status", "grpc-message", "grpc-status-details-bin", "Digest", "Content-Digest",
                           "Server-Timing", "ETag", "x-checksum"})
    CHECK(allowed_in_trailers(name));
}

TEST_CASE("trailers: what frames, routes, authenticates or says how to read may not") {
  for (const char* name : {"Transfer-Encoding",
                           "content-length",
                           "Trailer",
                           "Host",
                           "Connection",
                           "Keep-Alive",
                           "Upgrade",
                           "TE",
                           "Authorization",
                           "Proxy-Authorization",
                           "WWW-Authenticate",
                           "Cookie",
                           "Set-Cookie",
                           "Content-Type",
                           "content-encoding",
                           "Content-Range",
                           "Cache-Control",
                           "Expect",
                           "Max-Forwards",
                           "Range",
                           "If-None-Match",
                           "X-Forwarded-For",
                           "x-forwarded-anything",
                           "X-Client-Cert-Subject",
                           "X-Remote-User",
                           "Forwarded",
                           "X-Real-IP"})
    CHECK_FALSE(allowed_in_trailers(name));
}
