#include "lb/proxy/refused_head.hpp"

#include <algorithm>

namespace weir::proxy {

using http1::FieldId;

void keep_for_the_record(http1::RequestHead& head) {
  const auto fields = head.all();
  const auto agent =
      std::find_if(fields.begin(), fields.end(), [](const auto& field) { return field.id == FieldId::user_agent; });
  const bool has_agent = agent != fields.end();
  if (has_agent) head.fields[0] = *agent;
  head.field_count = has_agent ? 1 : 0;
  head.seen = has_agent ? uint64_t{1} << static_cast<unsigned>(FieldId::user_agent) : 0;
  head.framing = http1::Framing::none;
  head.content_length = 0;
  head.expect_continue = head.connection_upgrade = head.absolute_form = false;
  head.underscores_dropped = 0;
  head.keep_alive = true;  // the client has not said that it would end the connection
  // The target begins behind the method and its blank: without it there may be no method, but anything.
  if (head.target == 0) {
    head.method = http1::Method::other;
    head.method_offset = head.method_length = 0;
  }
  // Its path and query are told apart once the whole line is sound.
  if (head.target && head.path == 0) {
    head.path = head.target;
    head.path_length = static_cast<uint32_t>(
        std::min<size_t>(head.view(head.target, head.target_length).find('?'), head.target_length));
  }
  head.size = std::max({head.method_offset + head.method_length, head.target + head.target_length,
                        head.host_offset + head.host_length, has_agent ? agent->value + agent->value_length : 0});
}

}  // namespace weir::proxy
