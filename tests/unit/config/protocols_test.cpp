// Protocols in the configuration: what is spoken to clients and to backends, and what people write in its place.
#include "tests/unit/config/support.hpp"

using namespace weir::config;
using namespace weir::config::test;

TEST_CASE("HTTP/2 to backends: the scheme says whether by TLS, and what can't go with it") {
  const auto pool = [](const std::string& keys) {
    return "listeners: { web: { bind: \":80\" } }\nroutes: [ { pool: a } ]\npools: { a: { " + keys + " } }\n";
  };
  check_error(pool("protocol: h2, backends: { @@x: \"http://127.0.0.1:9001\" }"),
              "protocol: h2 is HTTP/2 by TLS; write https:// in the backend's URL, or protocol: h2c");
  check_error(pool("protocol: h2, backends: { @@x: \"unix:/run/app.sock\" }"), "write https://");
  check_error(pool("protocol: h2, backends: { x: @@127.0.0.1:9001 }"),
              "the scheme is missing; write https://127.0.0.1:9001");
  check_error(pool("backends: { x: @@\"h2c://127.0.0.1:9001\" }"),
              "write http://127.0.0.1:9001, and protocol: h2c in the pool");
  check_error(pool("backends: { x: @@\"grpcs://127.0.0.1:9001\" }"),
              "write https://127.0.0.1:9001, and protocol: h2 in the pool");
  check_error(pool("protocol: @@grpc, backends: { x: \"http://127.0.0.1:9001\" }"),
              "\"grpc\" is not known here; gRPC is HTTP/2; write h2c");
  check_error(pool("protocol: h2c, backends: { y: \"http://127.0.0.1:1\", @@x: \"https://127.0.0.1:9001\" }"),
              "protocol: h2c is HTTP/2 without TLS; write http:// in the backend's URL, or protocol: h2");
  check_error(pool("@@protocol: h2, discover: { dns: app.internal:8080 }"),
              "spoken to without TLS; write protocol: h2c");
  check_error(pool("@@protocol: h2c, proxy_protocol: v2, backends: { x: \"http://127.0.0.1:9001\" }"),
              "clients share connections");
  check_error(pool("@@health: { type: grpc }, backends: { x: \"http://127.0.0.1:9001\" }"),
              "checks of type grpc need HTTP/2");
  check_error(pool("protocol: h2c, health: { type: grpc, @@path: /x }, backends: { x: \"http://127.0.0.1:9001\" }"),
              "path is for HTTP checks alone");
  check_error(pool("protocol: h2c, health: { path: /x, type: http, @@service: y }, backends: { x: "
                   "\"http://127.0.0.1:9001\" }"),
              "service is for gRPC's checks alone");
}

TEST_CASE("protocols of a listener have the names of ALPN") {
  const auto listener = [](const std::string& protocols) {
    return "listeners: { web: { bind: \":80\", protocols: " + protocols +
           " } }\nroutes: [ { pool: a } ]\npools: { a: { backends: { x: \"http://127.0.0.1:9001\" } } }\n";
  };
  good(listener("[h2, http/1.1]"));
  check_error(listener("[@@h1]"), "\"h1\" is not known here; write http/1.1");
  check_error(listener("@@h2c"), "write h2, which without `tls` is HTTP/2 by prior knowledge");
}
