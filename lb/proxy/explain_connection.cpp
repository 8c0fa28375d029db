#include "lb/proxy/explain_connection.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "lb/net/http1.hpp"
#include "lb/net/tls_session.hpp"
#include "lb/proxy/request_facts.hpp"

namespace weir::proxy {

namespace {

using Verdict = Explanation::Guard::Verdict;

/// As a ClientHello begins (RFC 8446 §5.1).
constexpr std::string_view kHello{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11};

bool refuse(Explanation& out, const char* rule, TlsFailure failure, Cause cause, std::string says) {
  out.outcome = Explanation::Outcome::refused;
  out.handshake = failure;
  out.cause = cause;
  out.connection.push_back({rule, Verdict::refuses, std::move(says)});
  return false;
}

/// The parser gets a ClientHello, and answers it as it answers whatever is no request.
bool refuse_tls(const config::Config& config, Explanation& out) {
  const auto head = std::make_unique<http1::RequestHead>();
  const auto parsed = http1::parse_request(kHello, request_rules(config), *head);
  return refuse(out, "tls", TlsFailure::none, parsed.cause,
                "the listener speaks none: a client's handshake fails, for the answer is plain HTTP; write http:// if "
                "something before the listener ends TLS");
}

bool refuse_plain(char first, Explanation& out) {
  const auto failure = net::failure_without_tls(first);
  return refuse(out, "tls", failure, failure == TlsFailure::plain_http ? Cause::plain_http_on_tls : Cause::none,
                "the listener speaks nothing else; write https://");
}

bool ask_certificate(const net::TlsServer& server, const std::string& name, Explanation& out) {
  const uint32_t shown = server.certificate_for(name);
  if (shown == net::TlsServer::kRefused)
    return refuse(out, "certificate", TlsFailure::server_name, Cause::none,
                  name.empty() ? "the client asks for no name, and strict_sni refuses such ones"
                               : fmt::format("none has the name {}, and strict_sni refuses such clients", name));
  std::vector<std::string> paths;
  bool covered = false;
  for (const auto& certificate : server.certificates()) {
    if (certificate.index != shown) continue;
    paths.push_back(certificate.path);
    const auto& names = certificate.facts.names;
    covered = covered || std::any_of(names.begin(), names.end(),
                                     [&](const std::string& entry) { return net::TlsNames::covers(entry, name); });
  }
  const std::string files = fmt::format("{}", fmt::join(paths, " or "));
  out.connection.push_back(
      {"certificate", covered ? Verdict::passes : Verdict::open,
       covered        ? fmt::format("{} has the name {}", files, name)
       : name.empty() ? fmt::format("{}, the first one, for the client asks for no name", files)
                      : fmt::format("{}, the first one, for none has the name {}: a client that checks names goes away",
                                    files, name)});
  return true;
}

}  // namespace

Approach approach_of(std::string_view scheme, std::string_view authority) {
  Approach approach{.tls = scheme == "https://" || scheme == "tls://", .server_name = {}};
  std::string_view name = http1::host_without_port(authority);
  if (name.starts_with('[') || AddressBlock::parse_address(name)) return approach;
  if (name.ends_with('.')) name.remove_suffix(1);  // RFC 6066 §3
  approach.server_name = name;
  for (char& c : approach.server_name)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
  return approach;
}

bool explain_handshake(const Runtime& runtime, uint32_t listener, const Approach& approach, const Question& question,
                       Explanation& out) {
  const auto& server = runtime.tls[listener];
  if (!server) return !approach.tls || runtime.tcp[listener] || refuse_tls(*runtime.config, out);
  if (!approach.tls) return refuse_plain(question.method.empty() ? ' ' : question.method.front(), out);
  if (!ask_certificate(*server, approach.server_name, out)) return false;
  const auto& tls = *runtime.config->listeners[listener].tls;
  if (server->asks_clients() && tls.client_auth == config::ListenerTls::ClientAuth::require)
    out.connection.push_back(
        {"client_auth", Verdict::open, fmt::format("the client has to show a certificate of {}", tls.client_ca->path)});
  return true;
}

bool explain_host(const Runtime& runtime, uint32_t listener, const Approach& approach, std::string_view host,
                  Explanation& out) {
  const auto& server = runtime.tls[listener];
  if (!server) return true;
  const std::string& name = approach.server_name;
  if (!server->misdirected(name, server->certificate_for(name), host)) return true;
  return refuse(out, "host", TlsFailure::none, Cause::misdirected,
                fmt::format("the connection is for {}, and {} has another certificate", name, host));
}

}  // namespace weir::proxy
