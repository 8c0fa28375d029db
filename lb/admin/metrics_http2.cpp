// The metrics of HTTP/2 to backends, and of gRPC.
#include <string>

#include "lb/admin/family_writer.hpp"

namespace weir::admin {

namespace {

uint64_t sum(const BackendState& backend, Counter BackendCells::*member) {
  uint64_t all = 0;
  for (const auto& cells : backend.cells) all += (cells.*member).get();
  return all;
}

}  // namespace

void collect_http2(const Inventory& inventory, std::vector<MetricFamily>& families) {
  FamilyWriter streams("weir_backend_http2_streams_total", "Requests sent to it as streams of HTTP/2.",
                       MetricType::Counter);
  FamilyWriter resets("weir_backend_http2_resets_total", "Streams that were reset, by whom.", MetricType::Counter);
  FamilyWriter goaways("weir_backend_http2_goaways_total", "Connections that it announced to end, by GOAWAY.",
                       MetricType::Counter);
  FamilyWriter failures("weir_backend_http2_failures_total", "Connections on which it broke the protocol.",
                        MetricType::Counter);
  for (const auto& pool : inventory.pools) {
    if (pool.config->protocol == config::Pool::Protocol::h1) continue;
    for (const auto& backend : pool.backends) {
      const std::string_view in = pool.state->name, name = backend->name;
      streams.add({{"pool", in}, {"backend", name}}, sum(*backend, &BackendCells::http2_streams));
      resets.add({{"pool", in}, {"backend", name}, {"direction", "received"}},
                 sum(*backend, &BackendCells::http2_resets_received));
      resets.add({{"pool", in}, {"backend", name}, {"direction", "sent"}},
                 sum(*backend, &BackendCells::http2_resets_sent));
      goaways.add({{"pool", in}, {"backend", name}}, sum(*backend, &BackendCells::http2_goaways));
      failures.add({{"pool", in}, {"backend", name}}, sum(*backend, &BackendCells::http2_failures));
    }
  }
  for (auto* family : {&streams, &resets, &goaways, &failures}) family->move_to(families);
}

void collect_grpc(const Inventory& inventory, std::vector<MetricFamily>& families) {
  FamilyWriter responses("weir_grpc_responses_total", "Answers to requests of gRPC, by its status.",
                         MetricType::Counter);
  for (const auto& route : inventory.routes)
    for (size_t i = 0; i < kGrpcStatuses; ++i) {
      uint64_t all = 0;
      for (const auto& cells : route->cells) all += cells.grpc[i].get();
      if (all > 0)
        responses.add({{"route", route->name}, {"pool", route->pool}, {"grpc_status", std::to_string(i)}}, all);
    }
  responses.move_to(families);
}

}  // namespace weir::admin
