// What an exchange does otherwise for gRPC: deadlines, its own errors in gRPC's words, the status that counts.
#include "lb/route/grpc.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lb/proxy/downstream.hpp"
#include "lb/proxy/exchange.hpp"

namespace weir::proxy {

using http1::FieldId;

bool Exchange::is_grpc() const {
  return head.has(FieldId::content_type) && grpc::is_grpc(head.find(FieldId::content_type));
}

/// The client's own deadline, if it is nearer than the route's.
void Exchange::take_grpc_deadline() {
  for (const auto& field : head.all()) {
    if (field.id != FieldId::other || !http1::equals_ignore_case(head.name(field), "grpc-timeout")) continue;
    const auto timeout = grpc::parse_timeout(head.value(field));
    if (!timeout || started_ + *timeout >= total_deadline_) return;
    total_deadline_ = started_ + *timeout;
    clients_deadline_ = true;
    return;
  }
}

/// A status that stands in the answer's head: there is no other then.
void Exchange::note_grpc_head(const http1::ResponseHead& response) {
  for (const auto& field : response.all())
    if (field.id == FieldId::other && http1::equals_ignore_case(response.name(field), "grpc-status"))
      note_grpc_status(response.value(field));
}

void Exchange::note_grpc_status(std::string_view value) {
  if (const auto status = grpc::parse_status(value)) grpc_status_ = static_cast<uint8_t>(*status);
}

/// The error that HTTP's status would say, in a head without a body.
void Exchange::answer_grpc_error(grpc::Status status, std::string_view why, std::string_view fields) {
  grpc_status_ = static_cast<uint8_t>(status);
  answer_local(200, "", "",
               fmt::format("Content-Type: application/grpc\r\ngrpc-status: {}\r\ngrpc-message: {}\r\n{}", grpc_status_,
                           grpc::encode_message(why), fields));
}

}  // namespace weir::proxy
