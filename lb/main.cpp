// The command line. Exit codes: 0 well, 1 it couldn't start (one line on stderr says why), 2 wrong usage or a bad
// configuration.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "config/duration.hpp"
#include "config/load.hpp"
#include "config/suggest.hpp"
#include "lb/cli_admin.hpp"
#include "lb/cli_check.hpp"
#include "lb/cli_manual.hpp"
#include "lb/daemon.hpp"
#include "lb/demo_backend.hpp"
#include "lb/demo_session.hpp"

namespace {

constexpr const char* kDefaultFile = "/etc/weir/weir.yaml";

constexpr const char* kFooter = R"(A first look, in two terminals:
  weir demo-backend --bind 127.0.0.1:9001 --bind 127.0.0.1:9002
  weir run weir.yaml      # with these three lines in it:
      listeners: { web: { bind: "127.0.0.1:8080" } }
      pools:     { app: { backends: { a: "http://127.0.0.1:9001", b: "http://127.0.0.1:9002" } } }
      routes:    [ { pool: app } ]

Every day:
  weir status                            # pools and backends, and how they are
  weir reload                            # a bad file changes nothing and says why; kill -HUP PID does the same
  weir upgrade                           # the program on the disk takes over; no request notices
  weir drain POOL/BACKEND                # before you restart it; weir enable POOL/BACKEND after
  kill -TERM PID                         # finish what is in flight, then end
  weir reopen                            # open the access log again, after rotating it (or: kill -USR1 PID)

Exit codes: 0 well; 1 it failed (port in use, no such file, no permission, no Weir listens); 2 wrong usage or a bad configuration.
"weir COMMAND --help" says more about a command.)";

struct Words {
  std::string file = kDefaultFile;
  bool watch = false, dev = false;
  std::string delay = "0ms", fail = "0%", topic;
  weir::demo::Options demo;
  std::string page = "weir.1";
  weir::cli::AdminWords admin;
};

void add_file(CLI::App* command, Words& words) {
  command->add_option("FILE", words.file, fmt::format("the configuration (default {})", kDefaultFile))->type_name("");
}

void add_run(CLI::App& app, Words& words) {
  auto* run = app.add_subcommand("run", "Serve, in the foreground, until SIGTERM or SIGINT");
  add_file(run, words);
  run->add_flag("--watch", words.watch, "reload when the configuration's files change, too");
  run->add_flag("--dev", words.dev,
                "a self-signed certificate stands in where a listener's `tls` has none, or one that isn't there");
  run->footer(R"(Events go to stderr, the access log where the configuration says.
  SIGHUP   reloads the configuration; connections and WebSockets live on, a bad file changes nothing
  SIGTERM  drains: what is in flight is finished (at most drain_timeout); a second one ends at once
  SIGUSR1  opens the access log again
  SIGUSR2  the program on the disk takes over, as with weir upgrade

Examples:
  weir run                       # /etc/weir/weir.yaml
  weir run ./weir.yaml --watch
  weir run ./weir.yaml --dev     # tls: {} is enough; the certificate: ~/.local/state/weir/dev.pem
  PORT=8080 weir run weir.yaml   # with bind: "127.0.0.1:${PORT}" in the file)");
}

void add_check(CLI::App& app, Words& words) {
  auto* check =
      app.add_subcommand("check", "Say whether a configuration is good, and everything that is wrong with it");
  add_file(check, words);
  check->add_flag("--dev", words.dev, "as weir run --dev would take it");
  check->footer(
      R"(Nothing is started, no connection is made. All errors are listed at once as FILE:LINE:COLUMN: what is wrong; what to
write instead. Routes that no request can ever reach are errors. `weir run` and a reload apply the same rules.

What it can't see: whether the addresses to listen on are free and permitted, whether the access log can be written,
whether backends answer, and what a reload refuses because it can't change in a running daemon (workers, the addresses
of admin).

Exit code: 0 good (warnings may be listed), 2 bad, 1 the file can't be read.

Examples:
  weir check
  weir check ./weir.yaml && kill -HUP PID)");
}

void add_schema(CLI::App& app) {
  app.add_subcommand("schema", "Print the JSON schema of the configuration, for editors")->footer(R"(Examples:
  weir schema > ~/.config/weir.schema.json
  # then, as the first line of a configuration (VS Code, Neovim, … with yaml-language-server):
  # yaml-language-server: $schema=/home/me/.config/weir.schema.json)");
}

void add_demo_backend(CLI::App& app, Words& words) {
  auto* demo =
      app.add_subcommand("demo-backend", "A small HTTP server to try things on: slow, failing or dying on demand");
  demo->add_option("-b,--bind", words.demo.binds,
                   "where to listen (default 127.0.0.1:9001); repeat it for several backends")
      ->type_name("ADDRESS");
  demo->add_option("-n,--name", words.demo.names, "its name in the answers; repeat it, one for each --bind")
      ->type_name("NAME");
  demo->add_option("--delay", words.delay, "wait so long before each answer, like 200ms")->type_name("TIME");
  demo->add_option("--fail", words.fail, "answer 503 to this share of the requests, like 20%")->type_name("SHARE");
  demo->add_option("--status", words.demo.status, "the status of ordinary answers (default 200)")
      ->type_name("STATUS")
      ->check(CLI::Range(200, 599).description(""));
  demo->add_flag("-v,--verbose", words.demo.verbose, "log each request");
  demo->footer(std::string(weir::demo::kHelp) + R"(

Examples:
  weir demo-backend --bind 127.0.0.1:9001 --name a
  weir demo-backend --bind 127.0.0.1:9001 --bind 127.0.0.1:9002 --delay 200ms --fail 20%
  curl -X POST '127.0.0.1:9001/-/die?for=10s'    # and look at Weir's metrics)");
}

void add_manual(CLI::App& app, Words& words) {
  auto* manual = app.add_subcommand("manual", "Print a page of the manual, for man");
  manual->add_option("PAGE", words.page, "weir.1 (default), or weir.yaml.5, which has every key")
      ->type_name("")
      ->check(CLI::IsMember({"weir.1", "weir.yaml.5"}).description(""));
  manual->footer(R"(Examples:
  weir manual weir.yaml.5 | man -l -)");
}

int print_manual(const CLI::App& app, const std::string& page) {
  fmt::print("{}", page == "weir.1" ? weir::cli::manual(app) : weir::config::reference_man());
  return 0;
}

int run_demo_backend(Words& words) {
  std::string problem;
  const auto delay =
      weir::config::parse_duration(words.delay, std::chrono::milliseconds(0), std::chrono::hours(1), problem);
  if (!delay) {
    fmt::print(stderr, "weir: --delay: {}\n", problem);
    return 2;
  }
  words.demo.delay = *delay;
  if (!weir::demo::parse_percent(words.fail, words.demo.fail_percent)) {
    fmt::print(stderr, "weir: --fail {}: not a share with its %; write one like 20%\n", words.fail);
    return 2;
  }
  if (words.demo.names.size() > words.demo.binds.size()) {
    const size_t addresses = words.demo.binds.size();
    fmt::print(stderr, "weir: {} names for {} address{}; give each --name its --bind\n", words.demo.names.size(),
               addresses, addresses == 1 ? "" : "es");
    return 2;
  }
  return weir::demo::run(words.demo);
}

int version() {
  fmt::print("weir {}\n", WEIR_VERSION);
  return 0;
}

/// Descriptors 0 to 2 are open, or a socket would become standard error; and whoever reads what a daemon writes may go
/// without ending it.
void secure_standard_streams() {
  int fd;
  while ((fd = ::open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO) {
  }
  if (fd >= 0) ::close(fd);
  ::signal(SIGPIPE, SIG_IGN);
}

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const auto* option : command.get_options())
    for (const auto& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const auto* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

/// A first word that is neither a command nor an option: what was meant?
bool explain_unknown_word(const CLI::App& app, const std::string& word) {
  if (word.starts_with('-')) {
    if (app.get_option_no_throw(word)) return false;
    fmt::print(stderr, "weir: there is no option {}; {}\n", word,
               weir::config::suggest(word, option_names(app), "the options are"));
    return true;
  }
  const auto names = command_names(app);
  if (word.empty() || std::find(names.begin(), names.end(), word) != names.end()) return false;
  if (::access(word.c_str(), F_OK) == 0) {
    fmt::print(stderr, "weir: {} is a file; did you mean \"weir run {}\" or \"weir check {}\"?\n", word, word, word);
  } else {
    fmt::print(stderr, "weir: there is no command \"{}\"; {}\n", word,
               weir::config::suggest(word, names, "the commands are"));
  }
  return true;
}

/// `word`: "help", or a command.
int show_help(const CLI::App& app, const std::string& word) {
  if (explain_unknown_word(app, word)) return 2;
  fmt::print("{}", word == "help" ? app.help() : app.get_subcommand(word)->help("weir"));
  return 0;
}

/// A word that the command doesn't take.
bool explain_extra_word(const CLI::App& command) {
  const auto words = command.remaining();
  if (words.empty()) return false;
  const auto& word = words.front();
  if (word[0] == '-') {
    fmt::print(stderr, "weir: \"weir {}\" has no option {}; {}\n", command.get_name(), word,
               weir::config::suggest(word, option_names(command), "the options are"));
  } else {
    fmt::print(stderr, "weir: \"weir {}\" doesn't know what to do with \"{}\"; see \"weir {} --help\"\n",
               command.get_name(), word, command.get_name());
  }
  return true;
}

int dispatch(int argc, char** argv) {
  CLI::App app("Weir, a reverse-proxy load balancer.", "weir");
  Words words;
  app.set_help_flag("-h,--help", "show this help");
  app.set_version_flag("-V,--version", std::string("weir ") + WEIR_VERSION, "show the version");
  app.require_subcommand(1);
  app.get_formatter()->label("SUBCOMMAND", "COMMAND");
  app.get_formatter()->label("TEXT", "");
  app.get_formatter()->column_width(24);
  app.footer(kFooter);
  add_run(app, words);
  add_check(app, words);
  add_schema(app);
  add_demo_backend(app, words);
  add_manual(app, words);
  app.add_subcommand("version", "Show the version")->footer("One line: weir MAJOR.MINOR.PATCH");
  auto* help = app.add_subcommand("help", "Show this help, or that of a command");
  help->add_option("COMMAND", words.topic, "the command")->type_name("");
  help->footer("Example: weir help run");
  weir::cli::add_admin_commands(app, words.admin);
  for (auto* command : app.get_subcommands({})) command->group("Commands");
  if (argc == 1) {
    fmt::print(stderr, "{}", app.help());
    return 2;
  }
  if (argv[1] == std::string_view("complete")) {  // for the shells alone: `weir complete WORD...`
    fmt::print("{}", weir::cli::completions(app, {argv + 2, argv + argc}));
    return 0;
  }
  if (explain_unknown_word(app, argv[1])) return 2;
  // Once CLI11 has parsed a command, app.help() is that command's.
  const std::string_view topic = argc == 3 ? argv[2] : "";
  if (argv[1] == std::string_view("help") && argc <= 3 && !topic.starts_with('-'))
    return show_help(app, argv[argc - 1]);
  // Also in the middle of words that are not complete yet: weir backend add --help.
  const bool asks =
      std::any_of(argv + 2, argv + argc, [](std::string_view word) { return word == "-h" || word == "--help"; });
  if (asks && argc > 3 && argv[1][0] != '-' && argv[1] != std::string_view("help")) return show_help(app, argv[1]);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // help or version was asked for
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    const auto chosen = app.get_subcommands();
    if (!chosen.empty() && explain_extra_word(*chosen.front())) return 2;
    fmt::print(stderr, "weir: {}; see \"weir {}--help\"\n", error.what(),
               chosen.empty() ? "" : chosen.front()->get_name() + " ");
    return 2;
  }
  const auto name = app.get_subcommands().front()->get_name();
  if (name == "help") return show_help(app, name);  // "weir help -- X"
  if (name == "run" || name == "demo-backend") secure_standard_streams();
  if (name == "run") return weir::run_daemon({words.file, {argv, argv + argc}, words.watch, words.dev});
  if (name == "check") return weir::cli::check(words.file, words.dev);
  if (name == "schema") return weir::cli::schema();
  if (name == "demo-backend") return run_demo_backend(words);
  if (const auto code = weir::cli::run_admin_command(name, words.admin)) return *code;
  if (name == "manual") return print_manual(app, words.page);
  return version();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const int code = dispatch(argc, argv);
    // `weir schema > /dev/full` and its like are not a success.
    if (std::fflush(stdout) != 0 && code == 0) {
      fmt::print(stderr, "weir: can't write to standard output\n");
      return 1;
    }
    return code;
  } catch (const std::exception& error) {
    fmt::print(stderr, "weir: {}\n", error.what());
    return 1;
  }
}
