// The live snapshots of /api/v1/events: one a second, made once for everybody who listens, none while nobody does.
#pragma once
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace weir::admin {

class Broadcast : public std::enable_shared_from_this<Broadcast> {
 public:
  static constexpr size_t kStreams = 16;  // of all listeners together
  static constexpr std::chrono::milliseconds kPeriod{1000};
  static constexpr size_t kTexts = 900;  // after them a stream ends

  using Text = std::shared_ptr<const std::string>;  // as it goes onto the wire: "data: {…}\n\n"
  using Deliver = std::function<void(const Text&)>;

  /// `make` gives one snapshot as JSON on one line.
  Broadcast(boost::asio::io_context& control, std::function<std::string()> make)
      : timer_(control), make_(std::move(make)) {}

  /// `deliver` is called at once and then every kPeriod, until remove(id); it must neither throw nor call back here.
  /// False: there are kStreams already. Throws what `make` throws.
  bool add(const void* id, Deliver deliver);
  void remove(const void* id);
  /// For good.
  void stop();

 private:
  void wait();
  void tick();
  void refresh();

  boost::asio::steady_timer timer_;
  std::function<std::string()> make_;
  std::map<const void*, Deliver> streams_;
  Text last_;
  bool running_ = false, stopped_ = false;
};

}  // namespace weir::admin
