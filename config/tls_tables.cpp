// `tls:` of a listener, and `tls:` at the top.
#include <fmt/format.h>

#include "config/paths.hpp"
#include "config/rules.hpp"
#include "config/secret_file.hpp"
#include "config/section.hpp"
#include "config/tables.hpp"
#include "config/types.hpp"

namespace weir::config {

namespace {

constexpr size_t kMostFileBytes = 1 << 20;

/// With --dev: the certificate of the environment, with its key, once.
bool stand_in(Reader& in, const Node& node, std::vector<TextFile>& files) {
  const auto& what = in.environment.stand_in;
  if (!what) return false;
  for (const auto& file : files)
    if (file.path == what->first) return true;
  files.push_back({what->first, what->second, in.location(node.at)});
  return true;
}

enum class Missing : uint8_t { error, stand_in, left_out };  // left_out: with --dev; the stand-in has its own key

/// Reads one file; what it means is looked at once all are read.
void read_text_file(Reader& in, const Node& node, const std::string& path, std::vector<TextFile>& files,
                    Missing missing) {
  FileText file = in.environment.read_file(path, kMostFileBytes, false);
  if (!file.text && missing == Missing::stand_in && stand_in(in, node, files))
    return in.warning(node.at, fmt::format("{} can't be read ({}); the self-signed {} stands in", path, file.error,
                                           in.environment.stand_in->first));
  if (!file.text && missing == Missing::left_out && in.environment.stand_in)
    return in.warning(node.at, fmt::format("{} can't be read ({}) and is left out", path, file.error));
  if (!file.text)
    return in.error(node.at, fmt::format("{} can't be read ({}); write the path of a file", path, file.error));
  if (file.text->size() > kMostFileBytes) return in.error(node.at, fmt::format("{} is longer than 1 MiB", path));
  files.push_back({path, std::move(*file.text), in.location(node.at)});
}

void read_text_files(Reader& in, const Node& node, std::vector<TextFile>& files, Missing missing) {
  files.clear();
  read_list(in, node, true, [&](const Node& item) {
    const std::string* path = expect_scalar(in, item, "the path of a file");
    if (!path) return;
    if (path->empty()) return in.error(item.at, "the path is empty; write the path of a file");
    const std::string resolved = beside(in.files.at(static_cast<size_t>(item.at.file)), *path);
    if (resolved.find_first_of("*?[") == std::string::npos) return read_text_file(in, item, resolved, files, missing);
    const auto found = in.environment.glob(resolved);
    if (found.empty() && missing == Missing::stand_in && stand_in(in, item, files))
      return in.warning(item.at, fmt::format("no file is called {}; the self-signed {} stands in", resolved,
                                             in.environment.stand_in->first));
    if (found.empty() && missing == Missing::left_out && in.environment.stand_in)
      return in.warning(item.at, fmt::format("no file is called {}; it is left out", resolved));
    if (found.empty()) return in.error(item.at, fmt::format("no file is called {}", resolved));
    for (const auto& one : found) read_text_file(in, item, one, files, missing);
  });
}

std::string show_paths(const std::vector<TextFile>& files) {
  std::vector<std::string> paths;
  for (const auto& file : files) paths.push_back(file.path);
  return show_list(paths);
}

/// Other contents in a file of the old name are a change, too; they are shown to nobody.
void compare_files(Changes& out, const std::vector<TextFile>& before, const std::vector<TextFile>& after) {
  if (show_paths(before) != show_paths(after)) return out.changed(show_paths(before), show_paths(after));
  for (size_t i = 0; i < before.size(); ++i)
    if (before[i].text != after[i].text) out.note(fmt::format("({}) was renewed", after[i].path));
}

Key<ListenerTls> files_key(const char* name, std::vector<TextFile> ListenerTls::*field, const char* help,
                           Missing missing = Missing::error) {
  TypeDoc doc = list_doc({.text = "path, `*` allowed", .json = R"({"type":"string"})"}, true);
  auto made = custom<ListenerTls>(
      name, std::move(doc),
      [=](Reader& in, const Node& node, ListenerTls& tls) { read_text_files(in, node, tls.*field, missing); },
      [=](const ListenerTls& tls) { return (tls.*field).empty() ? std::string() : show_paths(tls.*field); }, help);
  made.compare = [=](Changes& out, const ListenerTls& a, const ListenerTls& b) {
    compare_files(out, a.*field, b.*field);
  };
  return made;
}

std::vector<TextFile> as_list(const std::optional<TextFile>& file) {
  return file ? std::vector<TextFile>{*file} : std::vector<TextFile>();
}

template <class S>
Key<S> file_key(const char* name, std::optional<TextFile> S::*field, const char* help) {
  auto made = custom<S>(
      name, {.text = "path", .json = R"({"type":"string"})"},
      [=](Reader& in, const Node& node, S& section) {
        std::vector<TextFile> files;
        const std::string* path = expect_scalar(in, node, "the path of a file");
        if (path && path->empty()) return in.error(node.at, "the path is empty; write the path of a file");
        if (path)
          read_text_file(in, node, beside(in.files.at(static_cast<size_t>(node.at.file)), *path), files,
                         Missing::error);
        if (!files.empty()) section.*field = std::move(files.front());
      },
      [=](const S& section) { return section.*field ? (section.*field)->path : std::string(); }, help);
  made.compare = [=](Changes& out, const S& a, const S& b) {
    compare_files(out, as_list(a.*field), as_list(b.*field));
  };
  return made;
}

TypeOf<Hsts> hsts_section() {
  const TypeOf<milliseconds> age = duration(0ms, 87600h);
  return Section<Hsts>("hsts", "`Strict-Transport-Security` on every answer.",
                       {key("max_age", &Hsts::max_age, age, "How long browsers keep to https."),
                        key("subdomains", &Hsts::subdomains, boolean(), "For every name below, too."),
                        key("preload", &Hsts::preload, boolean(), "May stand in the lists that browsers ship.")})
      .short_form("duration", age->doc().json,
                  [age](Reader& in, const Node& node, Hsts& hsts) { age->read(in, node, hsts.max_age); })
      .example("{ max_age: 8760h }");
}

std::string server_name_rule(std::string& text) {
  if (const std::string problem = rules::host_pattern(text); !problem.empty()) return problem;
  return text.starts_with('*') ? "a wildcard is no name to ask for; write one name" : std::string();
}

void check_listener_tls(Reader& in, const Node& node, ListenerTls& tls) {
  if (!node.find_entry("certificate") && !stand_in(in, node, tls.certificates))
    in.error(node.at, "certificate is missing; write certificate: PATH, or try it by weir run --dev");
  if (const Entry* auth = node.find_entry("client_auth"); auth && !node.find_entry("client_ca"))
    in.error(auth->at, "client_auth needs the authorities that clients' certificates come from; write client_ca: PATH");
}

}  // namespace

TypeOf<ListenerTls> listener_tls_section() {
  using V = ListenerTls::Versions;
  using A = ListenerTls::ClientAuth;
  return Section<ListenerTls>(
             "tls", "Clients connect by TLS.",
             {files_key(
                  "certificate", &ListenerTls::certificates,
                  "Files with a certificate and the chain behind it (PEM) each, perhaps with its key; the first is "
                  "for clients that ask for no name or an unknown one. Needed, but for `weir run --dev`.",
                  Missing::stand_in),
              files_key("key", &ListenerTls::keys, "Files with private keys (PEM); each certificate finds its own.",
                        Missing::left_out),
              key("min_version", &ListenerTls::versions, choice<V>({{"1.2", V::from_12}, {"1.3", V::only_13}}),
                  "The oldest version of TLS."),
              file_key("client_ca", &ListenerTls::client_ca,
                       "Certificates of the authorities (PEM) that clients' own certificates must come from."),
              key("client_auth", &ListenerTls::client_auth,
                  choice<A>({{"require", A::require}, {"optional", A::optional}}),
                  "Whether a client without a certificate is refused."),
              key("strict_sni", &ListenerTls::strict_sni, boolean(),
                  "Clients that ask for a name of no certificate, or for none, are refused."),
              files_key("ocsp", &ListenerTls::ocsp,
                        "OCSP responses (DER) to be stapled; each certificate finds its own."),
              key("hsts", &ListenerTls::hsts, hsts_section(), "Browsers shall keep to https.")})
      .after(check_listener_tls)
      .example("{ certificate: /etc/weir/site.pem }");
}

TypeOf<PoolTls> pool_tls_section() {
  return Section<PoolTls>(
             "tls", "How backends with https:// are spoken to.",
             {key("verify", &PoolTls::verify, boolean(),
                  "Whether a backend must show a certificate that holds, for its name. Without, anybody in between can "
                  "be "
                  "the backend."),
              file_key(
                  "ca", &PoolTls::ca,
                  "Certificates of the authorities (PEM) that are trusted; left out: those that the system trusts."),
              key("server_name", &PoolTls::server_name, text("name", server_name_rule),
                  "The name that is asked for (SNI) and must stand in the certificate; left out: the host of the URL."),
              file_key("certificate", &PoolTls::certificate,
                       "Our own certificate and the chain behind it (PEM), for backends that ask for one."),
              file_key("key", &PoolTls::key, "Its private key (PEM), unless that is in the same file.")})
      .after([](Reader& in, const Node& node, PoolTls& tls) {
        if (!tls.verify)
          in.warning(node.find_entry("verify")->at,
                     "without verification anybody between here and the backend can read and change everything; write "
                     "ca: PATH instead");
        if (const Entry* key = node.find_entry("key"); key && !node.find_entry("certificate"))
          in.error(key->at, "a key is of no use without its certificate; write certificate: PATH");
      })
      .example("{ ca: /etc/weir/backends-ca.pem }");
}

Key<Config> tls_key() {
  auto keys = custom<Config>(
      "ticket_keys", {.text = "path", .json = R"({"type":"string"})"},
      [](Reader& in, const Node& node, Config& config) {
        read_secret_file(in, node, config.ticket_file, config.ticket_keys);
      },
      [](const Config& config) { return config.ticket_file; },
      "A file with secrets, one a line, that the keys of session tickets are made from: the first encrypts, each "
      "decrypts. "
      "Instances with the same file resume each other's sessions. Without it each start makes its own, which an "
      "upgrade hands on.");
  keys.compare = [](Changes& out, const Config& a, const Config& b) {
    const bool renewed = a.ticket_file == b.ticket_file && a.ticket_keys != b.ticket_keys;
    out.changed(renewed ? "the old keys" : a.ticket_file, renewed ? "new ones" : b.ticket_file);
  };
  const TypeOf<Config> section =
      Section<Config>("tls", "", {std::move(keys)}).example("{ ticket_keys: /etc/weir/tickets.keys }");
  return group<Config>("tls", section, "What all TLS listeners share.");
}

}  // namespace weir::config
