// `weir backend add | weight | remove`.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <cstdio>

#include "lb/admin/client.hpp"
#include "lb/admin/table.hpp"
#include "lb/cli_admin.hpp"

namespace weir::cli {
namespace {

int usage(std::string_view what) {
  fmt::print(
      stderr,
      "weir: {}; write \"weir backend add POOL/NAME URL\", \"weir backend weight POOL/NAME N\" or \"weir backend "
      "remove POOL/NAME\"\n",
      what);
  return 2;
}

}  // namespace

int change_backend(const AdminWords& words) {
  const auto& given = words.change;
  if (given.empty()) return usage("\"backend\" wants an action and a backend");
  const std::string& what = given[0];
  if (what != "add" && what != "weight" && what != "remove")
    return usage(fmt::format("there is no \"backend {}\"", admin::printable(what)));
  if (given.size() != (what == "remove" ? 2u : 3u))
    return usage(fmt::format("\"backend {}\" takes {}", what, what == "remove" ? "one word" : "two words"));
  const size_t slash = given[1].find('/');
  const std::string pool = given[1].substr(0, slash);
  const std::string name = slash == std::string::npos ? "" : given[1].substr(slash + 1);
  if (pool.empty() || name.empty()) return usage(fmt::format("\"{}\" names no backend", admin::printable(given[1])));
  std::string path = fmt::format("/api/v1/pools/{}/backends/{}/{}?persist={}", encoded(pool), encoded(name), what,
                                 words.persist ? "true" : "false");
  if (what == "add") path += "&url=" + encoded(given[2]);
  if (what == "add" && !words.weight.empty()) path += "&weight=" + encoded(words.weight);
  if (what == "weight") path += "&value=" + encoded(given[2]);
  const auto client = make_client(words);
  const auto answer = ask(*client, "POST", path);
  const std::string lasts = words.persist      ? ""
                            : what == "remove" ? "; not persisted: a restart brings it back"
                                               : "; not persisted: a restart forgets it";
  if (what == "remove")
    fmt::print("{}/{}: removed{}\n", pool, name, lasts);
  else
    fmt::print("{}/{}: {}weight {}{}\n", pool, name, what == "add" ? "added, " : "",
               answer.at("weight").to_number<uint64_t>(), lasts);
  return 0;
}

}  // namespace weir::cli
