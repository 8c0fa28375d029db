#include "lb/proxy/tls.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace weir::proxy {

namespace {

using In = net::TlsProblem::In;

net::TlsFile file_of(const config::TextFile& file) { return {file.path, file.text}; }

std::vector<net::TlsFile> files_of(const std::vector<config::TextFile>& files) {
  std::vector<net::TlsFile> out;
  for (const auto& file : files) out.push_back(file_of(file));
  return out;
}

net::TlsServerSettings settings_of(const config::Listener& listener, const std::vector<std::string>& secrets) {
  const config::ListenerTls& tls = *listener.tls;
  net::TlsServerSettings settings;
  settings.listener = listener.name;
  settings.certificates = files_of(tls.certificates);
  settings.keys = files_of(tls.keys);
  settings.ocsp = files_of(tls.ocsp);
  if (tls.client_ca) settings.client_ca = file_of(*tls.client_ca);
  settings.require_client = tls.client_auth == config::ListenerTls::ClientAuth::require;
  settings.tls12 = tls.versions == config::ListenerTls::Versions::from_12;
  settings.strict_names = tls.strict_sni;
  if (listener.mode == config::Mode::http)
    for (const auto protocol : listener.protocols)
      settings.protocols.push_back(protocol == config::Protocol::h2 ? "h2" : "http/1.1");
  settings.secrets = secrets;
  return settings;
}

const char* key_of(In in) {
  switch (in) {
    case In::certificates: return "certificate";
    case In::keys: return "key";
    case In::ocsp: return "ocsp";
    case In::client_ca: return "client_ca";
  }
  return "";
}

config::Location place_of(const config::ListenerTls& tls, const net::TlsProblem& problem) {
  switch (problem.in) {
    case In::certificates: return tls.certificates.at(problem.index).at;
    case In::keys: return tls.keys.at(problem.index).at;
    case In::ocsp: return tls.ocsp.at(problem.index).at;
    case In::client_ca: return tls.client_ca->at;
  }
  return {};
}

net::TlsClientSettings settings_of(const config::Pool& pool) {
  const config::PoolTls& tls = pool.tls;
  const auto optional_file = [](const std::optional<config::TextFile>& file) {
    return file ? file_of(*file) : net::TlsFile();
  };
  net::TlsClientSettings settings;
  settings.verify = tls.verify;
  settings.ca = optional_file(tls.ca);
  settings.certificate = optional_file(tls.certificate);
  settings.key = optional_file(tls.key);
  if (pool.protocol == config::Pool::Protocol::h2) settings.protocols = {"h2"};
  return settings;
}

void build_client(const config::Pool& pool, int64_t now, TlsParts& out) {
  out.clients.push_back(nullptr);
  if (std::none_of(pool.backends.begin(), pool.backends.end(), [](const auto& backend) { return backend.tls; })) return;
  std::vector<net::TlsProblem> problems;
  out.clients.back() = net::TlsClient::build(settings_of(pool), now, problems);
  for (const auto& problem : problems) {
    const bool ca = problem.in == In::client_ca, key = problem.in == In::keys;
    const auto& file = ca ? pool.tls.ca : key ? pool.tls.key : pool.tls.certificate;
    (problem.warning ? out.warnings : out.errors)
        .push_back(
            {file->at, fmt::format("pool {}: tls.{}: {}", pool.name, ca ? "ca" : key_of(problem.in), problem.message)});
  }
}

}  // namespace

TlsParts build_tls(const config::Config& config, int64_t now, const std::string& secret) {
  TlsParts out;
  for (const auto& pool : config.pools) build_client(pool, now, out);
  const auto secrets = config.ticket_keys.empty() ? std::vector{secret} : config.ticket_keys;
  for (const auto& listener : config.listeners) {
    out.servers.push_back(nullptr);
    if (!listener.tls) continue;
    std::vector<net::TlsProblem> problems;
    out.servers.back() = net::TlsServer::build(settings_of(listener, secrets), now, problems);
    for (const auto& problem : problems)
      (problem.warning ? out.warnings : out.errors)
          .push_back({place_of(*listener.tls, problem),
                      fmt::format("listener {}: tls.{}: {}", listener.name, key_of(problem.in), problem.message)});
  }
  return out;
}

std::shared_ptr<const net::TlsClient> tls_client_of(const config::Pool& pool, int64_t now) {
  TlsParts out;
  build_client(pool, now, out);
  if (!out.errors.empty()) throw std::runtime_error(out.errors.front().to_string());
  return out.clients.front();
}

void check_tls(config::LoadResult& result, int64_t now) {
  if (!result.config) return;
  auto tls = build_tls(*result.config, now, "nobody resumes a session of this");
  for (auto& warning : tls.warnings) result.warnings.push_back(std::move(warning));
  if (tls.errors.empty()) return;
  for (auto& error : tls.errors) result.errors.push_back(std::move(error));
  result.config.reset();
}

std::string hsts_line(const config::Listener& listener) {
  if (!listener.tls || !listener.tls->hsts) return {};
  const auto& hsts = *listener.tls->hsts;
  return fmt::format("Strict-Transport-Security: max-age={}{}{}\r\n", hsts.max_age.count() / 1000,
                     hsts.subdomains ? "; includeSubDomains" : "", hsts.preload ? "; preload" : "");
}

bool EventBound::take(TimePoint now, uint64_t& left_out) {
  if (now - second_ >= std::chrono::seconds(1)) {
    second_ = now;
    written_ = 0;
  }
  if (written_ == kASecond) {
    ++left_out_;
    return false;
  }
  ++written_;
  left_out = std::exchange(left_out_, 0);
  return true;
}

}  // namespace weir::proxy
