#include "lb/telemetry.hpp"

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <random>

namespace weir {

namespace {

/// Looks until the writer has the new file. Whoever asked may do to the old one then what they like.
class Reopening : public std::enable_shared_from_this<Reopening> {
 public:
  Reopening(boost::asio::io_context& control, std::shared_ptr<AccessLog> log, std::function<void(admin::Reopened)> done)
      : timer_(control), log_(std::move(log)), done_(std::move(done)), before_(log_->openings()) {}

  void begin() {
    outcome_.path = log_->path();
    outcome_.fixed = outcome_.path == "stdout";
    if (!outcome_.fixed) outcome_.error = log_->reopen();
    if (outcome_.fixed || !outcome_.error.empty()) return done_(std::move(outcome_));
    look();
  }

 private:
  void look() {
    const bool taken = log_->openings() != before_;
    if (!taken && Clock::now() < until_) {
      timer_.expires_after(std::chrono::milliseconds(2));
      return timer_.async_wait([self = shared_from_this()](boost::system::error_code error) {
        if (!error) self->look();
      });
    }
    if (!taken) outcome_.error = "the old file takes nothing, and its last lines are not yet written";
    done_(std::move(outcome_));
  }

  using Clock = std::chrono::steady_clock;
  boost::asio::steady_timer timer_;
  const std::shared_ptr<AccessLog> log_;
  const std::function<void(admin::Reopened)> done_;
  const uint64_t before_;
  const Clock::time_point until_ = Clock::now() + std::chrono::seconds(5);
  admin::Reopened outcome_;
};

}  // namespace

void reopen_access_log(boost::asio::io_context& control, std::shared_ptr<AccessLog> log,
                       std::function<void(admin::Reopened)> done) {
  if (!log) return done({});
  std::make_shared<Reopening>(control, std::move(log), std::move(done))->begin();
}

std::optional<AccessLog::Settings> access_log_settings(const config::Config& config, size_t workers) {
  if (config.log.access.empty()) return std::nullopt;
  AccessLog::Settings settings;
  settings.path = config.log.access;
  settings.format = config.log.format == config::Log::Format::combined ? AccessFormat::combined : AccessFormat::json;
  settings.fields = config.log.fields.empty() ? default_log_fields(config.tracing.has_value()) : config.log.fields;
  settings.workers = workers;
  return settings;
}

std::optional<proxy::Tracer> Exporters::tracer(const config::Config& config) {
  const auto& wanted = config.tracing;
  if (wanted != settings_) {
    std::shared_ptr<trace::SpanExporter> next;
    if (wanted)
      next = std::make_shared<trace::SpanExporter>(trace::SpanExporter::Settings{.collector = wanted->collector,
                                                                                 .authority = wanted->authority,
                                                                                 .path = wanted->path,
                                                                                 .service = wanted->service,
                                                                                 .version = WEIR_VERSION,
                                                                                 .workers = process_.workers,
                                                                                 .queue = wanted->queue,
                                                                                 .timeout = wanted->timeout,
                                                                                 .seed = std::random_device()()},
                                                   process_.traces);
    if (current_) old_.push_back(std::move(current_));
    current_ = std::move(next);
    settings_ = wanted;
  }
  if (!wanted) return std::nullopt;
  return proxy::Tracer{current_, wanted->trust == config::Tracing::Trust::anyone,
                       proxy::Tracer::below_for(wanted->sample_ppm)};
}

void Exporters::sweep() {
  for (auto& exporter : old_)
    if (exporter.use_count() == 1) exporter->begin_ending();
  std::erase_if(old_, [](const auto& exporter) { return exporter.use_count() == 1 && exporter->ended(); });
}

}  // namespace weir
