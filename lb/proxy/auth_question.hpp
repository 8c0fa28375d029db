// Asks a service of the operator's whether a request may pass (`auth: { forward: … }`): the head of the request,
// without its body, as a GET. 2xx lets it pass, 3xx, 401 and 403 are the client's answer, everything else keeps it out.
#pragma once
#include <string>
#include <string_view>

#include "config/model.hpp"
#include "lb/net/http1.hpp"
#include "lb/proxy/backend_use.hpp"
#include "lb/proxy/head_writer.hpp"
#include "lb/route/retry.hpp"

namespace weir::proxy {

class Exchange;

/// One at a time; belongs to an exchange, which tells it the time and is told the answer.
class AuthQuestion final : public UpstreamUser {
 public:
  /// Of an answer that goes to the client.
  static constexpr size_t kMaxBody = 64 << 10;

  AuthQuestion(Worker& worker, Exchange& exchange) : worker_(worker), exchange_(exchange) {}
  ~AuthQuestion() { abandon(); }
  AuthQuestion(const AuthQuestion&) = delete;
  AuthQuestion& operator=(const AuthQuestion&) = delete;

  /// Ends in exactly one of the exchange's on_auth_granted, on_auth_refused and on_auth_failed, perhaps at once; or in
  /// abandon(). `head` must stay until then.
  void ask(const config::ForwardAuth& how, WorkerPool& pool, const http1::RequestHead& head,
           const RequestContext& context, uint64_t key_hash);
  bool asking() const { return head_ != nullptr; }
  /// The timer that set_timer() asked for.
  void on_timer();
  /// Nobody wants to know any more.
  void abandon();

  /// Field lines: after granted those that go to the backend, after refused those of the answer.
  std::string_view fields() const { return fields_; }
  std::string_view body() const { return body_; }

  // From the connection to the service.
  void on_connected() override { send(); }
  void on_connect_failed(int error) override;
  bool sends_body() const override { return false; }
  bool wants_response() const override { return asking(); }
  void on_upstream_bytes(char* data, size_t size) override;
  void on_upstream_end(bool reset) override;
  void on_upstream_drained() override {}

 private:
  void begin_attempt();
  void connect(bool fresh);
  void send();
  void attempt_failed(route::FailureKind kind);
  bool take_head(char*& data, size_t& size);
  bool judge(const http1::ResponseHead& response);
  void note_response();
  void take_body(char* data, size_t size);
  void answered(bool whole);
  void fail(const char* detail);
  void close(bool reusable);
  bool drop_backend();
  void release();
  void arm();

  Worker& worker_;
  Exchange& exchange_;
  const http1::RequestHead* head_ = nullptr;  // while asking
  const config::ForwardAuth* how_ = nullptr;
  WorkerPool* pool_ = nullptr;
  RequestContext context_;
  UpstreamSet* set_ = nullptr;
  Upstream* upstream_ = nullptr;
  Tried tried_;
  TimePoint deadline_{}, connect_deadline_{}, sent_{};
  std::string fields_, body_;
  uint64_t key_hash_ = 0;
  uint32_t keep_alive_ = 0;
  uint16_t status_ = 0;  // 0: no head yet
  bool admitted_ = false, backend_held_ = false, retrying_ = false, raced_ = false, reusable_ = false;
};

}  // namespace weir::proxy
