#include "lb/proxy/request_facts.hpp"

#include <algorithm>

#include "lb/base/own_fields.hpp"
#include "lb/net/cookies.hpp"
#include "lb/route/query.hpp"

namespace weir::proxy {

using http1::FieldId;

namespace {

constexpr uint64_t bit(FieldId id) { return uint64_t{1} << static_cast<unsigned>(id); }

/// Dropped lines that go on all the same: they are written anew.
bool written_anew(const http1::RequestHead& head, FieldId id) {
  return id == FieldId::content_length || (id == FieldId::upgrade && wants_upgrade(head));
}

/// Calls `each` with the values of all lines of that name, until it returns false.
template <class Each>
void for_each_value(const BelievedFields& fields, std::string_view name, Each each) {
  const auto& head = fields.head;
  for (const auto& field : head.all()) {
    if (!http1::equals_ignore_case(head.name(field), name)) continue;
    if (field.drop && !written_anew(head, field.id)) continue;
    // An absolute-form target has replaced Host (B4).
    if (!each(field.id == FieldId::host ? head.host() : head.value(field))) return;
  }
  std::string_view lines = fields.identity;
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find("\r\n"));
    lines.remove_prefix(std::min(line.size() + 2, lines.size()));
    const size_t colon = line.find(": ");
    if (http1::equals_ignore_case(line.substr(0, colon), name) && !each(line.substr(colon + 2))) return;
  }
}

/// The router's view of the fields: any line of that name with exactly that value ("*": any).
bool has_field(const void* fields, std::string_view name, std::string_view value) {
  bool found = false;
  for_each_value(*static_cast<const BelievedFields*>(fields), name, [&](std::string_view given) {
    found = value == "*" || given == value;
    return !found;
  });
  return found;
}

/// The same for the parameters of a query, and for cookies.
template <class Each>
void for_each_parameter(std::string_view query, std::string_view name, Each each) {
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    const size_t equals = pair.find('=');
    if (equals != pair.npos && route::decoded_equals(pair.substr(0, equals), name) && !each(pair.substr(equals + 1)))
      return;
    query.remove_prefix(std::min(end + 1, query.size()));
  }
}

template <class Each>
void for_each_cookie(const http1::RequestHead& head, std::string_view name, Each each) {
  bool goes_on = true;
  for (const auto& field : head.all())
    if (field.id == FieldId::cookie && !field.drop && goes_on)
      http1::for_each_cookie(head.value(field), [&](std::string_view piece) {
        std::string_view value;
        return goes_on = !http1::is_cookie(piece, name, value) || each(value);
      });
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

void drop_unbelieved(http1::RequestHead& head, bool trusted_peer, bool asks_certificates) {
  constexpr size_t kShortest = sizeof "x-forwarded" - 1;  // of those without an id of their own
  constexpr uint64_t kForwarding = bit(FieldId::forwarded) | bit(FieldId::x_request_id);
  const uint64_t by_id = bit(FieldId::x_real_ip) | (trusted_peer ? 0 : kForwarding);
  if (trusted_peer && !asks_certificates && !(head.seen & by_id)) return;
  for (auto& field : head.all()) {
    if (by_id & bit(field.id)) field.drop = true;
    if (field.name_length < kShortest || (head.base[field.name] | 0x20) != 'x') continue;
    const OwnField what = own_field(head.name(field));
    if (what == OwnField::none) continue;
    if (!trusted_peer || (what == OwnField::certificate && asks_certificates)) field.drop = true;
  }
}

bool wants_upgrade(const http1::RequestHead& head) {
  return head.connection_upgrade && head.minor != 0 && head.framing == http1::Framing::none &&
         head.has(FieldId::upgrade) && !http1::field_contains(head, FieldId::upgrade, "h2c");
}

route::Request route_request(const BelievedFields& fields, const http1::NormalizedPath& path, uint32_t listener) {
  const auto& head = fields.head;
  return {listener, head.method_view(), http1::host_without_port(head.host()), path.matched, head.query_view(),
          &fields,  has_field};
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

namespace {

/// Calls `each` with what may be the key, until it returns false.
template <class Each>
void for_each_key(const config::KeySpec& key, const BelievedFields& fields, const http1::NormalizedPath& path,
                  std::string_view client, Each each) {
  using Kind = config::KeySpec::Kind;
  const auto& head = fields.head;
  switch (key.kind) {
    case Kind::client: each(client); return;
    case Kind::host: each(http1::host_without_port(head.host())); return;
    case Kind::path: each(path.forwarded); return;
    case Kind::path_template: each(template_segment(key.name, path.matched)); return;
    case Kind::query: return for_each_parameter(head.query_view(), key.name, each);
    case Kind::cookie: return for_each_cookie(head, key.name, each);
    case Kind::header: return for_each_value(fields, key.name, each);
    case Kind::sni:       // of sessions
    case Kind::first_of:  // of several keys
      return;
  }
}

KeyValues::Spelling spelling_of(config::KeySpec::Kind kind) {
  using Kind = config::KeySpec::Kind;
  if (kind == Kind::query || kind == Kind::cookie) return KeyValues::Spelling::encoded;
  return kind == Kind::host ? KeyValues::Spelling::host : KeyValues::Spelling::one;
}

/// Of a cookie's value (RFC 6265 §4.1.1): most readers take the quotes off.
std::string_view unquoted(std::string_view value) {
  return value.size() >= 2 && value.front() == '"' && value.back() == '"' ? value.substr(1, value.size() - 2) : value;
}

/// Of first_of the part that the request has; empty if it has none.
const config::KeySpec* present(const config::KeySpec& key, const BelievedFields& fields,
                               const http1::NormalizedPath& path, std::string_view client) {
  if (key.kind != config::KeySpec::Kind::first_of) return &key;
  for (const auto& part : key.first_of)
    if (!key_value(part, fields, path, client).empty()) return &part;
  return nullptr;
}

}  // namespace

std::string_view key_value(const config::KeySpec& key, const BelievedFields& fields, const http1::NormalizedPath& path,
                           std::string_view client) {
  std::string_view found;
  if (const auto* part = present(key, fields, path, client))
    for_each_key(*part, fields, path, client, [&](std::string_view value) {
      found = value;
      return found.empty();
    });
  return found;
}

KeyValues key_values(const config::KeySpec& key, const BelievedFields& fields, const http1::NormalizedPath& path,
                     std::string_view client) {
  KeyValues found;
  if (const auto* part = present(key, fields, path, client)) {
    found.spelling = spelling_of(part->kind);
    const bool cookie = part->kind == config::KeySpec::Kind::cookie;
    const auto add = [&](std::string_view value) {
      if (cookie) value = unquoted(value);
      const auto known = found.all();
      if (value.empty() || std::find(known.begin(), known.end(), value) != known.end()) return true;
      found.more = found.count == KeyValues::kMost;
      if (!found.more) found.values[found.count++] = value;
      return !found.more;
    };
    // The path that routes see: what backends may take for the same is one.
    if (part->kind == config::KeySpec::Kind::path)
      add(path.matched);
    else
      for_each_key(*part, fields, path, client, add);
  }
  if (found.count == 0) found.values[found.count++] = {};
  return found;
}

}  // namespace weir::proxy
