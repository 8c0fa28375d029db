#include "lb/proxy/recent.hpp"

#include <string>

#include "tests/catch.hpp"

using namespace weir;
using namespace weir::proxy;

namespace {

using Kind = RecentKind;

void add(RecentRequests& recent, const std::string& id, int64_t when, Kind kind = Kind::forwarded) {
  RequestRecord& record = recent.next(kind);
  record.id = id;
  record.trace_id = "";
  record.wall_ns = when;
  record.kept = 0;
}

std::string ids(const std::vector<RequestRecord>& records) {
  std::string text;
  for (const auto& record : records) text += std::string(record.id.view()) + " ";
  return text;
}

}  // namespace

TEST_CASE("what is remembered is found by the beginning of its id, the newest first") {
  RecentRequests recent(1);
  CHECK(recent.find("", 10).empty());
  add(recent, "aa1", 10);
  add(recent, "aa2", 30);
  add(recent, "b", 20, Kind::refused);
  CHECK(ids(recent.find("", 10)) == "aa2 b aa1 ");
  CHECK(ids(recent.find("aa", 10)) == "aa2 aa1 ");
  CHECK(ids(recent.find("aa1", 10)) == "aa1 ");
  CHECK(ids(recent.find("aa11", 10)).empty());
  CHECK(ids(recent.find("", 1)) == "aa2 b ");
}

TEST_CASE("what is remembered is found by its trace, too") {
  RecentRequests recent(1);
  add(recent, "aa1", 10);
  add(recent, "bb", 20);
  RequestRecord& traced = recent.next(Kind::forwarded);
  traced.id = "theirs";
  traced.trace_id = "0af7651916cd43dd8448eb211c80319c";
  traced.wall_ns = 30;
  CHECK(ids(recent.find("0af7", 10)) == "theirs ");
}

TEST_CASE("the rings are bounded, each by itself") {
  RecentRequests recent(4);
  constexpr size_t kForwarded = RecentRequests::share(RecentRequests::kKept[0], 4),
                   kRefused = RecentRequests::share(RecentRequests::kKept[1], 4);
  CHECK((kForwarded == 128 && kRefused == 32));
  add(recent, "forwarded", 1);
  for (size_t i = 0; i < 10 * kRefused; ++i)
    add(recent, "r" + std::to_string(i), static_cast<int64_t>(i), Kind::refused);
  CHECK(recent.find("", 10'000).size() == kRefused + 1);
  CHECK(recent.find("forwarded", 1).size() == 1);
  for (size_t i = 0; i < kForwarded; ++i) add(recent, "f" + std::to_string(i), 1);
  CHECK(recent.find("forwarded", 1).empty());
  CHECK(recent.find("f0", 1).size() == 1);
  for (size_t i = 0; i < 10 * kForwarded; ++i) add(recent, "s" + std::to_string(i), 2, Kind::slow);
  CHECK(recent.find("f0", 1).size() == 1);
  CHECK(recent.find("s", 10'000).size() == RecentRequests::share(RecentRequests::kKept[2], 4));
}

TEST_CASE("texts that are too long are cut") {
  FixedText<4> text;
  text = "abcdef";
  CHECK(text.view() == "abcd");
  text = "";
  CHECK(text.view().empty());
}
