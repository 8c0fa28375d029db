#include "lb/net/http2_fields.hpp"

#include <algorithm>

#include "lb/net/http1.hpp"
#include "lb/net/http2_rows.hpp"

namespace weir::http2 {

bool connection_specific(std::string_view name, std::string_view value) {
  switch (name.size()) {
    case 2: return name == "te" && !http1::equals_ignore_case(value, "trailers");
    case 7: return name == "upgrade";
    case 10: return name == "connection" || name == "keep-alive";
    case 14: return name == "http2-settings";
    case 16: return name == "proxy-connection";
    case 17: return name == "transfer-encoding";
    default: return false;
  }
}

FieldSection::FieldSection() : rows_(std::make_unique<Rows>()) {}
FieldSection::~FieldSection() = default;

void FieldSection::clear() { rows_->clear(); }

void FieldSection::add(std::string_view name, std::string_view value) {
  const auto bytes = [](std::string_view text) {
    return const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(text.data()));  // nghttp2 only reads
  };
  rows_->push_back({bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
}

void FieldSection::remove(std::string_view name) {
  std::erase_if(*rows_, [&](const nghttp2_nv& row) {
    return std::string_view(reinterpret_cast<const char*>(row.name), row.namelen) == name;
  });
}

void FieldSection::add_lines(std::span<char> lines) {
  char* at = lines.data();
  char* const end = at + lines.size();
  while (at < end && *at != '\r') {
    char* const name = at;
    for (; at < end && *at != ':'; ++at)
      if (*at >= 'A' && *at <= 'Z') *at = static_cast<char>(*at - 'A' + 'a');
    const std::string_view name_view(name, static_cast<size_t>(at - name));
    const std::string_view rest(at, static_cast<size_t>(end - at));
    const size_t line_end = std::min(rest.find("\r\n"), rest.size());
    const std::string_view value = http1::trim(rest.substr(0, line_end).substr(line_end ? 1 : 0));
    at += std::min(line_end + 2, rest.size());
    if (name_view != "host" && !connection_specific(name_view, value)) add(name_view, value);
  }
}

}  // namespace weir::http2
