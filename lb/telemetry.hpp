// What watches the daemon's requests and may change with each configuration: the access log and the exporter of spans.
// Control thread.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "config/model.hpp"
#include "lb/admin/control.hpp"
#include "lb/base/access_log.hpp"
#include "lb/base/state.hpp"
#include "lb/proxy/runtime.hpp"

namespace weir {

/// The settings of the access log that a configuration wants; nothing: none.
std::optional<AccessLog::Settings> access_log_settings(const config::Config& config, size_t workers);

/// `done` is called once the writer has the new file, on the control thread; `log` may be null.
void reopen_access_log(boost::asio::io_context& control, std::shared_ptr<AccessLog> log,
                       std::function<void(admin::Reopened)> done);

class Exporters {
 public:
  explicit Exporters(ProcessState& process) : process_(process) {}
  /// What `config` wants, with the exporter that runs if that has the same settings. The one before ends once no
  /// request and no runtime has it any more.
  std::optional<proxy::Tracer> tracer(const config::Config& config);
  /// Now and then: ends and frees those that nobody uses.
  void sweep();

 private:
  ProcessState& process_;
  std::optional<config::Tracing> settings_;
  std::shared_ptr<trace::SpanExporter> current_;
  std::vector<std::shared_ptr<trace::SpanExporter>> old_;
};

}  // namespace weir
