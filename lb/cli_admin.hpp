// The commands that speak to a running daemon through its admin API. Each prints for people, and returns the exit code:
// 0 well, 1 not, 2 wrong usage or a bad configuration.
#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}
namespace boost::json {
class value;
}
namespace weir::admin {
class Client;
}

namespace weir::cli {

/// What the command line said.
struct AdminWords {
  std::string admin, token_file;
  bool json = false;
  std::string backend, timeout;  // drain, disable, enable; no timeout: what the pool makes of it
  bool no_wait = false;
  std::vector<std::string> change;  // backend: ACTION POOL/NAME [URL|N]
  std::string weight;
  bool persist = false;
  bool dry_run = false;         // reload
  std::string id;               // why
  std::string interval = "1s";  // top
  // explain
  bool live = false, dev = false;
  std::vector<std::string> request;  // [FILE] METHOD URL
  std::vector<std::string> headers;
  std::string client, listener;
};

void add_admin_commands(CLI::App& app, AdminWords& words);
/// Nothing if `command` is none of them.
std::optional<int> run_admin_command(std::string_view command, const AdminWords& words);

/// Throws admin::ClientError if the words make no sense; connects only at the first request.
std::unique_ptr<admin::Client> make_client(const AdminWords& words);
/// The body of a successful answer. Throws admin::ClientError with what the API says of any other.
boost::json::value ask(admin::Client& client, std::string_view method, const std::string& path);
/// Is standard output a terminal that wants colours (https://no-color.org)?
bool wants_colours();
/// Columns of the terminal that standard output is ($COLUMNS, else what it says); 0: it is none, and lines are as long
/// as they are.
size_t terminal_width();

int status(const AdminWords& words);
int order(std::string_view what, const AdminWords& words);
int change_backend(const AdminWords& words);
int reload(const AdminWords& words);
int reopen(const AdminWords& words);
int upgrade(const AdminWords& words);
int explain(const AdminWords& words);
int why(const AdminWords& words);
int top(const AdminWords& words);
/// For a query: all but the unreserved bytes (RFC 3986 §2.3) escaped.
std::string encoded(std::string_view plain);

}  // namespace weir::cli
