#include "lb/config_watch.hpp"

#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "lb/base/log.hpp"

namespace weir {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kMaxHops = 40;  // symlinks, as the kernel has it
constexpr auto kPoll = std::chrono::milliseconds(2000);
// Not IN_MODIFY: a file is looked at when its writer has closed it, and logs beside it would wake us all the time.
constexpr uint32_t kEvents =
    IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

/// The part of a pattern before its first wildcard.
std::string fixed_directory(const std::string& pattern) {
  return fs::path(pattern.substr(0, pattern.find_first_of("*?["))).parent_path();
}

}  // namespace

std::set<std::string> directories_of(const std::string& path) {
  std::set<std::string> out;
  std::error_code error;
  fs::path rest = fs::absolute(path, error), done;
  int hops = 0;
  for (auto part = rest.begin(); part != rest.end();) {
    const fs::path here = done / *part;
    if (!fs::is_symlink(fs::symlink_status(here, error))) {
      done = here;
      ++part;
      continue;
    }
    out.insert(done);
    const fs::path target = fs::read_symlink(here, error);
    if (error || ++hops > kMaxHops) return out;
    fs::path next = target.is_absolute() ? target : done / target;
    for (++part; part != rest.end(); ++part) next /= *part;
    rest = next.lexically_normal();
    done.clear();
    part = rest.begin();
  }
  out.insert(done.parent_path());
  return out;
}

ConfigWatch::ConfigWatch(boost::asio::io_context& control, std::function<void(const std::string&)> changed)
    : inotify_(control), timer_(control), changed_(std::move(changed)) {}

void ConfigWatch::switch_on(bool on) {
  if (std::exchange(on_, on) == on) return;
  boost::system::error_code ignored;
  inotify_.close(ignored);
  timer_.cancel();
  pending_ = polling_ = false;
  if (!on) return;
  const int fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd >= 0) {
    inotify_.assign(fd);
    wait();
  }
  log::info("watching", {{"files", std::to_string(seen_.files.size())}});
  watch_directories();
}

config::Environment ConfigWatch::recording(const config::Environment& world) {
  *reading_ = {};
  return config::recording(world, reading_);
}

void ConfigWatch::loaded(bool good) {
  config::SeenFiles now = std::move(*reading_);
  *reading_ = {};
  if (!good) {
    // A file that can't be parsed names no others.
    for (const auto& [path, file] : now.files) seen_.files[path] = file;
    now.files.clear();
    seen_.add(now);
  } else {
    seen_ = std::move(now);
  }
  if (on_) watch_directories();
}

/// Adding one that is watched already changes nothing, and one that isn't needed any more costs nothing.
void ConfigWatch::watch_directories() {
  std::set<std::string> directories;
  for (const auto& [path, file] : seen_.files) directories.merge(directories_of(path));
  for (const auto& [pattern, found] : seen_.patterns)
    directories.merge(directories_of(fixed_directory(pattern) + "/x"));
  int problem = inotify_.is_open() ? 0 : EMFILE;
  for (const auto& directory : directories)
    if (!problem && ::inotify_add_watch(inotify_.native_handle(), directory.c_str(), kEvents) < 0) problem = errno;
  if (!problem) {
    polling_ = false;
    return;
  }
  if (!std::exchange(polling_, true))
    log::warn("watch_polling", {{"reason", std::generic_category().message(problem)},
                                {"action", "looks at the files every other second"}});
  if (!pending_) arm(kPoll);
}

void ConfigWatch::wait() {
  inotify_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code error) {
    if (error || !on_) return;
    alignas(inotify_event) std::array<char, 4096> events;
    while (::read(inotify_.native_handle(), events.data(), events.size()) > 0) {
    }
    on_event();
    wait();
  });
}

void ConfigWatch::on_event() {
  const auto now = Clock::now();
  if (!std::exchange(pending_, true)) first_event_ = now;
  const auto until = std::min(now + kSettled, first_event_ + kLongest);
  arm(std::chrono::duration_cast<std::chrono::milliseconds>(std::max(until - now, Clock::duration::zero())));
}

void ConfigWatch::arm(std::chrono::milliseconds after) {
  timer_.expires_after(after);
  timer_.async_wait([this](boost::system::error_code error) {
    if (!error && on_) look();
  });
}

void ConfigWatch::look() {
  pending_ = false;
  watch_directories();  // they may be others now
  const std::string path = seen_.changed(config::Environment::real());
  if (path.empty()) {
    told_gone_ = false;
    return;
  }
  // Between its going and the coming of another there is nothing to read; that is waited for.
  if (::access(path.c_str(), F_OK) != 0 && path.find_first_of("*?[") == std::string::npos) {
    if (!std::exchange(told_gone_, true))
      log::warn("config_file_gone", {{"file", path}, {"action", "waits for another"}});
    return;
  }
  told_gone_ = false;
  log::info("config_file_changed", {{"file", path}});
  changed_(path);
}

}  // namespace weir
