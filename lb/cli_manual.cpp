#include "lb/cli_manual.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>

#include "lb/base/roff.hpp"

namespace weir::cli {

namespace {

constexpr const char* kFiles = ":files\n";

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

/// "-b, --bind ADDRESS", each name on its own.
std::vector<std::string> names(const CLI::Option& option) {
  std::vector<std::string> result;
  for (const auto& name : option.get_snames()) result.push_back("-" + name);
  for (const auto& name : option.get_lnames()) result.push_back("--" + name);
  return result;
}

void write_options(const CLI::App& command, std::string& out) {
  for (const auto* option : command.get_options()) {
    if (option->get_positional() && !option->nonpositional()) {
      out += ".TP\n.I " + roff::escape(option->get_name(true)) + '\n';
    } else {
      out += ".TP\n\\fB" + roff::escape(fmt::format("{}", fmt::join(names(*option), ", "))) + "\\fR";
      if (takes_value(*option)) out += " \\fI" + roff::escape(option->get_type_name()) + "\\fR";
      out += '\n';
    }
    out += "\\&" + roff::escape(option->get_description()) + '\n';
  }
}

void write_command(const CLI::App& command, std::string& out) {
  std::string usage = command.get_name() + " [OPTION]...";
  for (const auto* option : command.get_options())
    if (option->get_positional() && !option->nonpositional())
      usage += option->get_required() ? " " + option->get_name(true) : " [" + option->get_name(true) + "]";
  out += ".SS weir " + roff::escape(usage) + '\n' + roff::escape(command.get_description()) + ".\n";
  write_options(command, out);
  if (const auto footer = command.get_footer(); !footer.empty()) out += ".PP\n" + roff::verbatim(footer);
}

const CLI::Option* find_option(const CLI::App& command, const std::string& word) {
  for (const auto* option : command.get_options())
    for (const auto& name : names(*option))
      if (name == word) return option;
  return nullptr;
}

void add(const std::string& word, const std::string& what, const std::string& typed, std::string& out) {
  if (word.starts_with(typed)) out += word + '\t' + what + '\n';
}

void complete_in(const CLI::App& command, const std::string& before, const std::string& typed, std::string& out) {
  if (const auto* option = find_option(command, before); option && takes_value(*option)) {
    if (option->get_type_name() == "FILE") out += kFiles;
    return;  // another value: nothing that we could know
  }
  for (const auto* option : command.get_options()) {
    if (typed.starts_with('-'))
      for (const auto& name : names(*option)) add(name, option->get_description(), typed, out);
    else if (option->get_positional() && option->get_name(true) == "FILE")
      out += kFiles;
  }
  for (const auto* inner : command.get_subcommands({})) add(inner->get_name(), inner->get_description(), typed, out);
}

}  // namespace

std::string manual(const CLI::App& app) {
  std::string out = roff::title("weir", 1);
  out += ".SH NAME\nweir \\- reverse\\-proxy load balancer\n.SH SYNOPSIS\n.B weir\n.I COMMAND\n.RI [ OPTION ]...\n";
  out += ".SH DESCRIPTION\n" + roff::escape(app.get_description()) +
         "\nIt takes the requests of clients and gives them to the servers of an application, to those that are well.\n"
         "What it does stands in one file, see\n.BR weir.yaml (5).\n";
  out += ".SH OPTIONS\n";
  write_options(app, out);
  out += ".SH COMMANDS\n";
  for (const auto* command : app.get_subcommands({})) write_command(*command, out);
  out += ".SH EXAMPLES\n" + roff::verbatim(app.get_footer());
  out += R"(.SH ENVIRONMENT
.TP
.B NOTIFY_SOCKET
Where the state of the daemon is told, as
.BR sd_notify (3)
says: ready, reloading, stopping.
.TP
.B WATCHDOG_USEC
How often a sign of life is expected there. It is given as long as every worker answers.
.TP
.BR LISTEN_FDS ", " LISTEN_PID ", " LISTEN_FDNAMES
Listening sockets that are open already, as
.BR sd_listen_fds (3)
says. A listener whose
.B bind
is the address of one of them uses it.
.TP
.B WEIR_ADMIN
Where the commands that ask a running daemon find it, as
.B \-\-admin
says.
.TP
.B WEIR_TOKEN_FILE
As
.B \-\-token\-file
says.
.PP
Others may be named in the configuration.
.SH FILES
.TP
.I /etc/weir/weir.yaml
The configuration.
.TP
.I /run/weir/admin.sock
The socket of the running daemon, for the commands that ask it.
.TP
.I /usr/share/doc/weir/examples
A configuration for each feature.
.SH SEE ALSO
.BR weir.yaml (5)
)";
  return out;
}

std::string completions(const CLI::App& app, const std::vector<std::string>& words) {
  std::string out;
  if (words.empty()) return out;
  const CLI::App* command = &app;
  for (size_t i = 0; i + 1 < words.size(); ++i)
    for (const auto* inner : command->get_subcommands({}))
      if (inner->get_name() == words[i]) {
        command = inner;
        break;
      }
  complete_in(*command, words.size() > 1 ? words[words.size() - 2] : "", words.back(), out);
  return out;
}

}  // namespace weir::cli
