#include "lb/backend_orders.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <stdexcept>

#include "config/environment.hpp"
#include "lb/base/log.hpp"
#include "lb/base/write_file.hpp"
#include "lb/net/handed_lines.hpp"

namespace weir {

namespace {

namespace json = boost::json;
using config::BackendChange;

constexpr size_t kMaxStateBytes = 4 << 20;
constexpr const char* kKinds[]{"add", "weight", "remove"};
constexpr const char* kUndone = "none";  // between processes: the state file has a change that no longer holds

/// Throws as boost::json does.
BackendChange read_change(const json::value& value) {
  BackendChange change;
  const auto text = [&](const char* key) { return std::string(value.at(key).as_string()); };
  const std::string kind = text("change");
  if (kind == "add") {
    change.kind = BackendChange::Kind::add;
    change.url = text("url");
  } else if (kind == "weight" || kind == "remove") {
    change.kind = kind == "weight" ? BackendChange::Kind::weight : BackendChange::Kind::remove;
  } else {
    throw std::runtime_error(fmt::format("there is no change \"{}\"", kind.substr(0, 64)));
  }
  change.pool = text("pool");
  change.name = text("backend");
  if (change.kind != BackendChange::Kind::remove) change.weight = value.at("weight").to_number<uint32_t>();
  return change;
}

/// Throws std::runtime_error with what is wrong, as below.
template <class Read>
auto in_words(const Read& read) {
  try {
    return read();
  } catch (const std::out_of_range& missing) {
    throw std::runtime_error("a key is missing");
  } catch (const boost::system::system_error& wrong) {
    throw std::runtime_error("a value is of the wrong type");
  } catch (const std::invalid_argument& wrong) {
    throw std::runtime_error("a value is of the wrong type");
  }
}

json::value parse_json(const std::string& text) {
  json::error_code error;
  auto value = json::parse(text, error);
  if (error) throw std::runtime_error("it is no JSON");
  return value;
}

json::object json_of(const BackendChange& change) {
  json::object object;
  object["pool"] = change.pool;
  object["backend"] = change.name;
  object["change"] = kKinds[static_cast<size_t>(change.kind)];
  if (change.kind == BackendChange::Kind::add) object["url"] = change.url;
  if (change.kind != BackendChange::Kind::remove) object["weight"] = change.weight;
  return object;
}

}  // namespace

config::BackendChanges::Map parse_state(const std::string& text) {
  const auto state = parse_json(text);
  return in_words([&] {
    if (state.at("version") != 1) throw std::runtime_error("its version is another program's");
    config::BackendChanges::Map changes;
    for (const auto& value : state.at("backends").as_array()) {
      auto change = read_change(value);
      auto key = std::pair(change.pool, change.name);
      changes.insert_or_assign(std::move(key), std::move(change));
    }
    return changes;
  });
}

std::string format_state(const config::BackendChanges::Map& changes) {
  json::array list;
  for (const auto& [key, change] : changes) list.push_back(json_of(change));
  return json::serialize(json::object{{"version", 1}, {"backends", std::move(list)}}) + "\n";
}

BackendOrders::BackendOrders(config::Config written, const net::Lines& handed) : written_(std::move(written)) {
  load();
  lay_over(handed);
  adopt(written_);
}

void BackendOrders::load() {
  stored_.clear();
  unreadable_.clear();
  const std::string& path = written_.admin.state_file;
  if (path.empty() || ::access(path.c_str(), F_OK) != 0) return;
  const auto file = config::Environment::real().read_file(path, kMaxStateBytes, false);
  try {
    if (!file.text) throw std::runtime_error(file.error);
    stored_ = parse_state(*file.text);
  } catch (const std::exception& error) {
    unreadable_ = error.what();
    log::error("state_file_bad",
               {{"file", path},
                {"reason", unreadable_},
                {"action", "goes on without; nothing is written to it until it is mended or removed"}});
  }
  for (const auto& [key, change] : stored_) {
    auto merged = changes_.all();
    merged.insert_or_assign(key, change);
    changes_ = config::BackendChanges(std::move(merged));
  }
}

net::Lines BackendOrders::unpersisted() const {
  net::Lines lines;
  size_t bytes = 0, left_out = 0;
  const auto add = [&](const json::object& change) {
    std::string text = json::serialize(change);
    bytes += text.size();
    bytes > kMaxStateBytes ? void(++left_out) : lines.push_back({std::move(text)});
  };
  for (const auto& [key, change] : changes_.all())
    if (const auto stored = stored_.find(key); stored == stored_.end() || stored->second != change)
      add(json_of(change));
  for (const auto& [key, change] : stored_)
    if (!changes_.all().contains(key)) add({{"pool", change.pool}, {"backend", change.name}, {"change", kUndone}});
  net::warn_of_gap("changes of backends", left_out, "they are too many");
  return lines;
}

void BackendOrders::lay_over(const net::Lines& handed) {
  auto changes = changes_.all();
  size_t wrong = 0;
  std::string why;
  for (const auto& line : handed) try {
      const auto value = parse_json(line.empty() ? "" : line[0]);
      in_words([&] {
        const auto text = [&](const char* key) { return std::string(value.at(key).as_string()); };
        auto key = std::pair(text("pool"), text("backend"));
        if (text("change") == kUndone)
          changes.erase(key);
        else
          changes.insert_or_assign(std::move(key), read_change(value));
      });
    } catch (const std::runtime_error& error) {
      if (wrong++ == 0) why = error.what();
    }
  net::warn_of_gap("changes of backends", wrong, why);
  changes_ = config::BackendChanges(std::move(changes));
}

config::Config BackendOrders::preview(const config::Config& written, std::vector<std::string>& notes) const {
  config::Config config = written;
  notes = config::BackendChanges(changes_).apply(config);
  return config;
}

void BackendOrders::adopt(config::Config written) {
  const bool other_file = written.admin.state_file != written_.admin.state_file;
  written_ = std::move(written);
  if (other_file) load();
  auto config = std::make_shared<config::Config>(written_);
  forgotten_ = changes_.apply(*config);
  for (const auto& line : forgotten_) log::warn("backend_change_forgotten", {{"change", line}});
  // A start leaves the file as it is: an upgrade that fails has changed nothing.
  if (running_) forget_stored();
  running_ = std::move(config);
}

/// What is forgotten at a reload must not come back with the next start.
void BackendOrders::forget_stored() {
  auto stored = stored_;
  if (std::erase_if(stored, [&](const auto& entry) { return !changes_.all().contains(entry.first); }) == 0) return;
  if (const std::string problem = save(stored); !problem.empty())
    return log::warn("state_file_not_written",
                     {{"reason", problem}, {"action", "a start brings back what is forgotten"}});
  stored_ = std::move(stored);
}

std::string BackendOrders::save(const config::BackendChanges::Map& stored) const {
  const std::string& path = written_.admin.state_file;
  if (path.empty()) return "there is no admin.state_file to persist it in; name one in the configuration";
  if (!unreadable_.empty())
    return fmt::format("{} can't be used ({}); mend or remove it, and reload", path, unreadable_);
  return write_durably(path, format_state(stored), 0640);
}

admin::ChangeOutcome BackendOrders::take(const config::BackendChange& change, bool persist) {
  using Kind = config::BackendChanges::Refusal::Kind;
  auto next = changes_;
  if (const auto refusal = next.take(written_, change)) {
    const uint16_t status = refusal->kind == Kind::unknown ? 404 : refusal->kind == Kind::wrong ? 400 : 409;
    return {status, refusal->text};
  }
  if (persist) {
    const config::BackendChanges::Key key{change.pool, change.name};
    auto stored = stored_;
    stored.erase(key);
    if (const auto now = next.all().find(key); now != next.all().end()) stored.insert(*now);
    if (std::string problem = save(stored); !problem.empty()) return {409, std::move(problem)};
    stored_ = std::move(stored);
  }
  changes_ = std::move(next);
  auto config = std::make_shared<config::Config>(written_);
  changes_.apply(*config);
  running_ = std::move(config);
  return {};
}

}  // namespace weir
