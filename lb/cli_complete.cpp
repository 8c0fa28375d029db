// `weir complete`: what the shells offer.
#include <fmt/format.h>
#include <sys/time.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json.hpp>
#include <csignal>
#include <set>

#include "config/load.hpp"
#include "lb/admin/client.hpp"
#include "lb/admin/table.hpp"
#include "lb/cli_admin.hpp"
#include "lb/cli_manual.hpp"

namespace weir::cli {

namespace {

constexpr const char* kFiles = ":files\n";

/// The words behind the command, but for the last one.
struct Typed {
  std::vector<std::string> plain, options;
  std::string admin;

  bool has(std::string_view option) const { return std::find(options.begin(), options.end(), option) != options.end(); }
};

const CLI::Option* find_option(const CLI::App& command, const std::string& word) {
  for (const auto* option : command.get_options())
    for (const auto& name : names_of(*option))
      if (name == word) return option;
  return nullptr;
}

Typed sort_words(const CLI::App& command, const std::vector<std::string>& words) {
  Typed typed;
  for (size_t i = 0; i < words.size(); ++i) {
    if (!words[i].starts_with('-')) {
      typed.plain.push_back(words[i]);
      continue;
    }
    typed.options.push_back(words[i]);
    const auto* option = find_option(command, words[i]);
    if (!option || !takes_value(*option) || i + 1 == words.size()) continue;
    if (words[i] == "--admin") typed.admin = words[i + 1];
    ++i;
  }
  return typed;
}

void add(const std::string& word, const std::string& what, const std::string& typed, std::string& out) {
  if (word.starts_with(typed)) out += word + '\t' + what + '\n';
}

/// Who types must not wait: if the daemon is slow to answer, there is nothing to offer.
void end_after(std::chrono::microseconds limit) {
  std::signal(SIGALRM, [](int) { ::_exit(0); });
  const itimerval timer{{0, 0}, {0, limit.count()}};
  ::setitimer(ITIMER_REAL, &timer, nullptr);
}

/// `read` gets the daemon's answer, if there is one soon. Only a socket is asked: a name might be long in resolving.
template <typename Read>
void ask_daemon(const Typed& words, const char* path, Read read) {
  end_after(std::chrono::milliseconds(300));
  try {
    AdminWords where;
    where.admin = words.admin;
    const auto client = make_client(where);
    if (client->target().is_unix) read(ask(*client, "GET", path));
  } catch (const std::exception&) {  // nobody there, or no Weir: nothing is known
  }
}

std::string text(const boost::json::value& object, const char* key) {
  return admin::printable(std::string_view(object.at(key).as_string()));
}

/// "app/b1", with its status.
void add_backends(const Typed& words, const std::string& typed, std::string& out) {
  ask_daemon(words, "/api/v1/pools", [&](const boost::json::value& pools) {
    for (const auto& pool : pools.at("pools").as_array())
      for (const auto& backend : pool.at("backends").as_array())
        add(text(pool, "name") + '/' + text(backend, "name"), text(backend, "status") + ", " + text(backend, "address"),
            typed, out);
  });
}

/// Of the daemon with --live, else of the file, if it is one that Weir would take.
void add_listeners(const Typed& words, const std::string& typed, std::string& out) {
  std::set<std::string> names;  // of several addresses, once
  if (words.has("--live")) {
    ask_daemon(words, "/api/v1/status", [&](const boost::json::value& status) {
      for (const auto& listener : status.at("listeners").as_array())
        if (const auto name = text(listener, "name"); names.insert(name).second)
          add(name, text(listener, "address"), typed, out);
    });
    return;
  }
  if (words.plain.empty()) return;
  end_after(std::chrono::milliseconds(300));
  const auto loaded = config::load_file(words.plain[0]);
  if (!loaded.config) return;
  for (const auto& listener : loaded.config->listeners) add(listener.name, words.plain[0], typed, out);
}

void add_methods(const std::string& typed, std::string& out) {
  for (const char* method : {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
    add(method, "METHOD", typed, out);
}

void add_actions(const std::string& typed, std::string& out) {
  add("add", "POOL/NAME URL", typed, out);
  add("weight", "POOL/NAME N", typed, out);
  add("remove", "POOL/NAME", typed, out);
}

void complete_in(const CLI::App& command, const std::vector<std::string>& words, const std::string& typed,
                 std::string& out) {
  const auto* before = words.empty() ? nullptr : find_option(command, words.back());
  if (before && takes_value(*before)) {
    if (before->get_type_name() == "FILE") out += kFiles;
    if (words.back() == "--listener") add_listeners(sort_words(command, words), typed, out);
    return;  // another value: nothing that we could know
  }
  if (typed.starts_with('-')) {
    for (const auto* option : command.get_options())
      for (const auto& name : names_of(*option)) add(name, option->get_description(), typed, out);
    return;
  }
  const Typed given = sort_words(command, words);
  for (const auto* option : command.get_options()) {
    if (!option->get_positional()) continue;
    const std::string name = option->get_name(true);
    const size_t at = given.plain.size();
    if (at == 0 && name.starts_with("FILE") && !given.has("--live")) out += kFiles;
    if (at == (given.has("--live") ? 0 : 1) && name == "FILE METHOD URL") add_methods(typed, out);
    if (at == 0 && name == "POOL/BACKEND") add_backends(given, typed, out);
    if (at == 0 && name.starts_with("ACTION")) add_actions(typed, out);
    if (at == 1 && name.starts_with("ACTION") && given.plain[0] != "add") add_backends(given, typed, out);
  }
  for (const auto* inner : command.get_subcommands({})) add(inner->get_name(), inner->get_description(), typed, out);
}

}  // namespace

std::string completions(const CLI::App& app, const std::vector<std::string>& words) {
  std::string out;
  if (words.empty()) return out;
  const CLI::App* command = &app;
  auto begin = words.begin();
  const auto commands = app.get_subcommands({});
  for (auto word = words.begin(); word + 1 != words.end() && command == &app; ++word)
    for (const auto* inner : commands)
      if (inner->get_name() == *word) {
        command = inner;
        begin = word + 1;
      }
  complete_in(*command, {begin, words.end() - 1}, words.back(), out);
  return out;
}

}  // namespace weir::cli
