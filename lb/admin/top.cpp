#include "lb/admin/top.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lb/admin/table.hpp"

namespace weir::admin {
namespace {

constexpr const char* kBlocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr const char* kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
constexpr size_t kBar = 8;

/// What happened between two samples.
struct Rates {
  double requests = 0, failures = 0, server_errors = 0;  // a second
  Latency latency;
};

double per_second(uint64_t before, uint64_t now, double seconds) {
  return now > before && seconds > 0 ? static_cast<double>(now - before) / seconds : 0;
}

Rates rates_of(const TopBackend* before, const TopBackend& now, double seconds) {
  if (!before || before->requests > now.requests) return {};
  Rates rates;
  rates.requests = per_second(before->requests, now.requests, seconds);
  rates.failures = per_second(before->failures, now.failures, seconds);
  rates.server_errors = per_second(before->server_errors, now.server_errors, seconds);
  for (size_t i = 0; i < Latency::kBuckets; ++i)
    rates.latency.buckets[i] = now.latency.buckets[i] - std::min(before->latency.buckets[i], now.latency.buckets[i]);
  return rates;
}

void add(Rates& sum, const Rates& more) {
  sum.requests += more.requests;
  sum.failures += more.failures;
  sum.server_errors += more.server_errors;
  for (size_t i = 0; i < Latency::kBuckets; ++i) sum.latency.buckets[i] += more.latency.buckets[i];
}

/// With the same name in the earlier sample; a hint where to look first makes it linear for a file that didn't change.
template <typename Item>
const Item* named(const std::vector<Item>& items, const std::string& name, size_t hint) {
  if (hint < items.size() && items[hint].name == name) return &items[hint];
  const auto found = std::find_if(items.begin(), items.end(), [&](const Item& item) { return item.name == name; });
  return found == items.end() ? nullptr : &*found;
}

struct Row {
  const TopBackend* backend;
  Rates rates;
};
struct Group {
  const TopPool* pool;
  std::vector<Row> rows;
  Rates sum;
};

std::vector<Group> compare(const TopSample& before, const TopSample& now) {
  const double seconds = std::chrono::duration<double>(now.at - before.at).count();
  const bool same = before.pid == now.pid;
  std::vector<Group> groups;
  for (size_t i = 0; i < now.pools.size(); ++i) {
    Group group{&now.pools[i], {}, {}};
    const TopPool* old = same ? named(before.pools, now.pools[i].name, i) : nullptr;
    for (size_t k = 0; k < now.pools[i].backends.size(); ++k) {
      const TopBackend& backend = now.pools[i].backends[k];
      group.rows.push_back(
          {&backend, rates_of(old ? named(old->backends, backend.name, k) : nullptr, backend, seconds)});
      add(group.sum, group.rows.back().rates);
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

double key_of(const Row& row, TopOrder order) {
  switch (order) {
    case TopOrder::file: break;
    case TopOrder::requests: return row.rates.requests;
    case TopOrder::inflight: return static_cast<double>(row.backend->inflight);
    case TopOrder::p99: return row.rates.latency.quantile(0.99).value_or(0);
    case TopOrder::failures: return row.rates.failures + row.rates.server_errors;
  }
  return 0;
}

const char* name_of(TopOrder order) {
  constexpr const char* kNames[] = {"file", "requests", "in flight", "p99", "failures"};
  return kNames[static_cast<size_t>(order)];
}

Colour colour_of(std::string_view status) {
  if (status == "up") return Colour::green;
  if (status == "unknown") return Colour::none;
  if (status == "down") return Colour::red;
  if (status == "ejected") return Colour::yellow;
  return Colour::cyan;
}

std::string quantile_of(const Latency& latency, double q) {
  const auto microseconds = latency.quantile(q);
  return microseconds ? in_estimate(*microseconds / 1000) : "";
}

Cell alarming(double rate) { return {in_rate(rate), rate > 0 ? Colour::red : Colour::dim}; }

std::vector<Cell> pool_cells(const Group& group) {
  std::string more = group.pool->algorithm;
  if (group.pool->waiting) more += fmt::format(", {} waiting", group.pool->waiting);
  if (group.pool->retrying) more += fmt::format(", {} retrying", group.pool->retrying);
  return {{group.pool->name, Colour::bold},
          {""},
          {""},
          {""},
          {grouped(group.pool->inflight)},
          {in_rate(group.sum.requests), Colour::bold},
          {""},
          alarming(group.sum.failures),
          alarming(group.sum.server_errors),
          {quantile_of(group.sum.latency, 0.5)},
          {quantile_of(group.sum.latency, 0.99)},
          {more, group.pool->waiting ? Colour::yellow : Colour::dim}};
}

std::vector<Cell> backend_cells(const Row& row, const Rates& sum) {
  const TopBackend& backend = *row.backend;
  const double share = sum.requests > 0 ? row.rates.requests / sum.requests : 0;
  return {{"  " + backend.name + (backend.backup ? " (backup)" : "")},
          {backend.status, colour_of(backend.status)},
          {in_time(backend.since_seconds), Colour::dim},
          {fmt::format("{:g}", backend.weight)},
          {grouped(backend.inflight)},
          {in_rate(row.rates.requests)},
          {bar(share, kBar), Colour::cyan},
          alarming(row.rates.failures),
          alarming(row.rates.server_errors),
          {quantile_of(row.rates.latency, 0.5)},
          {quantile_of(row.rates.latency, 0.99)},
          {backend.reason, backend.status == "up" || backend.status == "unknown" ? Colour::dim : Colour::none}};
}

std::vector<std::string> table_lines(std::vector<Group>& groups, const TopView& view) {
  Table table({{.title = "POOL / BACKEND", .least = 20},
               {"STATUS"},
               {"FOR", true, 6},
               {"WEIGHT", true, 4},
               {"IN FLIGHT", true},
               {"REQ/S", true},
               {"SHARE", false, 5},
               {"FAIL/S", true, 2},
               {"5XX/S", true, 1},
               {"P50", true, 3},
               {"P99", true},
               {.title = "REASON", .below = 0}});
  for (auto& group : groups) {
    if (view.order != TopOrder::file)
      std::stable_sort(group.rows.begin(), group.rows.end(),
                       [&](const Row& a, const Row& b) { return key_of(a, view.order) > key_of(b, view.order); });
    table.add(pool_cells(group));
    for (const auto& row : group.rows) table.add(backend_cells(row, group.sum));
  }
  return table.lines(view.colours, view.width);
}

/// Left and right end of one line; the right one goes first when there is no room.
std::string spread(const std::string& left, const std::string& right, size_t width) {
  const size_t taken = columns_of(left) + columns_of(right);
  if (width == 0) return right.empty() ? left : left + "  " + right;
  if (taken + 2 > width) return cut(left, width);
  return left + std::string(width - taken, ' ') + right;
}

std::vector<std::string> head_lines(const TopSample& now, const std::vector<Group>& groups, const TopView& view) {
  Rates all;
  uint64_t inflight = 0, backends = 0, usable = 0;
  for (const auto& group : groups) {
    add(all, group.sum);
    inflight += group.pool->inflight;
    for (const auto& row : group.rows) {
      ++backends;
      usable += row.backend->status == "up" || row.backend->status == "unknown";
    }
  }
  const double rate = view.history.empty() ? 0 : view.history.back();
  const std::string title = fmt::format("weir {}  {}  generation {}", now.version, now.file, now.generation);
  const std::string state = fmt::format("{}, up {}", now.state, in_time(now.uptime_seconds));
  const Colour good = now.state == "ready" ? Colour::green : Colour::yellow;
  std::vector<std::string> lines;
  if (view.trouble.empty())
    lines.push_back(coloured(spread(title, state, view.width), good, view.colours));
  else
    lines.push_back(coloured(spread(view.trouble, "trying again", view.width), Colour::red, view.colours));
  // In the order in which they are missed: a narrow window has the first ones.
  std::string numbers = in_rate(rate) + " req/s";
  if (const auto p99 = quantile_of(all.latency, 0.99); !p99.empty())
    numbers += fmt::format(", p50 {}, p99 {}", quantile_of(all.latency, 0.5), p99);
  numbers += fmt::format(", {}/{} backends usable, {} in flight, {} connections, {}", usable, backends,
                         grouped(inflight), grouped(now.connections), in_bytes(now.memory_bytes));
  lines.push_back(view.width ? cut(numbers, view.width) : numbers);
  if (view.keys) lines.push_back(coloured(sparkline(view.history, view.width), Colour::cyan, view.colours));
  lines.emplace_back();
  return lines;
}

}  // namespace

double request_rate(const TopSample& before, const TopSample& now) {
  if (before.pid != now.pid) return 0;
  return per_second(before.requests, now.requests, std::chrono::duration<double>(now.at - before.at).count());
}

std::string sparkline(const std::deque<double>& values, size_t width) {
  const size_t shown = std::min(width, values.size());
  const auto begin = values.end() - static_cast<ptrdiff_t>(shown);
  const double most = shown ? *std::max_element(begin, values.end()) : 0;
  std::string out;
  for (auto value = begin; value != values.end(); ++value) {
    const double share = most > 0 ? *value / most : 0;
    // Something, however little, is never drawn as nothing.
    const auto level = *value > 0 ? std::clamp<size_t>(static_cast<size_t>(share * 8 + 0.5), 1, 8) : size_t{0};
    out += level ? kBlocks[level] : "▁";
  }
  return out;
}

std::string bar(double share, size_t width) {
  const auto eighths = static_cast<size_t>(std::clamp(share, 0.0, 1.0) * static_cast<double>(width) * 8 + 0.5);
  std::string out;
  for (size_t i = 0; i < eighths / 8; ++i) out += "█";
  return out + kEighths[eighths % 8];
}

std::vector<std::string> top_lines(const TopSample& before, const TopSample& now, TopView& view) {
  auto groups = compare(before, now);
  auto lines = head_lines(now, groups, view);
  const auto table = table_lines(groups, view);
  const std::string keys = fmt::format("q quit   s sort: {}   ↑ ↓ scroll", name_of(view.order));
  if (view.height == 0) {
    lines.insert(lines.end(), table.begin(), table.end());
    return lines;
  }
  const size_t footer = view.keys && view.height > lines.size() + 3 ? 1 : 0;
  const size_t room = view.height > lines.size() + 1 + footer ? view.height - lines.size() - 1 - footer : 0;
  const size_t rows = table.size() - 1;
  view.scroll = std::min(view.scroll, rows > room ? rows - room : 0);
  lines.push_back(table[0]);
  for (size_t i = view.scroll; i < rows && i < view.scroll + room; ++i) lines.push_back(table[i + 1]);
  if (footer) {
    lines.resize(view.height - 1);
    const size_t last = std::min(view.scroll + room, rows);
    const std::string where = rows > room ? fmt::format("{}–{} of {}", view.scroll + 1, last, rows) : "";
    lines.push_back(coloured(spread(keys, where, view.width), Colour::dim, view.colours));
  }
  lines.resize(std::min(lines.size(), view.height));
  return lines;
}

}  // namespace weir::admin
