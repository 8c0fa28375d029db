// What the process that serves knows of older ones.
#include "lb/net/older_processes.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include "tests/catch.hpp"

using namespace weir;
using namespace weir::net;

namespace {

constexpr int64_t kSecond = 1'000'000'000;

Message answer(int64_t asked_ns, uint64_t inflight) { return inflight_message({asked_ns, {{"app", "b1", inflight}}}); }

ProcessHandle alive(pid_t pid) { return {pid, UniqueFd(::dup(ProcessHandle::of_this_process().fd()))}; }

}  // namespace

TEST_CASE("a count is known when it is answered", "[older_processes]") {
  OlderCounts counts;
  CHECK_FALSE(counts.inflight("app", "b1"));
  CHECK_FALSE(counts.obeys());
  REQUIRE(counts.ask(kSecond));
  counts.take({"moon", {}});
  CHECK_FALSE(counts.inflight("app", "b1"));
  counts.take(answer(kSecond, 2));
  CHECK(counts.inflight("app", "b1") == 2);
  CHECK(counts.inflight("app", "b2") == 0);
  CHECK(counts.obeys());
}

TEST_CASE("a count from before an order says nothing of it", "[older_processes]") {
  OlderCounts counts;
  counts.ask(kSecond);
  counts.ordered(kSecond + 1);
  counts.take(answer(kSecond, 0));
  CHECK_FALSE(counts.obeys());
  CHECK(counts.inflight("app", "b1") == 0);
  for (const auto& [after, obeys] :
       {std::pair(OlderCounts::kSettleNs / 2, false), {OlderCounts::kSettleNs * 2, true}}) {
    counts.ask(kSecond + 1 + after);
    counts.take(answer(kSecond + 1 + after, 1));
    CHECK(counts.obeys() == obeys);
  }
}

TEST_CASE("one question at a time, and again when no answer comes", "[older_processes]") {
  OlderCounts counts;
  CHECK(counts.ask(kSecond));
  CHECK_FALSE(counts.ask(2 * kSecond));
  CHECK(counts.ask(kSecond + OlderCounts::kPatienceNs));
  counts.take(answer(kSecond, 1));  // to the first one, late
  CHECK_FALSE(counts.ask(kSecond + OlderCounts::kPatienceNs + 1));
  counts.take(answer(kSecond + OlderCounts::kPatienceNs, 2));
  CHECK(counts.ask(kSecond + OlderCounts::kPatienceNs + 2));
  counts.take(answer(kSecond, 1));  // and twice: what is newer holds
  CHECK(counts.inflight("app", "b1") == 2);
}

TEST_CASE("of the older processes a few may live, the oldest goes first", "[older_processes]") {
  std::vector<OlderProcess> all;
  for (pid_t pid = 1; pid <= 6; ++pid)
    all.push_back({pid == 3 ? ProcessHandle(pid, UniqueFd()) : alive(pid), UniqueFd()});
  boost::asio::io_context control;
  OlderProcesses processes(control);
  processes.hold(std::move(all));
  processes.prune();  // 3 has ended
  CHECK(processes.pids() == std::vector<int64_t>{1, 2, 4, 5, 6});
  REQUIRE(processes.one_too_many());
  CHECK(processes.one_too_many()->pid() == 1);
  processes.forget_oldest();
  CHECK_FALSE(processes.one_too_many());
  CHECK(processes.pids().size() == OlderProcesses::kMost);
}

TEST_CASE("who takes orders gets each and is asked; of who does not, nothing is known", "[older_processes]") {
  int one[2], last[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, one) == 0);
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, last) == 0);
  const UniqueFd theirs(one[1]), deaf(last[1]);
  boost::asio::io_context control;
  OlderProcesses processes(control);
  std::vector<OlderProcess> all;
  all.push_back({alive(1), UniqueFd(one[0])});
  all.push_back({alive(2), UniqueFd()});
  processes.hold(std::move(all));
  processes.begin(UniqueFd(last[0]), false);
  processes.pass_on({"app", "b1", "drain", "me", 5});
  const auto offered = processes.offer();
  REQUIRE(offered.size() == 2);
  CHECK(offered[0].channel == one[0]);
  CHECK(offered[1].channel == -1);

  std::string heard;
  char buffer[4096];
  ssize_t n = ::recv(theirs.get(), buffer, sizeof buffer, 0);
  REQUIRE(n > 0);
  heard.assign(buffer, static_cast<size_t>(n));
  const auto order = take_message(heard);
  REQUIRE(order);
  CHECK(heard.empty());
  CHECK(orders_of(*order).at(0).order == "drain");
  CHECK(::recv(deaf.get(), buffer, sizeof buffer, MSG_DONTWAIT) < 0);
  processes.serves();
  n = ::recv(deaf.get(), buffer, sizeof buffer, 0);
  REQUIRE(n > 0);
  CHECK(std::string(buffer, static_cast<size_t>(n)) == encode({"serving", {}}));

  // The last one has handed over: the others are asked.
  const std::string over = encode({"handed_over", {}});
  REQUIRE(::send(deaf.get(), over.data(), over.size(), 0) == static_cast<ssize_t>(over.size()));
  control.run_one();
  n = ::recv(theirs.get(), buffer, sizeof buffer, 0);
  REQUIRE(n > 0);
  heard.assign(buffer, static_cast<size_t>(n));
  const auto question = take_message(heard);
  REQUIRE(question);
  const std::string text = encode(answer(asked_by(*question), 4));
  REQUIRE(::send(theirs.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  control.run_one();
  const auto shares = processes.shares("app", "b1");
  REQUIRE(shares.size() == 2);
  CHECK(shares[0].inflight == 4);
  CHECK_FALSE(shares[0].obeys);  // it was asked right after the order
  CHECK_FALSE(shares[1].takes_orders);
  CHECK_FALSE(shares[1].inflight);
  processes.pause();
}

TEST_CASE("one that is not among them hears that we serve", "[older_processes]") {
  int last[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, last) == 0);
  const UniqueFd theirs(last[1]);
  boost::asio::io_context control;
  OlderProcesses processes(control);
  processes.begin(UniqueFd(last[0]), true);
  processes.serves();
  processes.prune();
  CHECK(processes.pids().empty());
  CHECK(processes.shares("app", "b1").empty());
  char buffer[64];
  const ssize_t n = ::recv(theirs.get(), buffer, sizeof buffer, 0);
  REQUIRE(n > 0);
  CHECK(std::string(buffer, static_cast<size_t>(n)) == encode({"serving", {}}));
  processes.pause();
}
