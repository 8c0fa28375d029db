#include "config/rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <set>

namespace weir::config::rules {

namespace {

bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_token_char(char c) {
  return is_alnum(c) || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}
bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

bool is_token(std::string_view text) { return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char); }

void lower(std::string& text) {
  for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

/// For a message: short, and without what would garble a terminal.
std::string quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text.substr(0, 64)) out += is_control(c) ? '?' : c;
  return out + (text.size() > 64 ? "…\"" : "\"");
}

template <size_t N>
bool contains(const std::array<std::string_view, N>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// RFC 9110 §7.6.1 and what security-rules C4 strips.
constexpr std::array<std::string_view, 12> kFraming{
    "connection", "content-length",    "http2-settings", "keep-alive", "proxy-connection",   "te",
    "trailer",    "transfer-encoding", "upgrade",        "expect",     "proxy-authenticate", "proxy-authorization"};

std::string lowered(std::string text) {
  lower(text);
  return text;
}

std::string framing_problem(const std::string& name) {
  if (!contains(kFraming, lowered(name))) return {};
  return fmt::format("{} belongs to one connection, and Weir itself takes care of it; leave it out", name);
}

}  // namespace

std::string header_name(std::string& text) {
  std::string problem = written_header_name(text);
  if (problem.empty()) lower(text);
  return problem;
}

std::string written_header_name(std::string& text) {
  if (is_token(text) && text.size() <= 256) return {};
  return fmt::format("{} can't be the name of a header; write letters, digits and -", quote(text));
}

std::string settable_request_header(std::string& text) {
  if (std::string problem = written_header_name(text); !problem.empty()) return problem;
  if (lowered(text) == "host") return "the Host sent to the backends is the pool's; write `host: NAME` in the pool";
  return framing_problem(text);
}

std::string settable_response_header(std::string& text) {
  if (std::string problem = written_header_name(text); !problem.empty()) return problem;
  return framing_problem(text);
}

std::string cookie_name(std::string& text) {
  if (!is_token(text) || text.size() > 256)
    return fmt::format("{} can't be the name of a cookie; write letters, digits, - and _", quote(text));
  return {};
}

std::string header_value(std::string& text) {
  if (std::any_of(text.begin(), text.end(), [](char c) { return is_control(c) && c != '\t'; }))
    return "a header's value can't hold a line break or another control character; write it in one line";
  if (text.size() > 8192) return "this value is longer than 8 KiB; make it shorter";
  return {};
}

std::string line(std::string& text) {
  if (text.empty()) return "this text is empty; write something, or remove the key";
  return header_value(text);
}

std::string body(std::string& text) {
  if (text.size() > kMaxTextBytes) return "this text is longer than 64 KiB; make it shorter";
  const auto bad = [](char c) { return is_control(c) && c != '\t' && c != '\n' && c != '\r'; };
  if (std::any_of(text.begin(), text.end(), bad)) return "this text holds a control character; remove it";
  return {};
}

std::string method(std::string& text) {
  constexpr std::array<std::string_view, 7> usual{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
  if (!is_token(text) || text.size() > 32) return fmt::format("{} can't be a method; write GET, POST …", quote(text));
  std::string upper = text;
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (upper == "CONNECT" || upper == "TRACE")
    return fmt::format("{} is always answered with 405 and reaches no route; remove it", upper);
  if (upper != text && contains(usual, upper))
    return fmt::format("methods are case-sensitive, and {} is none; write {}", quote(text), upper);
  return {};
}

std::string retryable_method(std::string& text) {
  if (std::string problem = method(text); !problem.empty()) return problem;
  if (text == "POST" || text == "PATCH" || text == "LOCK")
    return fmt::format("{} is not idempotent: sent twice it may act twice (RFC 9110 section 9.2.2); remove it", text);
  return {};
}

namespace {

std::string host_problem(std::string& text, bool wildcard, bool port) {
  lower(text);
  std::string_view host = text;
  const bool v6 = host.starts_with('[');
  const size_t colon = v6 ? host.find(':', std::min(host.find(']'), host.size())) : host.find(':');
  if (colon != std::string_view::npos) {
    const std::string_view digits = host.substr(colon + 1);
    if (!port) return fmt::format("a host is matched without its port; write {}", quote(host.substr(0, colon)));
    if (digits.empty() || digits.size() > 5 || !std::all_of(digits.begin(), digits.end(), is_digit) ||
        std::stoi(std::string(digits)) > 65535)
      return fmt::format("{} is no port; write NAME or NAME:PORT", quote(digits));
    host = host.substr(0, colon);
  }
  if (host.empty() || host.size() > 253) return "a host has 1 to 253 characters; write a name like example.com";
  if (v6) {
    const bool closed = host.size() > 3 && host.back() == ']';
    const auto inside = closed ? host.substr(1, host.size() - 2) : std::string_view();
    if (!closed || !std::all_of(inside.begin(), inside.end(), [](char c) { return is_hex(c) || c == ':' || c == '.'; }))
      return fmt::format("{} is no IPv6 address; write it like [::1]", quote(host));
    return {};
  }
  if (wildcard && host == "*") return "\"*\" is any host, and so is no host at all; remove the key";
  if (wildcard && host.starts_with("*.")) host.remove_prefix(2);
  if (host.find('*') != std::string_view::npos)
    return wildcard ? "a * stands for whole labels at the beginning; write *.example.com"
                    : "no wildcard can stand here; write the whole name";
  if (std::any_of(host.begin(), host.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; }))
    return "a host name outside ASCII arrives in its punycode form; write xn--…";
  const auto allowed = [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; };
  if (!std::all_of(host.begin(), host.end(), allowed))
    return fmt::format("{} can't be a host; write a name like example.com", quote(host));
  if (host.empty() || host.front() == '.' || host.back() == '.' || host.find("..") != std::string_view::npos)
    return fmt::format("{} has an empty label; write a name like example.com", quote(host));
  return {};
}

/// What is wrong with the %-escapes, given that requests are matched with unreserved ones decoded and hex digits in
/// upper case (B6).
std::string escape_problem(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') continue;
    if (i + 2 >= text.size() || !is_hex(text[i + 1]) || !is_hex(text[i + 2]))
      return "a % without two hex digits; write %25 for a percent sign";
    const std::string escape(text.substr(i, 3));
    const int byte = std::stoi(escape.substr(1), nullptr, 16);
    const char c = static_cast<char>(byte);
    if (is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~')
      return fmt::format("{} arrives decoded and would never match; write {}", escape, c);
    if (is_control(c)) return fmt::format("{} is a control character, which Weir answers with 400; remove it", escape);
    if (std::any_of(escape.begin(), escape.end(), [](char d) { return d >= 'a' && d <= 'f'; }))
      return fmt::format("{} arrives in upper case; write %{:02X}", escape, byte);
  }
  return {};
}

/// What all paths have in common.
std::string path_problem(std::string_view text, std::string_view also_allowed) {
  if (text.empty() || text[0] != '/')
    return fmt::format("{} does not begin with /; write /{}", quote(text), text.substr(0, 60));
  if (text.size() > kMaxPathBytes) return "this path is longer than 8 KiB; make it shorter";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) return "a path outside ASCII arrives %-encoded; write it so";
    if (c == '?' && also_allowed.find('?') == std::string_view::npos)
      return "the query is not part of the path; match it with `query: { name: value }`";
    if (c == ';') return "what stands behind a ; is not matched; leave it out";
    const bool allowed = is_alnum(c) || std::string_view("/-._~%!$&'()+,=:@").find(c) != std::string_view::npos;
    if (!allowed && also_allowed.find(c) == std::string_view::npos)
      return fmt::format("{} can't stand in a path; write it %-encoded",
                         is_control(c) ? "a control character" : quote(std::string_view(&c, 1)));
  }
  if (text.find("//") != std::string_view::npos) return "requests are matched with // merged into /; write a single /";
  for (size_t start = 1; start <= text.size();) {
    const size_t end = std::min(text.find('/', start), text.size());
    const std::string_view segment = text.substr(start, end - start);
    if (segment == "." || segment == "..")
      return "requests are matched with . and .. resolved; write the path they lead to";
    start = end + 1;
  }
  return escape_problem(text);
}

/// Braces: each {…} is a whole segment. `named`: with a name of its own that is not used twice.
std::string brace_problem(std::string_view text, bool named, size_t& count) {
  std::set<std::string_view> names;
  for (size_t start = 1; start <= text.size();) {
    const size_t end = std::min(text.find('/', start), text.size());
    const std::string_view segment = text.substr(start, end - start);
    start = end + 1;
    if (segment.find_first_of("{}") == std::string_view::npos) continue;
    ++count;
    if (!segment.starts_with('{') || !segment.ends_with('}') || segment.find_first_of("{}", 1) != segment.size() - 1)
      return fmt::format("{} must be a whole segment between two /; write /{}/", quote(segment),
                         named ? "{name}" : "{}");
    const std::string_view name = segment.substr(1, segment.size() - 2);
    if (!named && !name.empty()) return "the segment that becomes the key has no name here; write {}";
    if (!named) continue;
    if (name.empty() || !std::all_of(name.begin(), name.end(), [](char c) { return is_alnum(c) || c == '_'; }))
      return fmt::format("{} needs a name of letters, digits and _; write {{id}}", quote(segment));
    if (!names.insert(name).second)
      return fmt::format("{} is here twice; give each segment a name of its own", quote(segment));
  }
  return {};
}

}  // namespace

std::string host_pattern(std::string& text) { return host_problem(text, true, false); }
std::string host_and_port(std::string& text) { return host_problem(text, false, true); }

std::string path_pattern(std::string& text) {
  if (text.starts_with('~') || text.starts_with('^') || text.find_first_of("^[]\\|") != std::string::npos ||
      text.find("(?") != std::string::npos)
    return "regular expressions are not supported; write a prefix like /a/*, or {name} for one segment";
  if (text == "*") return "write /* for every path, or leave the key out";
  const size_t star = text.find('*');
  if (star != std::string::npos && star + 1 != text.size())
    return "a * can only stand at the end of a path; for one segment in the middle write {name}";
  if (std::string problem = path_problem(text, "*{}"); !problem.empty()) return problem;
  size_t count = 0;
  return brace_problem(text, true, count);
}

std::string path_template(std::string& text) {
  if (std::string problem = path_problem(text, "{}"); !problem.empty()) return problem;
  size_t count = 0;
  if (std::string problem = brace_problem(text, false, count); !problem.empty()) return problem;
  return count == 1 ? std::string() : "exactly one segment becomes the key; mark it with {}, as in /t/{}";
}

std::string plain_path(std::string& text) {
  if (!text.starts_with('/'))
    return fmt::format("{} does not begin with /; write /{}", quote(text), text.substr(0, 60));
  if (text.starts_with("//")) return "what begins with // is taken for a host; write a single /";
  if (text.size() > kMaxPathBytes) return "this path is longer than 8 KiB; make it shorter";
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool allowed = c > ' ' && c < 0x7f && std::string_view("#\\\"<>^`{}|").find(c) == std::string_view::npos;
    if (!allowed) return "a space or another character that can't stand in a URL; write it %-encoded";
    if (c == '%' && (i + 2 >= text.size() || !is_hex(text[i + 1]) || !is_hex(text[i + 2])))
      return "a % without two hex digits; write %25 for a percent sign";
  }
  return {};
}

std::string path_prefix(std::string& text) { return path_problem(text, ""); }

std::string dns_name(std::string& text) {
  std::string_view rest = text;
  if (rest.ends_with('.')) rest.remove_suffix(1);
  if (rest.empty()) return "there is no name; write one like app.internal";
  if (rest.size() > 253) return fmt::format("{}… is longer than the 253 bytes of a name", rest.substr(0, 32));
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  std::string name(rest);
  for (;;) {
    const auto label = rest.substr(0, rest.find('.'));
    if (label.empty() || label.size() > 63 || !std::all_of(label.begin(), label.end(), allowed))
      return fmt::format("\"{}\" is no name for DNS; write one like app.internal (letters, digits, -, _)",
                         text.substr(0, 64));
    if (label.size() == rest.size()) break;
    rest.remove_prefix(label.size() + 1);
  }
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  text = std::move(name);
  return {};
}

std::optional<uint16_t> port(std::string_view text) {
  if (text.empty() || text.size() > 5 || text.find_first_not_of("0123456789") != std::string_view::npos) return {};
  const int number = std::stoi(std::string(text));
  if (text[0] == '0' || number > 65535) return {};
  return static_cast<uint16_t>(number);
}

}  // namespace weir::config::rules
