// `compress:` of a route, and what compression may take of the whole.
#include <fmt/format.h>

#include <algorithm>

#include "config/section.hpp"
#include "config/tables.hpp"
#include "config/types.hpp"

namespace weir::config {

namespace {

constexpr uint64_t MiB = 1 << 20, GiB = 1 << 30;

bool is_token_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'+-.^_`|~").find(c) != std::string_view::npos;
}
bool is_token(std::string_view text) { return !text.empty() && std::all_of(text.begin(), text.end(), is_token_byte); }

/// A media type without parameters (RFC 9110 §8.3.1), in lower case; of one half "*" stands for anything.
std::string media_type_pattern(std::string& text) {
  constexpr const char* kExamples = "write one like application/json, text/* or *+json";
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 32) : c; });
  const std::string_view whole = text;
  if (whole.starts_with("*+") && is_token(whole.substr(2))) return {};
  const size_t slash = whole.find('/');
  if (slash == whole.npos || !is_token(whole.substr(0, slash)) ||
      (whole.substr(slash + 1) != "*" && !is_token(whole.substr(slash + 1))))
    return fmt::format("{} is no media type; {}", text.substr(0, 64), kExamples);
  if (whole.starts_with("application/grpc"))
    return "gRPC compresses its messages itself, and is left as it is; remove it";
  return {};
}

TypeOf<ContentCoding> algorithm() {
  return choice<ContentCoding>({{"br", ContentCoding::br}, {"gzip", ContentCoding::gzip}});
}

}  // namespace

TypeOf<Compress> compress_section() {
  return Section<Compress>(
             "compress",
             "Compresses responses for clients that accept it. `compress: true` is this section with all defaults.",
             {key("enabled", &Compress::on, boolean(),
                  "Writing the section switches it on; `enabled: false` is `compress: false`."),
              key("algorithms", &Compress::algorithms, one_or_more(algorithm()),
                  "Which ones; of those that the client likes equally, the first."),
              key("types", &Compress::types,
                  one_or_more(text("media type: `text/html`, `text/*`, `*+json`", media_type_pattern)),
                  "Media types that are compressed."),
              key("min_size", &Compress::min_size, bytes(1, 64 * MiB).zero_is("off"),
                  "Smaller responses are left as they are, if their length is known."),
              key("level", &Compress::level, count(1, 6).zero_is("auto"),
                  "1 is the fastest, 6 makes them smallest; auto: 4.")})
      .short_form("`true` or `false`", R"({"type":"boolean"})",
                  [](Reader& in, const Node& node, Compress& compress) { boolean()->read(in, node, compress.on); })
      .before([](Reader&, const Node&, Compress& compress) { compress.on = true; })
      .example("true, or { types: [text/*], min_size: 1KiB }");
}

TypeOf<Compression> compression_section() {
  return Section<Compression>(
             "compress", "What compression may take; responses beyond it go out as they came, and are counted.",
             {key("cpu", &Compression::cpu_percent, percent(1, 100), "Of each worker's time; 100% is no limit."),
              key("memory", &Compression::memory, bytes(4 * MiB, 64 * GiB), "For encoders, all workers together.")})
      .example("{ cpu: 25% }");
}

}  // namespace weir::config
