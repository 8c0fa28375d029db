// `log` and `tracing`.
#include <fmt/format.h>

#include <algorithm>

#include "config/addresses.hpp"
#include "config/rules.hpp"
#include "config/section.hpp"
#include "config/suggest.hpp"
#include "config/tables.hpp"
#include "config/types.hpp"

namespace weir::config {

namespace {

void read_access(Reader& in, const Node& node, Log& log) {
  const std::string* target = expect_scalar(in, node, "stdout, off, or an absolute path");
  if (!target) return;
  if (*target == "off" || (node.is_plain() && *target == "false")) {
    log.access.clear();
  } else if (*target == "stdout" || (target->starts_with('/') && target->size() > 1 && target->size() < 4096)) {
    std::string path = *target;
    if (const std::string problem = rules::line(path); !problem.empty()) return in.error(node.at, problem);
    log.access = *target;
  } else {
    in.error(node.at, fmt::format("{} is no target for the access log; write stdout, off, or an absolute path",
                                  target->substr(0, 64)));
  }
}

/// The words of `fields`; those of headers with NAME behind the dot.
std::vector<std::string> field_names() {
  std::vector<std::string> names;
  for (const auto& known : kLogFields)
    names.push_back(std::string(known.name) + (known.name.ends_with('.') ? "NAME" : ""));
  return names;
}

class LogFieldType final : public Type<LogFieldUse> {
 public:
  void read(Reader& in, const Node& node, LogFieldUse& value) const override {
    const std::string* text = expect_scalar(in, node, "the name of a field");
    if (!text) return;
    for (const auto& known : kLogFields) {
      const bool header = known.name.ends_with('.');
      if (header ? !text->starts_with(known.name) : *text != known.name) continue;
      LogFieldUse use{known.field, *text, {}};
      if (header) {
        use.header = text->substr(known.name.size());
        if (const std::string problem = rules::header_name(use.header); !problem.empty())
          return in.error(node.at, problem);
        warn_of_secrets(in, node, use.header);
      }
      value = std::move(use);
      return;
    }
    in.error(node.at, fmt::format("there is no field \"{}\"; {}", text->substr(0, 64), hint(*text)));
  }

  std::string show(const LogFieldUse& value) const override {
    const std::string prefix = value.name.substr(0, value.name.size() - value.header.size());
    return prefix + value.header;  // in any case it is the same header
  }

  TypeDoc doc() const override {
    std::string words;
    for (const auto& known : kLogFields)
      if (!known.name.ends_with('.')) words += (words.empty() ? "" : ",") + json_quote(known.name);
    return {.text = "name of a field (those in logging.md), `request_header.NAME`, `response_header.NAME`",
            .json = fmt::format(
                R"j({{"anyOf":[{{"enum":[{}]}},{{"type":"string","pattern":"^(request|response)_header[.].+$"}}]}})j",
                words)};
  }

 private:
  static std::string hint(const std::string& text) {
    // A header by its own name, as other proxies' formats have it.
    for (const char* prefix : {"request_header", "response_header"})
      if (text.starts_with(prefix) && text.size() > std::string_view(prefix).size())
        return fmt::format("write {}.NAME, like {}.x-tenant", prefix, prefix);
    return suggest(text, field_names(), "the fields are",
                   "docs/logging.md lists them; a header is request_header.NAME or response_header.NAME");
  }

  static void warn_of_secrets(Reader& in, const Node& node, const std::string& header) {
    for (const char* secret : {"authorization", "proxy-authorization", "cookie", "set-cookie"})
      if (header == secret)
        in.warning(node.at,
                   fmt::format("{} has secrets, which whoever reads the log can use then; leave it out", header));
  }
};

void check_log(Reader& in, const Node& node, Log& log) {
  const Entry* fields = node.find_entry("fields");
  if (!fields) return;
  const auto headers =
      std::count_if(log.fields.begin(), log.fields.end(), [](const auto& f) { return !f.header.empty(); });
  if (log.format == Log::Format::combined)
    in.error(fields->at, "fields are those of JSON lines, combined has its own; write format: json, or remove them");
  else if (static_cast<size_t>(headers) > kMostLogHeaders)
    in.error(fields->at, fmt::format("{} headers are too many; write at most {}", headers, kMostLogHeaders));
  else if (fields->value.kind == Node::Kind::list && fields->value.items.empty())
    in.error(fields->at, "this list is empty; name at least one, or remove the key");
}

// ---- tracing ----

constexpr std::string_view kCollectorExample = "http://127.0.0.1:4318";

void read_collector(Reader& in, const Node& node, Tracing& tracing) {
  const std::string* text = expect_scalar(in, node, kCollectorExample);
  if (!text) return;
  if (text->starts_with("https://"))
    return in.error(node.at, fmt::format("https:// towards a collector is not supported; write {}, and let a collector "
                                         "on this machine send it on",
                                         kCollectorExample));
  Node address = node;
  std::string path = "/v1/traces";
  const bool http = text->starts_with("http://");
  if (http) {
    const size_t slash = text->find('/', 7);
    if (slash != std::string::npos && slash + 1 != text->size()) {
      path = text->substr(slash);
      if (path.find_first_of("?#") != std::string::npos)
        return in.error(node.at, "a query can't stand here; write only scheme, address, port and path");
      if (const std::string problem = rules::path_prefix(path); !problem.empty()) return in.error(node.at, problem);
    }
    std::string authority = text->substr(7, slash == std::string::npos ? slash : slash - 7);
    const size_t bracket = authority.find(']');
    if (authority.find(':', bracket == std::string::npos ? 0 : bracket) == std::string::npos && !authority.empty())
      authority += ":4318";
    address.text = "http://" + authority;
  }
  Backend parsed;
  const size_t problems = in.errors.size();
  read_backend_url(in, address, parsed);
  if (in.errors.size() != problems) return;
  if (!parsed.host.empty())
    return in.error(node.at, fmt::format("a collector's name isn't resolved ({}); write an IP address", parsed.host));
  tracing.otlp = *text;
  tracing.collector = parsed.address;
  tracing.authority = parsed.authority;
  tracing.path = path;
}

/// A share with up to four decimals, in millionths.
class Share final : public Type<uint32_t> {
 public:
  void read(Reader& in, const Node& node, uint32_t& value) const override {
    const std::string* text = expect_scalar(in, node, "a share like 1%");
    if (!text) return;
    if (const auto ppm = parse(*text)) {
      value = *ppm;
    } else {
      const bool number = !text->empty() && text->find_first_not_of("0123456789.") == std::string::npos;
      in.error(node.at, number
                            ? fmt::format("{} has no unit; write {}%", text->substr(0, 32), text->substr(0, 32))
                            : fmt::format("{} is no share from 0% to 100% with at most 4 decimals; write one like 1% "
                                          "or 0.05%",
                                          text->substr(0, 32)));
    }
  }

  std::string show(const uint32_t& ppm) const override {
    std::string decimals = fmt::format("{:04}", ppm % 10'000);
    decimals.erase(decimals.find_last_not_of('0') + 1);
    return fmt::format("{}{}{}%", ppm / 10'000, decimals.empty() ? "" : ".", decimals);
  }

  TypeDoc doc() const override {
    return {.text = "share, `0%` to `100%`, like `0.05%`",
            .json = R"j({"type":"string","pattern":"^[0-9]{1,3}([.][0-9]{1,4})?%$"})j"};
  }

 private:
  static std::optional<uint32_t> parse(std::string_view text) {
    if (!text.ends_with('%')) return std::nullopt;
    text.remove_suffix(1);
    const size_t dot = text.find('.');
    const std::string_view whole = text.substr(0, dot),
                           rest = dot == std::string_view::npos ? std::string_view() : text.substr(dot + 1);
    const auto digits = [](std::string_view t) { return t.find_first_not_of("0123456789") == std::string_view::npos; };
    if (whole.empty() || whole.size() > 3 || rest.size() > 4 || !digits(whole) || !digits(rest) ||
        (dot != std::string_view::npos && rest.empty()))
      return std::nullopt;
    const auto ppm = static_cast<uint32_t>(std::stoul(std::string(whole)) * 10'000 +
                                           std::stoul(std::string(rest) + std::string(4 - rest.size(), '0')));
    return ppm <= 1'000'000 ? std::optional(ppm) : std::nullopt;
  }
};

}  // namespace

TypeOf<Log> log_section() {
  const TypeDoc access{.text = "`stdout`, `off`, or an absolute path",
                       .json = R"({"anyOf":[{"const":false},{"type":"string","pattern":"^(stdout|off|/.+)$"}]})"};
  using Level = log::Level;
  return Section<Log>(
             "log", "The access log, and the events.",
             {custom<Log>(
                  "access", access, read_access, [](const Log& log) { return log.access.empty() ? "off" : log.access; },
                  "Where it goes."),
              key("format", &Log::format,
                  choice<Log::Format>({{"json", Log::Format::json}, {"combined", Log::Format::combined}}),
                  "How a line looks."),
              key("fields", &Log::fields, list(TypeOf<LogFieldUse>(std::make_shared<LogFieldType>())),
                  "What a JSON line has, in this order; left out: the first 21 of the list, and `trace_id` with "
                  "`tracing`."),
              key("level", &Log::level,
                  choice<Level>({{"info", Level::info}, {"warn", Level::warn}, {"error", Level::error}}),
                  "Events below it are not told on standard error."),
              key("slow", &Log::slow, duration(1ms, 24h).zero_is("off"),
                  "`weir why` remembers answers whose head came later than this from the backend.")})
      .after(check_log);
}

TypeOf<Tracing> tracing_section() {
  using Trust = Tracing::Trust;
  return Section<Tracing>(
             "tracing", "W3C trace context towards the backends, and spans by OTLP/HTTP (JSON): tracing.md.",
             {custom<Tracing>(
                  "otlp",
                  {.text =
                       "`http://IP:port/path` (port 4318 and /v1/traces if left out), `http://localhost`, `unix:/path`",
                   .json = R"j({"type":"string","pattern":"^(http://|unix:)"})j"},
                  read_collector, [](const Tracing& tracing) { return tracing.otlp; },
                  "The collector that gets the spans.")
                  .required("otlp: http://127.0.0.1:4318"),
              key("sample", &Tracing::sample_ppm, std::make_shared<Share>(),
                  "Share of the traces that begin here which are recorded; a trace that comes with its request is if "
                  "it "
                  "says so."),
              key("trust", &Tracing::trust,
                  choice<Trust>({{"anyone", Trust::anyone}, {"trusted_proxies", Trust::trusted_proxies}}),
                  "Whose `traceparent` is believed; the others' traces begin anew."),
              key("service", &Tracing::service, text("text", rules::line), "`service.name` of the spans."),
              key("queue", &Tracing::queue, count(64, 1'000'000),
                  "Requests that wait to be sent; what is more is dropped and counted."),
              key("timeout", &Tracing::timeout, duration(100ms, 1min), "For one POST to the collector.")})
      .example("{ otlp: http://127.0.0.1:4318 }");
}

}  // namespace weir::config
