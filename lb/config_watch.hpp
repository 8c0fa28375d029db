// Notices that the configuration's files have changed: inotify on their directories, so that a new file in the place of
// an old one, a write into it and a symlink that leads elsewhere are all seen.
#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "config/seen_files.hpp"

namespace weir {

class ConfigWatch {
 public:
  /// Files are looked at when nothing has happened to them for so long …
  static constexpr std::chrono::milliseconds kSettled{200};
  /// … or when something has been happening for so long.
  static constexpr std::chrono::milliseconds kLongest{2000};

  using Seen = std::shared_ptr<config::SeenFiles>;

  /// `changed(path)` is called on the control thread, when what was read is no longer what stands there.
  ConfigWatch(boost::asio::io_context& control, std::function<void(const std::string& path)> changed);

  /// From now on, or no longer. Without inotify (its limits are reached) an event says so, and looking every other
  /// second replaces it.
  void switch_on(bool on);
  /// What was read before this object was.
  void start_from(const Seen& seen) { seen_ = *seen; }
  /// For reading the configuration: `world`, and what is read is noted.
  config::Environment recording(const config::Environment& world);
  /// What was read through recording() is what runs (or, if not `good`, what failed: then what ran stays watched,
  /// too).
  void loaded(bool good);
  void stop() { switch_on(false); }

 private:
  void watch_directories();
  void wait();
  void on_event();
  void look();
  void arm(std::chrono::milliseconds after);

  boost::asio::posix::stream_descriptor inotify_;
  boost::asio::steady_timer timer_;
  std::function<void(const std::string&)> changed_;
  std::shared_ptr<config::SeenFiles> reading_ = std::make_shared<config::SeenFiles>();
  config::SeenFiles seen_;
  std::chrono::steady_clock::time_point first_event_{};
  bool on_ = false, pending_ = false, polling_ = false, told_gone_ = false;
};

/// The directories in which something must happen for `path` to become another file: its own, and those of the symlinks
/// on its way.
std::set<std::string> directories_of(const std::string& path);

}  // namespace weir
