// Any text as a configuration: never a crash, never a hang, and always either a configuration or an error with a place
// in the text.
#include "config/diff.hpp"
#include "config/load.hpp"
#include "tests/fuzz/fuzz.hpp"

using namespace weir;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  config::Environment world = config::Environment::none();
  world.variable = [](const std::string& name) {
    return name == "SET" ? std::optional<std::string>("a: [1, *x]") : std::nullopt;
  };
  // One further file, with the same text: what merges then is itself.
  const std::string text(reinterpret_cast<const char*>(data), size);
  world.read_file = [&](const std::string&, size_t, bool) { return config::FileText{text, {}}; };
  world.glob = [](const std::string&) { return std::vector<std::string>{"other.yaml"}; };

  const config::LoadResult result = config::load_text(text, "fuzz.yaml", world);
  fuzz::require(result.config.has_value() == result.errors.empty() ? ""
                                                                   : "a configuration in spite of errors, or neither");
  for (const auto& problem : result.errors) {
    fuzz::require(problem.at.line >= 1 && problem.at.column >= 1 ? ""
                                                                 : "an error without a place: " + problem.to_string());
    fuzz::require(problem.message.empty() ? "an error without words" : "");
  }
  if (!result.config) return 0;
  const auto changes = config::diff(*result.config, *result.config);
  fuzz::require(changes.empty() ? "" : "differs from itself: " + changes[0]);
  return 0;
}
