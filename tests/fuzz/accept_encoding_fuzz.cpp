// Accept-Encoding, a line a line of the input. Whoever is given a coding has named it, or "*", with a quality above 0
// and not below that of any other; and more lines never make a coding that was refused acceptable.
#include <algorithm>
#include <string_view>

#include "lb/route/accept_encoding.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/fuzz/http1_checks.hpp"

using namespace weir;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const http1::checks::Exact raw({reinterpret_cast<const char*>(data), size});
  route::AcceptEncoding accepted;
  std::string_view rest = raw.view();
  const auto mentions = [&](std::string_view what) { return raw.view().find(what) != std::string_view::npos; };
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    accepted.add(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  for (const auto coding : kContentCodings)
    if (accepted.quality(coding) > 1000) fuzz::require("a quality above 1");
  const auto chosen = accepted.choose(kContentCodings);
  if (chosen) {
    if (accepted.quality(*chosen) == 0) fuzz::require("a coding that is refused");
    for (const auto coding : kContentCodings)
      if (accepted.quality(coding) > accepted.quality(*chosen)) fuzz::require("another is wanted more");
    // Names are in any case; these letters are in every one of them.
    if (!mentions("*") && raw.view().find_first_of("bBgG") == std::string_view::npos)
      fuzz::require("a coding that nobody has named");
  }
  auto more = accepted;
  more.add("br, gzip, identity;q=0");
  for (const auto coding : kContentCodings)
    if (chosen && more.quality(coding) < accepted.quality(coding) && !mentions("*"))
      fuzz::require("a later line took back an earlier one");
  return 0;
}
