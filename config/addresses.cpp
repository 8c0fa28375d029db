#include "config/addresses.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "config/rules.hpp"

namespace weir::config {

namespace {

bool is_any(const Endpoint& endpoint) { return endpoint.host() == "::" || endpoint.host() == "0.0.0.0"; }

class BindAddress final : public Type<Endpoint> {
 public:
  void read(Reader& in, const Node& node, Endpoint& value) const override {
    const std::string* text = expect_scalar(in, node, "\":8080\"");
    if (!text) return;
    const auto endpoint = Endpoint::parse(*text);
    if (!endpoint)
      return in.error(node.at,
                      fmt::format("{} is no address to listen on; write {}", text->substr(0, 64), hint(*text)));
    in.binds.push_back({node.at, in.trail.text(), *endpoint});
    value = *endpoint;
  }

  std::string show(const Endpoint& value) const override {
    return value.length == 0 ? std::string() : value.to_string();
  }

  TypeDoc doc() const override {
    return {
        .text = "address with port: `:80`, `10.0.0.1:80`, `[::1]:80`, `unix:/path`",
        .json = R"({"type":"string"})",
    };
  }

 private:
  static std::string hint(const std::string& text) {
    const bool digits = !text.empty() && text.size() <= 5 && text.find_first_not_of("0123456789") == std::string::npos;
    if (digits) return fmt::format("\":{}\"", text);
    if (AddressBlock::parse_address(text))
      return text.find(':') == std::string::npos ? fmt::format("\"{}:80\"", text) : fmt::format("\"[{}]:80\"", text);
    return ":PORT, IP:PORT, [IPv6]:PORT or unix:/path";
  }
};

class Block final : public Type<AddressBlock> {
 public:
  void read(Reader& in, const Node& node, AddressBlock& value) const override {
    const std::string* text = expect_scalar(in, node, "an address block like 10.0.0.0/8");
    if (!text) return;
    const auto block = AddressBlock::parse(*text);
    if (!block)
      return in.error(node.at,
                      fmt::format("{} is no block of addresses; write one like 10.0.0.0/8, fd00::/8 or 192.0.2.1",
                                  text->substr(0, 64)));
    value = *block;
  }
  std::string show(const AddressBlock& value) const override { return value.to_string(); }
  TypeDoc doc() const override {
    return {.text = "address block: `10.0.0.0/8`, `fd00::/8`, `192.0.2.1`, `unix`", .json = R"({"type":"string"})"};
  }
};

constexpr std::string_view kHttpExample = "http://10.0.0.1:8080, https://[fd00::1]:8443 or unix:/run/app.sock";
constexpr std::string_view kTcpExample = "tcp://10.0.0.1:3306, tls://[fd00::1]:6380 or unix:/run/db.sock";

std::string_view example_of(Mode mode) { return mode == Mode::tcp ? kTcpExample : kHttpExample; }

std::string_view scheme_of(const Backend& backend) {
  if (backend.tcp) return backend.tls ? "tls://" : "tcp://";
  return backend.tls ? "https://" : "http://";
}

/// Why `authority` (behind http://) is no address of ours; empty if `backend` was filled.
std::string read_authority(std::string_view authority, Backend& backend) {
  if (authority.find('@') != std::string_view::npos)
    return "a user name in the URL is not supported; set an Authorization header with request_headers";
  if (authority.find_first_of("?#") != std::string_view::npos)
    return "a query can't stand here; write only scheme, address and port";
  const bool v6 = authority.starts_with('[');
  const size_t colon = v6 ? authority.find(':', std::min(authority.find(']'), authority.size())) : authority.find(':');
  const std::string_view host = authority.substr(0, colon);
  if (backend.tcp && colon == std::string_view::npos) return fmt::format("the port is missing; write {}", kTcpExample);
  const std::string_view example = example_of(backend.tcp ? Mode::tcp : Mode::http);
  const std::string_view port = colon != std::string_view::npos ? authority.substr(colon + 1)
                                : backend.tls                   ? "443"
                                                                : "80";
  if (!v6 && port.find(':') != std::string_view::npos && AddressBlock::parse_address(authority))
    return fmt::format("an IPv6 address needs brackets; write {}[{}]:8080", scheme_of(backend), authority);
  if (host.empty()) return fmt::format("there is no address in the URL; write {}", example);
  const auto number = rules::port(port);
  if (!number) return fmt::format("\"{}\" is no port; write a number from 1 to 65535", port.substr(0, 32));
  const auto endpoint = Endpoint::parse(fmt::format("{}:{}", host, port));
  if (!endpoint) {
    const bool numeric = v6 || host.find_first_not_of("0123456789.") == std::string_view::npos;
    if (numeric) return fmt::format("{} is no IP address; write {}", host.substr(0, 64), example);
    std::string name(host);
    if (std::string problem = rules::dns_name(name); !problem.empty()) return problem;
    backend.host = std::move(name);
    backend.port = *number;
    backend.authority = std::string(authority);
    return {};
  }
  if (is_any(*endpoint))
    return fmt::format("{} is every address of this machine and no place to connect to; write 127.0.0.1", host);
  backend.address = *endpoint;
  backend.authority = std::string(authority);
  return {};
}

/// Takes the scheme off. What is wrong with it; empty: nothing.
std::string take_scheme(std::string_view& text, Mode mode, bool h2, Backend& backend) {
  const std::string_view plain = mode == Mode::tcp ? "tcp://" : "http://",
                         tls = mode == Mode::tcp ? "tls://" : "https://";
  backend.tcp = mode == Mode::tcp;
  backend.tls = text.starts_with(tls);
  if (backend.tls || text.starts_with(plain)) {
    text.remove_prefix(backend.tls ? tls.size() : plain.size());
    return {};
  }
  if (const size_t end = text.find("://"); end != std::string_view::npos) {
    const std::string_view scheme = text.substr(0, end);
    if (mode == Mode::tcp && (scheme == "http" || scheme == "https"))
      return fmt::format("a pool of mode: tcp carries bytes, not HTTP; write {}{}", scheme == "http" ? plain : tls,
                         text.substr(end + 3));
    if (mode == Mode::http && (scheme == "tcp" || scheme == "tls"))
      return fmt::format("{}:// is for a pool of mode: tcp; write mode: tcp in the pool, or {}{}", scheme,
                         scheme == "tcp" ? plain : tls, text.substr(end + 3));
    if (mode == Mode::http && (scheme == "h2c" || scheme == "grpc"))
      return fmt::format("{}:// is no scheme here; write {}{}, and protocol: h2c in the pool", scheme, plain,
                         text.substr(end + 3));
    if (mode == Mode::http && (scheme == "h2" || scheme == "grpcs"))
      return fmt::format("{}:// is no scheme here; write {}{}, and protocol: h2 in the pool", scheme, tls,
                         text.substr(end + 3));
    return fmt::format("this scheme is not known; write {}", example_of(mode));
  }
  const std::string_view port = text.substr(text.starts_with(':') ? 1 : 0);
  const bool port_alone =
      !port.empty() && port.size() <= 5 && port.find_first_not_of("0123456789") == std::string_view::npos;
  const std::string_view usual = h2 ? tls : plain;
  if (port_alone) return fmt::format("{} is no address; write {}127.0.0.1:{}", text, usual, port);
  return mode == Mode::tcp ? std::string() : fmt::format("the scheme is missing; write {}{}", usual, text);
}

std::string read_url(const std::string& text, Mode mode, bool h2, Backend& backend) {
  if (text.size() > 1024) return fmt::format("this is too long for an address; write {}", example_of(mode));
  if (text.starts_with("unix:")) {
    const auto endpoint = Endpoint::parse(text);
    if (!endpoint) return "this is no path of a unix socket (at most 107 bytes); write unix:/run/app.sock";
    backend.address = *endpoint;
    backend.authority = "localhost";
    return {};
  }
  std::string_view rest = text;
  if (std::string problem = take_scheme(rest, mode, h2, backend); !problem.empty()) return problem;
  const size_t slash = rest.find('/');
  if (slash != std::string_view::npos && mode == Mode::tcp)
    return fmt::format("a path can't stand here; write {}", kTcpExample);
  if (slash != std::string_view::npos && slash + 1 != rest.size())
    return fmt::format("a path can't stand in a backend's URL; use `rewrite: {{ prefix: [/, {}] }}` in the route",
                       rest.substr(slash));
  return read_authority(rest.substr(0, slash), backend);
}

}  // namespace

TypeOf<Endpoint> bind_address() { return std::make_shared<BindAddress>(); }

bool is_loopback(const Endpoint& endpoint) {
  return endpoint.is_unix() || endpoint.host() == "::1" || endpoint.host().starts_with("127.");
}

TypeOf<AddressBlock> address_block() { return std::make_shared<Block>(); }

void read_backend_url(Reader& in, const Node& node, Backend& backend) {
  const Mode mode = in.in_tcp_pool ? Mode::tcp : Mode::http;
  const std::string* text = expect_scalar(in, node, example_of(mode));
  if (!text) return;
  if (const std::string problem = read_url(*text, mode, in.in_h2_pool, backend); !problem.empty())
    in.error(node.at, problem);
}

std::string parse_backend_url(const std::string& text, const Pool& pool, Backend& backend) {
  return read_url(text, pool.mode, pool.protocol == Pool::Protocol::h2, backend);
}

std::string show_backend_url(const Backend& backend) {
  if (!backend.host.empty()) return fmt::format("{}{}", scheme_of(backend), backend.authority);
  if (backend.address.length == 0) return {};
  return backend.address.is_unix() ? backend.address.to_string()
                                   : fmt::format("{}{}", scheme_of(backend), backend.authority);
}

TypeDoc backend_url_doc() {
  return {.text =
              "`http://IP:port` (port 80 if left out), `https://IP:port` (443), a name in place of the IP (resolved by "
              "DNS; localhost is 127.0.0.1), or `unix:/path`; in a pool of `mode: tcp` `tcp://IP:port`, `IP:port` or "
              "`tls://IP:port`",
          .json = R"j({"type":"string","pattern":"^(https?://|tcp://|tls://|unix:|[^/]+:[0-9]+$)"})j"};
}

bool collide(const Endpoint& a, const Endpoint& b) {
  if (a.is_unix() || b.is_unix()) return a == b;
  if (a.port() != b.port() || a.port() == 0) return false;
  if (a == b || a.host() == b.host()) return true;
  const auto covers = [](const Endpoint& any, const Endpoint& other) {
    return any.host() == "::" || (any.host() == "0.0.0.0" && (other.family() == AF_INET || is_any(other)));
  };
  return covers(a, b) || covers(b, a);
}

}  // namespace weir::config
