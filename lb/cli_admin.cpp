#include "lb/cli_admin.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <cstdio>
#include <cstdlib>

#include "lb/admin/client.hpp"

namespace weir::cli {

namespace {

void add_where(CLI::App* command, AdminWords& words) {
  command
      ->add_option("--admin", words.admin,
                   fmt::format("where its admin API is: a socket, or http://HOST:PORT (default $WEIR_ADMIN, or {})",
                               admin::kDefaultSocket))
      ->type_name("ADDRESS");
  command
      ->add_option("--token-file", words.token_file,
                   "a file with the token that changes over TCP need (default $WEIR_TOKEN_FILE)")
      ->type_name("FILE");
}

void add_backend(CLI::App* command, AdminWords& words) {
  add_where(command, words);
  command->add_option("POOL/BACKEND", words.backend, "as the configuration names them")->type_name("")->required();
}

void add_status(CLI::App& app, AdminWords& words) {
  auto* command = app.add_subcommand("status", "Show a running Weir: its pools and backends, and how they are");
  add_where(command, words);
  command->add_flag("--json", words.json, "as JSON, for scripts");
  command->footer(R"(Examples:
  weir status
  weir status --admin http://127.0.0.1:9901
  weir status --json | jq '.pools[].backends[] | select(.status == "down") | .name')");
}

void add_top(CLI::App& app, AdminWords& words) {
  auto* command = app.add_subcommand("top", "Watch a running Weir: rates, load and latencies, live in the terminal");
  add_where(command, words);
  command->add_option("--interval", words.interval, "between two looks (default 1s)")->type_name("TIME");
  command->footer(
      R"(Keys: q quits, s sorts the backends of each pool (by file, requests, in flight, p99, failures), ↑ ↓ and the page keys
scroll. Rates and latencies are those of the last interval. Where standard output is no terminal, one picture is printed.

Examples:
  weir top
  weir top --interval 5s | mail -s weir ops@example.com)");
}

void add_orders(CLI::App& app, AdminWords& words) {
  auto* drain = app.add_subcommand("drain", "Take a backend out: no new requests; waits until none is in flight");
  add_backend(drain, words);
  drain
      ->add_option(
          "--timeout", words.timeout,
          "wait so long at most, then exit code 1 (default 60s; with affinity as long as sessions may come, and 60s)")
      ->type_name("TIME");
  drain->add_flag("--no-wait", words.no_wait, "don't wait");
  drain->footer(
      R"(What is in flight goes on, whatever the time-out. With affinity the backend keeps its sessions until none has sent a request
for affinity.idle, or affinity.drain is over; where several instances stand, drain it on each. It stays drained until `weir enable`, over reloads, too, as long as the
configuration has it; not over a restart.

Examples:
  weir drain app/b1 && ssh b1 deploy && weir enable app/b1
  weir drain app/b1 --timeout 5m)");
  auto* disable = app.add_subcommand("disable", "Take a backend out without waiting for what is in flight");
  add_backend(disable, words);
  disable->footer(
      R"(What is in flight goes on; only TCP sessions of a pool with `sessions: { on_eject: close }` are reset.

Example:
  weir disable app/b1 && ssh b1 reboot)");
  auto* enable = app.add_subcommand("enable", "Let a backend serve again after drain or disable");
  add_backend(enable, words);
  enable->footer(R"(It serves once its checks say that it is well. What is ejected or down is not brought back by this.

Example:
  weir enable app/b1)");
}

void add_backend_changes(CLI::App& app, AdminWords& words) {
  auto* command = app.add_subcommand("backend", "Add a backend to a pool, change its weight, or remove it");
  command->add_option("ACTION POOL/NAME", words.change, "add POOL/NAME URL, weight POOL/NAME N, or remove POOL/NAME")
      ->type_name("[URL|N]")
      ->expected(0, 3);
  command->add_option("--weight", words.weight, "of one that is added (default 1)")->type_name("N");
  command->add_flag("--persist", words.persist, "over restarts, too: it is written to admin.state_file");
  add_where(command, words);
  command->footer(
      R"(The configuration's file is never written. What is changed here is laid over it, at each reload, too; what no longer fits
the file (it has a backend of that name now, the pool is gone) is forgotten, and the reload says so.
Requests that are with a removed backend end in peace; drain it first where sessions matter.

Examples:
  weir backend add app/c http://10.0.0.3:8080 --weight 2
  weir backend weight app/c 1 --persist
  weir backend remove app/c)");
}

void add_reload(CLI::App& app, AdminWords& words) {
  auto* command = app.add_subcommand("reload", "Have a running Weir read its configuration again; say what changed");
  add_where(command, words);
  command->add_flag("--dry-run", words.dry_run, "only say what would change");
  command->footer(R"(A bad configuration changes nothing; everything that is wrong is listed as FILE:LINE:COLUMN: …
Exit code: 0 applied, 2 bad configuration, 1 anything else.

Examples:
  weir reload
  weir reload --dry-run)");
}

void add_reopen(CLI::App& app, AdminWords& words) {
  auto* command = app.add_subcommand("reopen", "Have a running Weir open its access log again, after it was rotated");
  add_where(command, words);
  command->footer(
      R"(It returns once nothing more is written to the old file, which may be compressed then; no line is lost.
Exit code: 0 done, or there is no file to open; 1 it can't be opened, and the old file stays in use.

Examples:
  mv access.log access.log.1 && weir reopen && gzip access.log.1)");
}

void add_upgrade(CLI::App& app, AdminWords& words) {
  auto* command =
      app.add_subcommand("upgrade", "Have the program on the disk take over from a running Weir, unnoticed");
  add_where(command, words);
  command->footer(
      R"(It is started with the same arguments, gets all listening sockets, and serves once it is ready; then the old process stops
accepting, and finishes what it has (at most drain_timeout). A program that fails at its start, or isn't ready within
upgrade_timeout, changes nothing. SIGUSR2 does the same.
Exit code: 0 the new process serves, 2 it finds the configuration bad, 1 anything else.

Examples:
  weir upgrade
  install -m 755 weir-new /usr/local/bin/weir && weir upgrade)");
}

void add_explain(CLI::App& app, AdminWords& words) {
  auto* command = app.add_subcommand("explain", "Say what would become of a request or TCP session, and why");
  command
      ->add_option("FILE METHOD URL", words.request,
                   "the configuration, or --live instead of it; then the request, or tcp://NAME:PORT for a TCP session")
      ->type_name("")
      ->required()
      ->expected(-1);
  command->add_flag("--live", words.live, "ask the running Weir, which knows who is up");
  command->add_flag("--dev", words.dev, "read FILE as weir run --dev does");
  command->add_option("-H,--header", words.headers, "a field of the request; repeat it for more")
      ->type_name("\"NAME: VALUE\"")
      ->expected(1)
      ->take_all();
  command->add_option("--client", words.client, "the address that it comes from (default 127.0.0.1)")
      ->type_name("ADDRESS");
  command->add_option("--listener", words.listener, "the listener that it comes in by (default: by the URL's port)")
      ->type_name("NAME");
  add_where(command, words);
  command->add_flag("--json", words.json, "as JSON, for scripts");
  command->footer(
      R"(It is asked of the code that serves requests; nothing is sent to a backend, and no place or token is taken. Exit code: 0
a backend, a redirect or a fixed response answers; 1 the request is refused, waits, or finds no backend.

Examples:
  weir explain weir.yaml GET http://www.example.com/search?q=1
  weir explain --live POST /cart -H "Host: shop.example.com" -H "Cookie: user=7"
  weir explain --live tcp://db.example.com:3306 --client 10.0.0.9)");
}

void add_why(CLI::App& app, AdminWords& words) {
  auto* command = app.add_subcommand("why", "Say what became of a recent request: each attempt, its cause, its times");
  command
      ->add_option("REQUEST-ID", words.id,
                   "as the error page, the access log and X-Request-Id have it; the first "
                   "characters will do; without it, the last ones are listed")
      ->type_name("");
  add_where(command, words);
  command->add_flag("--json", words.json, "as JSON, for scripts");
  command->footer(
      R"(Weir remembers the last requests that failed or had to be tried again (about 512, and 128 that it refused before they
reached a pool), and the last 128 that a backend was slow to answer (log.slow); of what was answered soon and at the
first try nothing is kept.

Examples:
  weir why
  weir why 8f591bb328ffa96a04150a7ea0abbf07)");
}

}  // namespace

void add_admin_commands(CLI::App& app, AdminWords& words) {
  add_status(app, words);
  add_top(app, words);
  add_orders(app, words);
  add_backend_changes(app, words);
  add_reload(app, words);
  add_reopen(app, words);
  add_upgrade(app, words);
  add_explain(app, words);
  add_why(app, words);
}

std::optional<int> run_admin_command(std::string_view command, const AdminWords& words) {
  try {
    if (command == "status") return status(words);
    if (command == "top") return top(words);
    if (command == "drain" || command == "disable" || command == "enable") return order(command, words);
    if (command == "backend") return change_backend(words);
    if (command == "reload") return reload(words);
    if (command == "reopen") return reopen(words);
    if (command == "upgrade") return upgrade(words);
    if (command == "explain") return explain(words);
    if (command == "why") return why(words);
    return std::nullopt;
  } catch (const admin::ClientError& error) {
    std::fflush(stdout);
    fmt::print(stderr, "weir: {}\n", error.what());
    return 1;
  }
}

std::unique_ptr<admin::Client> make_client(const AdminWords& words) {
  const auto or_else = [](const std::string& word, const char* variable) {
    const char* value = word.empty() ? std::getenv(variable) : nullptr;
    return value ? std::string(value) : word;
  };
  const std::string where = or_else(words.admin, "WEIR_ADMIN"), token = or_else(words.token_file, "WEIR_TOKEN_FILE");
  auto target = admin::parse_target(where.empty() ? admin::kDefaultSocket : where);
  if (!token.empty()) target.token = admin::read_token(token);
  return std::make_unique<admin::Client>(std::move(target));
}

boost::json::value ask(admin::Client& client, std::string_view method, const std::string& path) {
  const auto reply = client.request(method, path);
  boost::json::error_code error;
  auto body = boost::json::parse(reply.body, error);
  const bool problem = !error && body.is_object() && body.as_object().contains("detail");
  if (reply.status / 100 != 2) {
    std::string detail = problem ? std::string(body.at("detail").as_string()) : fmt::format("status {}", reply.status);
    if (reply.status == 401) detail += " Name its file with --token-file.";
    throw admin::ClientError(fmt::format("{}{}", problem ? "" : client.target().shown() + ": ", detail));
  }
  if (error) throw admin::ClientError(fmt::format("{} is no admin API of Weir", client.target().shown()));
  return body;
}

std::string encoded(std::string_view plain) {
  std::string out;
  for (const char c : plain) {
    const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                            c == '.' || c == '_' || c == '~';
    out += unreserved ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

bool wants_colours() {
  const char* no_colour = std::getenv("NO_COLOR");
  return ::isatty(STDOUT_FILENO) && !(no_colour && *no_colour);
}

size_t terminal_width() {
  if (!::isatty(STDOUT_FILENO)) return 0;
  const char* columns = std::getenv("COLUMNS");
  if (const int given = columns ? std::atoi(columns) : 0; given > 0) return static_cast<size_t>(given);
  winsize size{};
  return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

}  // namespace weir::cli
