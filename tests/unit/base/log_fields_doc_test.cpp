// docs/logging.md lists the fields of the access log; the table is made from lb/base/access_fields.hpp.
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "lb/base/access_fields.hpp"
#include "tests/catch.hpp"

using namespace weir;

TEST_CASE("docs/logging.md lists every field of the access log", "[docs]") {
  std::string table = "| Key | Meaning |\n|---|---|\n";
  for (const auto& field : kLogFields)
    table += "| `" + std::string(field.name) + (field.name.ends_with('.') ? "NAME" : "") + "` | " +
             std::string(field.help) + " |\n";
  std::ifstream in("docs/logging.md");
  REQUIRE(in);
  std::ostringstream all;
  all << in.rdbuf();
  std::string page = all.str();
  const size_t comment = page.find("<!-- Made from lb/base/access_fields.hpp");
  REQUIRE(comment != std::string::npos);
  const size_t start = page.find("\n\n", comment) + 2, end = page.find("\n\n", start) + 1;
  if (std::getenv("WEIR_UPDATE_DOCS")) {
    page.replace(start, end - start, table);
    std::ofstream("docs/logging.md") << page;
  } else {
    CHECK(page.substr(start, end - start) == table);
  }
}

TEST_CASE("the fields stand in the order of the enumeration") {
  for (size_t i = 0; i < kLogFields.size(); ++i) CHECK(static_cast<size_t>(kLogFields[i].field) == i);
}
