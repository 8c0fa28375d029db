#include "lb/cli_manual.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>

#include "lb/base/roff.hpp"

namespace weir::cli {

std::vector<std::string> names_of(const CLI::Option& option) {
  std::vector<std::string> result;
  for (const auto& name : option.get_snames()) result.push_back("-" + name);
  for (const auto& name : option.get_lnames()) result.push_back("--" + name);
  return result;
}

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

namespace {

void write_options(const CLI::App& command, std::string& out) {
  for (const auto* option : command.get_options()) {
    if (option->get_positional() && !option->nonpositional()) {
      out += ".TP\n.I " + roff::escape(option->get_name(true)) + '\n';
    } else {
      out += ".TP\n\\fB" + roff::escape(fmt::format("{}", fmt::join(names_of(*option), ", "))) + "\\fR";
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

}  // namespace weir::cli
