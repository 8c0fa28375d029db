// What is made from the description of the command line itself, so that it never says something else: the manual page
// and the completions of the shells.
#pragma once
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace weir::cli {

/// weir(1).
std::string manual(const CLI::App& app);

/// "-b", "--bind".
std::vector<std::string> names_of(const CLI::Option& option);
bool takes_value(const CLI::Option& option);

/// What may stand in the place of the last of `words` (those after the program's name; the last one may be empty), one
/// a line: the word, a tab, what it is. The line ":files" means: names of files, too.
/// Names of backends are those of the daemon that --admin or $WEIR_ADMIN names; none if its socket doesn't answer in
/// 300 ms.
std::string completions(const CLI::App& app, const std::vector<std::string>& words);

}  // namespace weir::cli
