#include "lb/proxy/explain_fields.hpp"

#include <fmt/format.h>

#include "lb/base/own_fields.hpp"

namespace weir::proxy {

namespace {

using http1::FieldId;

const char* why_dropped(std::string_view name, FieldId id, bool trusted_peer, bool asks_certificates) {
  if (name.find('_') != name.npos)
    return own_field(name) != OwnField::none ? "to applications it is a field of Weir's own, with its _ for a -"
                                             : "the name has a _ (http.underscores)";
  switch (own_field(name)) {
    case OwnField::address: return "nobody is believed about it; Weir makes it of X-Forwarded-For";
    case OwnField::certificate:
      if (asks_certificates) return "this listener asks for certificates, and no request may say what is in one";
      [[fallthrough]];
    case OwnField::forwarding:
      if (!trusted_peer) return "the client is none of trusted_proxies";
      break;
    case OwnField::none: break;
  }
  return id == FieldId::other ? "named by Connection" : "belongs to the connection, not to the request";
}

}  // namespace

std::vector<std::string> explain_dropped(const http1::RequestHead& head, bool trusted_peer, bool asks_certificates) {
  std::vector<std::string> lines;
  for (const auto& field : head.all()) {
    const bool written_anew = field.id == FieldId::content_length || field.id == FieldId::transfer_encoding ||
                              field.id == FieldId::connection || field.id == FieldId::upgrade;
    if (field.drop && !written_anew)
      lines.push_back(fmt::format("{}: {}", head.name(field),
                                  why_dropped(head.name(field), field.id, trusted_peer, asks_certificates)));
  }
  return lines;
}

}  // namespace weir::proxy
