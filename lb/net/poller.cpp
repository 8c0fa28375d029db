#include "lb/net/poller.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <system_error>

namespace weir::net {

namespace {
constexpr auto kLeast = std::chrono::microseconds(50);  // for those that want another turn, in each round
}

struct Poller::Watch {
  explicit Watch(boost::asio::io_context& context) : descriptor(context) {}
  boost::asio::posix::stream_descriptor descriptor;
};

Poller::Poller(boost::asio::io_context& context, std::function<TimePoint()> before_batch,
               std::function<void()> after_batch)
    : watch_(std::make_unique<Watch>(context)),
      before_batch_(std::move(before_batch)),
      after_batch_(std::move(after_batch)) {
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) throw std::system_error(errno, std::system_category(), "epoll_create1");
  watch_->descriptor.assign(epoll_);
  wake_ = UniqueFd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN;
  if (!wake_ || ::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_.get(), &event) != 0)
    throw std::system_error(errno, std::system_category(), "eventfd");
}

Poller::~Poller() = default;

void Poller::start() { wait(); }

void Poller::wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);  // full: it is awake
}

void Poller::stop() {
  boost::system::error_code ignored;
  watch_->descriptor.close(ignored);
  epoll_ = -1;
}

bool Poller::add(int fd, Pollable& target) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &target;
  return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0;
}

bool Poller::add_level(int fd, Pollable& target) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = &target;
  return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0;
}

void Poller::remove(int fd) { ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr); }

void Poller::again(Pollable& target) {
  if (target.queued_again_) return;
  target.queued_again_ = true;
  again_.push_back(&target);
  if (!running_) run_soon();
}

void Poller::wait() {
  watch_->descriptor.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                                [this](boost::system::error_code error) {
                                  if (error || epoll_ < 0) return;
                                  run();
                                  if (epoll_ >= 0) wait();
                                });
}

/// Waits and handles batches until Asio has something to do: a post (wake) or its next timer (return_by).
void Poller::run() {
  running_ = true;
  bool due = false;
  for (TimePoint now = monotonic_now(); !due && !woken_ && epoll_ >= 0;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(return_by_ - now).count();
    due = left <= 0;
    now = round(due || !again_.empty() ? 0 : static_cast<int>(left));
    sweep();
  }
  running_ = woken_ = false;
  if (!again_.empty()) run_soon();
}

void Poller::run_soon() {
  if (run_posted_) return;
  run_posted_ = true;
  boost::asio::post(watch_->descriptor.get_executor(), [this] {
    run_posted_ = false;
    if (epoll_ >= 0) run();
  });
}

void Poller::sweep() {
  std::erase_if(again_, [](const Pollable* target) { return target->retired_; });
  after_batch_();
}

TimePoint Poller::round(int timeout_ms) {
  std::array<epoll_event, kBatch> events;
  const int count = ::epoll_wait(epoll_, events.data(), kBatch, timeout_ms);
  const TimePoint now = before_batch_();
  running_again_.swap(again_);
  for (int i = 0; i < count; ++i) {
    auto* target = static_cast<Pollable*>(events[static_cast<size_t>(i)].data.ptr);
    if (!target) {
      uint64_t posts;
      [[maybe_unused]] const auto taken = ::read(wake_.get(), &posts, sizeof posts);
      woken_ = true;
    } else if (!target->retired_) {
      target->on_events(events[static_cast<size_t>(i)].events);
    }
  }
  if (!running_again_.empty()) run_again(now);
  return now;
}

/// Who wants another turn gets as long as the events took, and kLeast at least; the rest stands first the next time.
void Poller::run_again(TimePoint batch_began) {
  const TimePoint begin = monotonic_now();
  const TimePoint end = begin + std::max<Duration>(begin - batch_began, kLeast);
  auto next = running_again_.begin();
  do {
    (*next)->queued_again_ = false;
    if (!(*next)->retired_) (*next)->on_events(0);
  } while (++next != running_again_.end() && monotonic_now() < end);
  again_.insert(again_.begin(), next, running_again_.end());
  running_again_.clear();
}

}  // namespace weir::net
