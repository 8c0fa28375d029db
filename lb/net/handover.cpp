#include "lb/net/handover.hpp"

#include <charconv>
#include <stdexcept>

namespace weir::net {
namespace {

constexpr std::string_view kEnd = ".\n";

/// Tabs and line breaks mean something, and so does a lone dot.
void append_field(std::string_view field, std::string& out) {
  constexpr char kDigits[] = "0123456789abcdef";
  const bool dot = field == ".";
  for (const char c : field) {
    if (c == '\t' || c == '\n' || c == '%' || dot) {
      const auto byte = static_cast<unsigned char>(c);
      out += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    } else {
      out += c;
    }
  }
}

std::string decoded(std::string_view field) {
  std::string out;
  for (size_t i = 0; i < field.size(); ++i) {
    unsigned byte = 0;
    if (field[i] == '%' && i + 2 < field.size() &&
        std::from_chars(field.data() + i + 1, field.data() + i + 3, byte, 16).ptr == field.data() + i + 3) {
      out += static_cast<char>(byte);
      i += 2;
    } else {
      out += field[i];
    }
  }
  return out;
}

std::vector<std::string> fields_of(std::string_view line) {
  std::vector<std::string> fields;
  while (true) {
    const size_t tab = line.find('\t');
    fields.push_back(decoded(line.substr(0, tab)));
    if (tab == std::string_view::npos) return fields;
    line.remove_prefix(tab + 1);
  }
}

/// Lines of one kind, which somebody else can read, go as they are behind the word for it.
void append(std::string_view what, const Lines& lines, Lines& out) {
  for (const auto& line : lines) {
    out.push_back({std::string(what)});
    out.back().insert(out.back().end(), line.begin(), line.end());
  }
}

/// Field `i` of a line; throws if it is missing.
const std::string& field(const std::vector<std::string>& line, size_t i) {
  if (i >= line.size()) throw std::runtime_error("a line of the handover is cut short: " + line.front());
  return line[i];
}

template <typename Number>
Number number(const std::vector<std::string>& line, size_t i) {
  const std::string& text = field(line, i);
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw std::runtime_error("\"" + text + "\" in the handover is no number");
  return value;
}

}  // namespace

std::string encode(const Message& message) {
  std::string out = message.word + '\n';
  for (const auto& line : message.lines) {
    for (size_t i = 0; i < line.size(); ++i) {
      if (i) out += '\t';
      append_field(line[i], out);
    }
    out += '\n';
  }
  out += kEnd;
  return out;
}

std::optional<Message> take_message(std::string& buffer, size_t known) {
  const size_t end = buffer.find("\n.\n", known < 2 ? 0 : known - 2);
  if (end == std::string::npos) {
    if (buffer.size() > kMostOfAMessage) throw std::runtime_error("a message of the other process has no end");
    return std::nullopt;
  }
  std::string_view rest(buffer.data(), end);
  Message message;
  message.word = rest.substr(0, rest.find('\n'));
  rest.remove_prefix(message.word.size());
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const size_t line = std::min(rest.find('\n'), rest.size());
    message.lines.push_back(fields_of(rest.substr(0, line)));
    rest.remove_prefix(line);
  }
  buffer.erase(0, end + 1 + kEnd.size());
  return message;
}

Message Handover::to_message() const {
  Message message{"handover", {}};
  auto& lines = message.lines;
  lines.push_back({"version", version});
  lines.push_back({"upgrades", std::to_string(upgrades_ok), std::to_string(upgrades_failed)});
  for (const auto& socket : sockets) {
    std::vector<std::string> line{"socket", socket.key};
    for (const int fd : socket.fds) line.push_back(std::to_string(fd));
    lines.push_back(std::move(line));
  }
  for (const auto& one : passed) lines.push_back({"passed", one.name, std::to_string(one.fd)});
  for (const auto& process : processes) {
    lines.push_back({"process", std::to_string(process.pid), std::to_string(process.fd)});
    if (process.channel >= 0) lines.back().push_back(std::to_string(process.channel));
  }
  if (takes_orders) lines.push_back({"takes_orders"});
  lines.push_back({"tickets", ticket_secret});
  append("name", names, lines);
  append("serving", serving, lines);
  append("change", changes, lines);
  return message;
}

Handover Handover::from(const Message& message) {
  if (message.word != "handover") throw std::runtime_error("\"" + message.word + "\" is no handover");
  Handover handover;
  for (const auto& line : message.lines) {
    const std::string& what = line.front();
    if (what == "version") {
      handover.version = field(line, 1);
    } else if (what == "upgrades") {
      handover.upgrades_ok = number<uint64_t>(line, 1);
      handover.upgrades_failed = number<uint64_t>(line, 2);
    } else if (what == "socket") {
      Socket socket{field(line, 1), {}};
      for (size_t i = 2; i < line.size(); ++i) socket.fds.push_back(number<int>(line, i));
      handover.sockets.push_back(std::move(socket));
    } else if (what == "passed") {
      handover.passed.push_back({field(line, 1), number<int>(line, 2)});
    } else if (what == "process") {
      handover.processes.push_back(
          {number<int64_t>(line, 1), number<int>(line, 2), line.size() > 3 ? number<int>(line, 3) : -1});
    } else if (what == "takes_orders") {
      handover.takes_orders = true;
    } else if (what == "tickets") {
      handover.ticket_secret = field(line, 1);
    } else if (what == "name") {
      handover.names.emplace_back(line.begin() + 1, line.end());
    } else if (what == "serving") {
      handover.serving.emplace_back(line.begin() + 1, line.end());
    } else if (what == "change") {
      handover.changes.emplace_back(line.begin() + 1, line.end());
    }
  }
  return handover;
}

std::vector<int> Handover::descriptors() const {
  std::vector<int> all;
  for (const auto& socket : sockets) all.insert(all.end(), socket.fds.begin(), socket.fds.end());
  for (const auto& one : passed) all.push_back(one.fd);
  for (const auto& process : processes) all.push_back(process.fd);
  for (const auto& process : processes)
    if (process.channel >= 0) all.push_back(process.channel);
  return all;
}

Handover Handover::numbered_from(int first) const {
  Handover renumbered = *this;
  for (auto& socket : renumbered.sockets)
    for (int& fd : socket.fds) fd = first++;
  for (auto& one : renumbered.passed) one.fd = first++;
  for (auto& process : renumbered.processes) process.fd = first++;
  for (auto& process : renumbered.processes)
    if (process.channel >= 0) process.channel = first++;
  return renumbered;
}

Message orders_message(std::string word, const std::vector<HandedOrder>& orders) {
  Message message{std::move(word), {}};
  for (const auto& one : orders)
    message.lines.push_back({"order", one.pool, one.backend, one.order, one.by, std::to_string(one.at_ns)});
  return message;
}

std::vector<HandedOrder> orders_of(const Message& message) {
  std::vector<HandedOrder> orders;
  for (const auto& line : message.lines)
    if (line.front() == "order")
      orders.push_back({field(line, 1), field(line, 2), field(line, 3), field(line, 4), number<int64_t>(line, 5)});
  return orders;
}

Message Go::to_message() const {
  auto message = orders_message("go", orders);
  append("health", health, message.lines);
  return message;
}

Go Go::from(const Message& message) {
  Go go{orders_of(message), {}};
  for (const auto& line : message.lines)
    if (line.front() == "health") go.health.emplace_back(line.begin() + 1, line.end());
  return go;
}

Message count_message(int64_t asked_ns) { return {"count", {{"asked", std::to_string(asked_ns)}}}; }

int64_t asked_by(const Message& count) {
  for (const auto& line : count.lines)
    if (line.front() == "asked") return number<int64_t>(line, 1);
  throw std::runtime_error("a question of the other process has no number");
}

Message inflight_message(const Inflight& inflight) {
  Message message{"inflight", {{"asked", std::to_string(inflight.asked_ns)}}};
  for (const auto& one : inflight.backends)
    message.lines.push_back({"backend", one.pool, one.backend, std::to_string(one.inflight)});
  return message;
}

std::optional<Inflight> inflight_of(const Message& message) {
  if (message.word != "inflight") return std::nullopt;
  Inflight inflight;
  inflight.asked_ns = asked_by(message);
  for (const auto& line : message.lines)
    if (line.front() == "backend")
      inflight.backends.push_back({field(line, 1), field(line, 2), number<uint64_t>(line, 3)});
  return inflight;
}

}  // namespace weir::net
