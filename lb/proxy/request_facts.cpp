#include "lb/proxy/request_facts.hpp"

#include <algorithm>

#include "lb/net/cookies.hpp"

namespace weir::proxy {

using http1::FieldId;

namespace {

/// The router's view of the fields: any line of that name with exactly that value ("*": any).
bool has_field(const void* fields, std::string_view name, std::string_view value) {
  const auto& head = *static_cast<const http1::RequestHead*>(fields);
  for (const auto& field : head.all())
    if (http1::equals_ignore_case(head.name(field), name) && (value == "*" || head.value(field) == value)) return true;
  return false;
}

std::string_view query_parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    if (pair.size() > name.size() && pair[name.size()] == '=' && pair.starts_with(name))
      return pair.substr(name.size() + 1);
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return {};
}

std::string_view cookie(const http1::RequestHead& head, std::string_view name) {
  std::string_view value;
  for (const auto& field : head.all())
    if (field.id == FieldId::cookie && value.empty())
      http1::for_each_cookie(head.value(field),
                             [&](std::string_view piece) { return !http1::is_cookie(piece, name, value); });
  return value;
}

/// The segment of `path` that stands where the template has `{}`.
std::string_view template_segment(std::string_view pattern, std::string_view path) {
  const size_t hole = pattern.find("{}");
  if (hole == std::string_view::npos || path.size() < hole || path.substr(0, hole) != pattern.substr(0, hole))
    return {};
  path.remove_prefix(hole);
  return path.substr(0, path.find('/'));
}

/// The rightmost address of X-Forwarded-For that is no trusted proxy; empty if all are. The search ends at what is no
/// address: what stands left of it may be anyone's word.
std::string_view rightmost_untrusted(const http1::RequestHead& head, const std::vector<AddressBlock>& blocks,
                                     AddressText& room) {
  const auto fields = head.all();
  for (size_t i = fields.size(); i-- > 0;) {
    if (fields[i].id != FieldId::x_forwarded_for) continue;
    std::string_view list = head.value(fields[i]);
    while (!list.empty()) {
      const size_t comma = list.rfind(',');
      const std::string_view element = http1::trim(comma == std::string_view::npos ? list : list.substr(comma + 1));
      list = comma == std::string_view::npos ? std::string_view() : list.substr(0, comma);
      if (element.empty()) continue;  // RFC 9110 §5.6.1.2
      const auto address = parse_forwarded(element);
      if (!address) return kUnknownClient;
      if (!trusted(blocks, *address)) return write_address(*address, room);
    }
  }
  return {};
}

}  // namespace

bool trusted(const std::vector<AddressBlock>& blocks, const Endpoint& address) {
  return std::any_of(blocks.begin(), blocks.end(), [&](const AddressBlock& block) { return block.contains(address); });
}

http1::RequestRules request_rules(const config::Config& config) {
  http1::RequestRules rules;
  rules.header_bytes = config.limits.header_bytes;
  rules.header_count = config.limits.header_count;
  rules.underscores = static_cast<http1::RequestRules::Underscores>(config.http.underscores);
  return rules;
}

Client believed_client(const http1::RequestHead& head, const std::vector<AddressBlock>& blocks, const Endpoint& peer,
                       std::string_view peer_text, AddressText& room) {
  Client client{peer_text, !blocks.empty() && trusted(blocks, peer)};
  if (client.trusted_peer)
    if (const auto named = rightmost_untrusted(head, blocks, room); !named.empty()) client.address = named;
  return client;
}

route::Request route_request(const http1::RequestHead& head, const http1::NormalizedPath& path, uint32_t listener) {
  return {listener, head.method_view(), http1::host_without_port(head.host()), path.matched, head.query_view(),
          &head,    has_field};
}

std::optional<uint32_t> hops_left(const http1::RequestHead& head) {
  if (head.method != http1::Method::OPTIONS || !head.has(FieldId::max_forwards)) return {};
  std::optional<uint32_t> least;  // of several lines
  for (const auto& field : head.all()) {
    if (field.id != FieldId::max_forwards) continue;
    uint32_t hops = 0;
    for (const char c : head.value(field)) {
      if (c < '0' || c > '9' || hops > 100'000) return {};
      hops = hops * 10 + static_cast<uint32_t>(c - '0');
    }
    least = std::min(hops, least.value_or(hops));
  }
  return least;
}

std::string_view key_value(const config::KeySpec& key, const http1::RequestHead& head,
                           const http1::NormalizedPath& path, std::string_view client) {
  using Kind = config::KeySpec::Kind;
  switch (key.kind) {
    case Kind::client: return client;
    case Kind::sni: return {};  // of sessions
    case Kind::host: return http1::host_without_port(head.host());
    case Kind::path: return path.forwarded;
    case Kind::query: return query_parameter(head.query_view(), key.name);
    case Kind::cookie: return cookie(head, key.name);
    case Kind::path_template: return template_segment(key.name, path.matched);
    case Kind::header:
      for (const auto& field : head.all())
        if (http1::equals_ignore_case(head.name(field), key.name)) return head.value(field);
      return {};
    case Kind::first_of:
      for (const auto& part : key.first_of)
        if (const auto value = key_value(part, head, path, client); !value.empty()) return value;
      return {};
  }
  return {};
}

}  // namespace weir::proxy
