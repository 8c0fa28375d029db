#include "lb/upgrade.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "lb/base/log.hpp"
#include "lb/net/program.hpp"
#include "lb/net/spawn.hpp"
#include "lb/predecessor.hpp"

namespace weir {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kEndLook{50};
constexpr milliseconds kReapLook{5};
constexpr int kReapLooks = 40;
constexpr int kEndLooks = 40;  // from the end of its channel to that of the process

std::string from_path() {
  const char* path = std::getenv("PATH");
  return path ? path : "/usr/sbin:/usr/bin:/sbin:/bin";
}

milliseconds since(Clock::time_point then) { return std::chrono::duration_cast<milliseconds>(Clock::now() - then); }

}  // namespace

Upgrade::Upgrade(boost::asio::io_context& control, std::vector<std::string> arguments, Hooks hooks)
    : control_(control),
      arguments_(std::move(arguments)),
      program_(net::program_path(arguments_.empty() ? "" : arguments_.front(), from_path())),
      hooks_(std::move(hooks)) {}

std::string Upgrade::refusal() const {
  if (under_way())
    return fmt::format("an upgrade is under way: pid {} was started {} ms ago", pid_, since(started_).count());
  if (stage_ == Stage::serves) return fmt::format("pid {} has taken over from this process", pid_);
  if (::getpid() == 1)
    return "weir is process 1 here, as in a container, which ends with it: start a new container instead";
  return {};
}

void Upgrade::begin(milliseconds timeout, Done done) {
  if (auto reason = refusal(); !reason.empty()) {
    log::warn("upgrade_refused", {{"reason", reason}});
    admin::UpgradeOutcome refused;
    refused.kind = admin::UpgradeOutcome::Kind::refused;
    refused.reason = std::move(reason);
    refused.program = program_;
    return done(refused);
  }
  stage_ = Stage::starts;
  started_ = Clock::now();
  done_ = std::move(done);
  outcome_ = {};
  outcome_.program = program_;
  pid_ = 0;
  unused_.clear();
  received_.clear();
  try {
    start();
  } catch (const std::exception& error) {
    return fail(error.what());
  }
  timer_.expires_after(timeout);
  timer_.async_wait([this, timeout](boost::system::error_code error) {
    if (!error && under_way()) on_timeout(timeout);
  });
}

void Upgrade::start() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    throw std::system_error(errno, std::generic_category(), "cannot make the channel to the new process");
  const UniqueFd theirs(ends[1]);
  channel_.assign(boost::asio::local::stream_protocol(), ends[0]);
  net::Handover handover = hooks_.offer();
  handover.version = WEIR_VERSION;
  handover.takes_orders = true;
  if (self_.fd() >= 0) handover.processes.push_back({self_.pid(), self_.fd()});
  auto descriptors = handover.descriptors();
  descriptors.insert(descriptors.begin(), theirs.get());
  auto environment =
      net::environment_without({kUpgradeVariable, "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_PID"});
  environment.push_back(fmt::format("{}={}", kUpgradeVariable, net::kFirstSpawned));
  hooks_.copied(true);
  try {
    pid_ = net::spawn(program_, arguments_, environment, descriptors);
  } catch (...) {
    hooks_.copied(false);
    throw;
  }
  hooks_.copied(false);
  outcome_.pid = pid_;
  log::info("upgrade_started", {{"pid", std::to_string(pid_)}, {"program", program_}});
  send(handover.numbered_from(net::kFirstSpawned + 1).to_message());
  read();
}

void Upgrade::send(const net::Message& message) {
  const auto text = std::make_shared<const std::string>(net::encode(message));
  // An error shows in the reading, too.
  boost::asio::async_write(channel_, boost::asio::buffer(*text), [text](boost::system::error_code, size_t) {});
}

void Upgrade::read() {
  channel_.async_read_some(boost::asio::buffer(buffer_), [this](boost::system::error_code error, size_t n) {
    if (error == boost::asio::error::operation_aborted) return;
    if (error) return on_closed();
    received_.append(buffer_, n);
    try {
      while (const auto message = net::take_message(received_)) on_message(*message);
    } catch (const std::exception& wrong) {
      return fail(wrong.what());
    }
    if (channel_.is_open()) read();
  });
}

void Upgrade::on_message(const net::Message& message) {
  if (message.word == "failed") {  // it ends now
    for (const auto& line : message.lines) {
      if (line.size() < 2) continue;
      if (line[0] == "code") outcome_.bad_configuration = line[1] == "2";
      if (line[0] == "reason") outcome_.reason = line[1];
      if (line[0] == "detail") outcome_.details.push_back(line[1]);
    }
  } else if (message.word == "ready" && stage_ == Stage::starts) {
    for (const auto& line : message.lines) {
      if (line.size() < 2) continue;
      if (line[0] == "version") outcome_.version = line[1];
      if (line[0] == "unused") unused_.push_back(line[1]);
      if (line[0] == "forgotten") outcome_.forgotten.push_back(line[1]);
    }
    outcome_.ready_after = since(started_);
    stage_ = Stage::begins_to_serve;
    send(hooks_.go().to_message());
  } else if (message.word == "serving" && stage_ == Stage::begins_to_serve) {
    stage_ = Stage::serves;
    hooks_.hand_over(outcome_, unused_);
    send({"handed_over", {}});
    finish();
  } else if (stage_ == Stage::begins_to_serve || stage_ == Stage::serves) {
    on_word_of_successor(message);
  }
}

/// From the process that serves now, which may be one after the next.
void Upgrade::on_word_of_successor(const net::Message& message) try {
  if (message.word == "ending") {
    successor_ends_ = true;
  } else if (message.word == "order") {
    for (const auto& order : net::orders_of(message)) hooks_.obey(order);
  } else if (message.word == "count" && !std::exchange(answering_, true)) {
    const auto text = std::make_shared<const std::string>(
        net::encode(net::inflight_message({net::asked_by(message), hooks_.inflight()})));
    boost::asio::async_write(channel_, boost::asio::buffer(*text),
                             [this, text](boost::system::error_code, size_t) { answering_ = false; });
  }
} catch (const std::exception& wrong) {
  answering_ = false;
  log::error("handover_unreadable", {{"reason", wrong.what()}});
}

void Upgrade::on_timeout(milliseconds timeout) {
  fail(fmt::format("pid {} did not get ready within {} s (upgrade_timeout)", pid_,
                   std::chrono::duration_cast<std::chrono::seconds>(timeout).count()));
}

void Upgrade::on_closed() {
  channel_.close();
  if (stage_ == Stage::serves) return successor_ends_ ? void() : watch_end(0);
  const std::string ended = reap(true);
  fail(fmt::format("pid {} {} before it was ready{}{}", pid_, ended, outcome_.reason.empty() ? "" : ": ",
                   outcome_.reason));
}

/// The new process, that serves, may be ending in order: then there is nothing to do.
void Upgrade::watch_end(int looks) {
  int status = 0;
  const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
  if (ended == 0 && looks < kEndLooks) {
    timer_.expires_after(kEndLook);
    timer_.async_wait([this, looks](boost::system::error_code error) {
      if (!error) watch_end(looks + 1);
    });
    return;
  }
  if (ended != pid_ || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) return;
  stage_ = Stage::idle;
  hooks_.take_back(fmt::format("pid {} {}", pid_, net::how_it_ended(status)));
}

/// `patient`: it has closed its channel and is about to end by itself; else what ended it would be our signal.
std::string Upgrade::reap(bool patient) {
  int status = 0;
  pid_t ended = 0;
  for (int i = 0; patient && ended == 0 && i < kReapLooks; ++i) {
    if (i > 0) std::this_thread::sleep_for(kReapLook);
    ended = ::waitpid(pid_, &status, WNOHANG);
  }
  if (ended == pid_) return net::how_it_ended(status);
  ::kill(pid_, SIGKILL);
  do ended = ::waitpid(pid_, &status, 0);
  while (ended < 0 && errno == EINTR);
  return ended == pid_ ? net::how_it_ended(status) : "is gone";
}

void Upgrade::fail(std::string reason) {
  if (channel_.is_open()) {
    channel_.close();
    if (pid_ && stage_ != Stage::serves) reap(false);
  }
  stage_ = Stage::idle;
  outcome_.kind = admin::UpgradeOutcome::Kind::failed;
  outcome_.reason = std::move(reason);
  log::error("upgrade_failed", {{"reason", outcome_.reason}, {"running", fmt::format("pid {}", ::getpid())}});
  finish();
}

void Upgrade::finish() {
  timer_.cancel();
  if (const Done done = std::exchange(done_, nullptr)) done(outcome_);
}

void Upgrade::cancel() {
  if (!under_way()) return;
  channel_.close();
  ::kill(pid_, stage_ == Stage::starts ? SIGKILL : SIGTERM);
  fail("weir is ending");
}

}  // namespace weir
