// `discover` of a pool, and `resolver`: whom to ask, and how long to believe the answers.
#include <fmt/format.h>

#include <algorithm>

#include "config/addresses.hpp"
#include "config/rules.hpp"
#include "config/section.hpp"
#include "config/tables.hpp"
#include "config/types.hpp"

namespace weir::config {

namespace {

constexpr std::string_view kDnsExample = "app.internal:8080";

/// "app.internal:8080"; the port is 80 if it is left out.
void read_dns(Reader& in, const Node& node, Discover& discover) {
  const std::string* text = expect_scalar(in, node, kDnsExample);
  if (!text) return;
  if (text->find("://") != std::string::npos)
    return in.error(node.at, fmt::format("only the name and the port stand here; write {}",
                                         text->substr(text->find("://") + 3).substr(0, 64)));
  const size_t colon = text->find(':');
  std::string name = text->substr(0, colon);
  const auto port = rules::port(colon == std::string::npos ? "80" : std::string_view(*text).substr(colon + 1));
  if (AddressBlock::parse_address(*text) || AddressBlock::parse_address(name))
    return in.error(node.at,
                    fmt::format("{} is an address, which needs no DNS; write it under backends", text->substr(0, 64)));
  if (const std::string problem = rules::dns_name(name); !problem.empty()) return in.error(node.at, problem);
  if (!port)
    return in.error(node.at, fmt::format("\"{}\" is no port; write a number from 1 to 65535",
                                         text->substr(colon + 1).substr(0, 32)));
  discover.kind = Discover::Kind::addresses;
  discover.name = std::move(name);
  discover.port = *port;
}

void read_srv(Reader& in, const Node& node, Discover& discover) {
  const std::string* text = expect_scalar(in, node, "_http._tcp.app.internal");
  if (!text) return;
  if (text->find(':') != std::string::npos)
    return in.error(node.at, fmt::format("SRV records say the port themselves; write {}",
                                         text->substr(0, std::min<size_t>(text->find(':'), 64))));
  std::string name = *text;
  if (const std::string problem = rules::dns_name(name); !problem.empty()) return in.error(node.at, problem);
  discover.kind = Discover::Kind::services;
  discover.name = std::move(name);
}

void check_discover(Reader& in, const Node& node, Discover&) {
  const bool dns = node.find("dns"), srv = node.find("srv");
  if (dns && srv) return in.error(node.find_entry("srv")->at, "dns and srv exclude each other; keep one");
  if (!dns && !srv)
    in.error(node.at, "there is no name; write { dns: app.internal:8080 } or { srv: _http._tcp.app.internal }");
}

class ServerAddress final : public Type<Endpoint> {
 public:
  void read(Reader& in, const Node& node, Endpoint& value) const override {
    const std::string* text = expect_scalar(in, node, "the address of a DNS server");
    if (!text) return;
    auto endpoint = Endpoint::parse(*text);
    if (!endpoint && AddressBlock::parse_address(*text))
      endpoint = Endpoint::parse(text->find(':') == std::string::npos ? *text + ":53" : fmt::format("[{}]:53", *text));
    if (!endpoint || endpoint->is_unix() || endpoint->port() == 0 || endpoint->host() == "::" ||
        endpoint->host() == "0.0.0.0")
      return in.error(node.at, fmt::format("{} is no address of a DNS server; write one like 10.0.0.2, 127.0.0.1:5353 "
                                           "or [fd00::2]:53",
                                           text->substr(0, 64)));
    value = *endpoint;
  }
  std::string show(const Endpoint& value) const override {
    return value.length == 0 ? std::string() : value.to_string();
  }
  TypeDoc doc() const override {
    return {.text = "address, perhaps with a port (else 53)", .json = R"({"type":"string"})"};
  }
};

std::string absolute_path(std::string& path) {
  if (path.starts_with('/') && path.size() < 4096) return rules::line(path);
  return fmt::format("\"{}\" is no absolute path; write one like /etc/resolv.conf", path.substr(0, 64));
}

void check_resolver(Reader& in, const Node& node, Resolver& resolver) {
  if (resolver.min_ttl > resolver.max_ttl) in.error(node.at, "min_ttl is longer than max_ttl; write a shorter one");
}

}  // namespace

TypeOf<Discover> discover_section() {
  const auto shown = [](Discover::Kind kind) {
    return [kind](const Discover& discover) {
      if (discover.kind != kind || discover.name.empty()) return std::string();
      return discover.port ? fmt::format("{}:{}", discover.name, discover.port) : discover.name;
    };
  };
  const TypeDoc name{.text = "name, perhaps with a port (else 80)", .json = R"({"type":"string"})"};
  const TypeDoc service{.text = "name", .json = R"({"type":"string"})"};
  return Section<Discover>(
             "discover",
             "Backends that DNS says, beside those under `backends`. Each is named by its address and port.",
             {custom<Discover>("dns", name, read_dns, shown(Discover::Kind::addresses),
                               "Each A and AAAA record of the name is a backend."),
              custom<Discover>("srv", service, read_srv, shown(Discover::Kind::services),
                               "Each SRV record is one, with its port and weight; those of the lowest priority serve, "
                               "the others are backups."),
              key("max_backends", &Discover::max_backends, count(1, 1000), "More are left out, and an event says so.")})
      .after(check_discover)
      .example("{ dns: app.internal:8080 }");
}

TypeOf<Resolver> resolver_section() {
  using F = Resolver::Family;
  return Section<Resolver>(
             "resolver", "How names of backends are resolved; /etc/hosts comes first.",
             {key("servers", &Resolver::servers, list<Endpoint>(std::make_shared<ServerAddress>()),
                  "DNS servers; without it those of `resolv_conf`."),
              key("resolv_conf", &Resolver::resolv_conf, text("absolute path", absolute_path),
                  "Servers, search list and options; read again when it changes."),
              key("port", &Resolver::port, count(1, 65535), "Port of the servers in `resolv_conf`."),
              key("timeout", &Resolver::timeout, duration(100ms, 1min),
                  "For a server's answer; the next try waits longer."),
              key("tries", &Resolver::tries, count(1, 10), "How often each server is asked."),
              key("family", &Resolver::family, choice<F>({{"any", F::any}, {"ipv4", F::ipv4}, {"ipv6", F::ipv6}}),
                  "What addresses are asked for."),
              key("min_ttl", &Resolver::min_ttl, duration(100ms, 1h), "An answer is believed so long at least …"),
              key("max_ttl", &Resolver::max_ttl, duration(1s, 24h), "… and so long at most, whatever its TTL."),
              key("keep_missing", &Resolver::keep_missing, duration(1ms, 240h).zero_is("off"),
                  "How long addresses are kept when their name is gone (NXDOMAIN, no record); when DNS doesn't answer "
                  "they "
                  "are kept without a limit.")})
      .after(check_resolver)
      .example("{ servers: [10.0.0.2] }");
}

}  // namespace weir::config
