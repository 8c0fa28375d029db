#include "lb/route/grpc.hpp"

#include "tests/catch.hpp"

using namespace weir;
using namespace std::chrono_literals;
using grpc::Status;

TEST_CASE("grpc: its media type, and what only looks like it") {
  for (const char* type : {"application/grpc", "application/grpc+proto", "Application/GRPC", "application/grpc;x=y"})
    CHECK(grpc::is_grpc(type));
  for (const char* type : {"", "application/grp", "application/grpc-web", "application/grpc-web+proto", "text/plain"})
    CHECK_FALSE(grpc::is_grpc(type));
}

TEST_CASE("grpc: time-outs") {
  CHECK(grpc::parse_timeout("1H") == Duration(1h));
  CHECK(grpc::parse_timeout("2M") == Duration(2min));
  CHECK(grpc::parse_timeout("3S") == Duration(3s));
  CHECK(grpc::parse_timeout("100m") == Duration(100ms));
  CHECK(grpc::parse_timeout("99999999u") == Duration(99999999us));
  CHECK(grpc::parse_timeout("0n") == Duration(0));
  CHECK(grpc::parse_timeout("99999999H") == Duration(24h * 365));
  for (const char* bad : {"", "1", "S", "1s", "1h", "-1S", "+1S", "1.5S", " 1S", "1 S", "123456789S", "1SS"})
    CHECK_FALSE(grpc::parse_timeout(bad));
}

TEST_CASE("grpc: statuses") {
  CHECK(grpc::parse_status("0") == Status::ok);
  CHECK(grpc::parse_status("14") == Status::unavailable);
  CHECK(grpc::parse_status("16") == Status::unauthenticated);
  CHECK(grpc::parse_status("17") == Status::unknown);
  CHECK(grpc::parse_status("999") == Status::unknown);
  for (const char* bad : {"", "-1", "x", "1x", "1000"}) CHECK_FALSE(grpc::parse_status(bad));
  CHECK(grpc::status_of(Cause::no_backend) == Status::unavailable);
  CHECK(grpc::status_of(Cause::no_route) == Status::unimplemented);
  CHECK(grpc::status_of(Cause::grpc_deadline) == Status::deadline_exceeded);
  CHECK(grpc::status_of(Cause::rate_limited) == Status::resource_exhausted);
  CHECK(grpc::status_of(Cause::credentials_missing) == Status::unauthenticated);
  CHECK(grpc::status_of_http(403) == Status::permission_denied);
  CHECK(grpc::status_of_http(302) == Status::unknown);
}

TEST_CASE("grpc: lines and messages") {
  const std::string_view lines = "grpc-message: none\r\ngrpc-status:  5 \r\nx: y\r\n";
  CHECK(grpc::find_line(lines, "grpc-status") == "5");
  CHECK(grpc::find_line(lines, "grpc-message") == "none");
  CHECK(grpc::find_line(lines, "x") == "y");
  CHECK(grpc::find_line(lines, "grpc").empty());
  CHECK(grpc::find_line("", "x").empty());
  CHECK(grpc::encode_message("no backend: 100 %\r\n\xc3\xa4") == "no backend: 100 %25%0D%0A%C3%A4");
}
