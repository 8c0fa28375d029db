#include "lb/discover/handed.hpp"

#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>

namespace weir::discover {

namespace {

using net::handed_number, net::handed_time, net::take_word, net::time_text, net::value_of, net::word_of;

constexpr size_t kFields = 8;  // before the records
constexpr size_t kServingFields = 6;
constexpr size_t kReason = 512;  // bytes

constexpr std::array<std::pair<net::DnsType, std::string_view>, 3> kTypes{
    {{net::DnsType::a, "a"}, {net::DnsType::aaaa, "aaaa"}, {net::DnsType::srv, "srv"}}};
constexpr std::array<std::pair<State, std::string_view>, 3> kStates{
    {{State::ok, "ok"}, {State::missing, "missing"}, {State::failing, "failing"}}};

std::vector<std::string> line_of(const Question& question, const Entry& entry) {
  std::vector<std::string> line{question.name,
                                word_of(kTypes, question.type),
                                word_of(kStates, entry.state),
                                time_text(entry.good_at),
                                time_text(entry.since),
                                time_text(entry.next),
                                std::to_string(entry.failures),
                                entry.reason.substr(0, kReason)};
  for (const auto& address : entry.addresses) line.push_back(address.to_string());
  for (const auto& one : entry.services)
    line.push_back(fmt::format("{} {} {} {}", one.priority, one.weight, one.port, one.target));
  return line;
}

Endpoint address_of(const std::string& text) {
  const auto address = Endpoint::parse(text);
  if (!address || address->is_unix() || address->to_string() != text)
    throw std::runtime_error(fmt::format("\"{}\" is no address", text.substr(0, 64)));
  return *address;
}

net::SrvRecord service_of(std::string_view text) {
  net::SrvRecord record;
  record.priority = handed_number<uint16_t>(take_word(text));
  record.weight = handed_number<uint16_t>(take_word(text));
  record.port = handed_number<uint16_t>(take_word(text));
  record.target = text;
  if (!net::is_dns_name(record.target))
    throw std::runtime_error(fmt::format("\"{}\" is no host name", text.substr(0, 64)));
  return record;
}

std::pair<Question, Entry> entry_of(const std::vector<std::string>& line, TimePoint now) {
  if (line.size() < kFields) throw std::runtime_error("it is cut short");
  if (line.size() - kFields > net::DnsAnswer::kMaxRecords) throw std::runtime_error("it has too many records");
  const Question question{line[0], value_of(kTypes, line[1], "type")};
  if (!net::is_dns_name(question.name))
    throw std::runtime_error(fmt::format("\"{}\" is no host name", question.name.substr(0, 64)));
  Entry entry;
  entry.state = value_of(kStates, line[2], "state");
  entry.good_at = handed_time(line[3]);
  entry.since = handed_time(line[4]);
  entry.next = std::max(handed_time(line[5]), now);
  if (entry.good_at > now || entry.since > now) throw std::runtime_error("it is of the future");
  entry.failures = handed_number<uint32_t>(line[6]);
  entry.reason = line[7].substr(0, kReason);
  for (size_t i = kFields; i < line.size(); ++i)
    if (question.type == net::DnsType::srv)
      entry.services.push_back(service_of(line[i]));
    else
      entry.addresses.push_back(address_of(line[i]));
  return {question, std::move(entry)};
}

/// It may become a Host field.
bool is_authority(std::string_view text) {
  return !text.empty() && text.size() <= 512 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 127; });
}

config::Backend backend_of(const std::vector<std::string>& line) {
  if (line.size() < kServingFields) throw std::runtime_error("it is cut short");
  config::Backend backend;
  backend.name = line[1];
  const auto address = Endpoint::parse(line[2]);
  if (!address) throw std::runtime_error(fmt::format("\"{}\" is no address", line[2].substr(0, 64)));
  backend.address = *address;
  if (!is_authority(line[3])) throw std::runtime_error(fmt::format("\"{}\" is no authority", line[3].substr(0, 64)));
  backend.authority = line[3];
  backend.weight = handed_number<uint32_t>(line[4]);
  if (backend.weight > kMaxWeight) throw std::runtime_error(fmt::format("the weight {} is too great", backend.weight));
  for (std::string_view words = line[5]; !words.empty();) {
    const auto one = take_word(words);
    backend.discovered |= one == "discovered";
    backend.backup |= one == "backup";
    backend.tls |= one == "tls";
  }
  return backend;
}

}  // namespace

SomeLines lines_of(const std::map<Question, Entry>& entries, size_t most) {
  net::LineCollector lines(most);
  for (const auto& [question, entry] : entries)
    if (entry.state != State::pending) lines.add(line_of(question, entry));
  return std::move(lines.out);
}

Handed<std::map<Question, Entry>> handed_names(const net::Lines& lines, TimePoint now) {
  return net::known_of<std::map<Question, Entry>>(
      lines, [now](const auto& line, auto& known) { known.insert(entry_of(line, now)); });
}

SomeLines lines_of(const std::vector<const config::Pool*>& serving, size_t most) {
  net::LineCollector lines(most);
  for (const auto* pool : serving)
    for (const auto& backend : pool->backends)
      lines.add({pool->name, backend.name, backend.address.to_string(), backend.authority,
                 std::to_string(backend.weight),
                 fmt::format("{}{}{}", backend.discovered ? "discovered " : "", backend.backup ? "backup " : "",
                             backend.tls ? "tls" : "")});
  return std::move(lines.out);
}

Handed<std::map<std::string, config::Pool>> handed_pools(const net::Lines& lines) {
  return net::known_of<std::map<std::string, config::Pool>>(lines, [](const auto& line, auto& known) {
    auto backend = backend_of(line);
    known[line[0]].backends.push_back(std::move(backend));
  });
}

}  // namespace weir::discover
