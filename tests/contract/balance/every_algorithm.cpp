// What every registered algorithm promises (lb/balance/policy.hpp). A new algorithm is covered as soon as it is
// registered.
#include <algorithm>
#include <array>
#include <thread>

#include "tests/catch.hpp"
#include "tests/unit/balance/count_allocations.hpp"
#include "tests/unit/balance/sim_pool.hpp"

using namespace weir;
using namespace weir::balance;

namespace {

/// Picks `count` times with random keys and keeps every request in flight; how often each candidate was chosen.
std::vector<uint32_t> hold(SimPool& pool, Picker& picker, Rng& rng, size_t count) {
  std::vector<uint32_t> chosen(pool.size());
  for (size_t i = 0; i < count; ++i) {
    const uint32_t index = pool.pick(picker, rng);
    REQUIRE(index < pool.size());
    ++chosen[index];
    ++pool[index].inflight;
  }
  return chosen;
}

template <class Test>
void for_every_algorithm(Test test) {
  for (const auto& algorithm : algorithms()) DYNAMIC_SECTION(algorithm.name) {
      test(algorithm.name);
    }
}

}  // namespace

TEST_CASE("contract: the registry is sorted and found by name", "[contract]") {
  const auto all = algorithms();
  REQUIRE(all.size() >= 6);
  CHECK(std::is_sorted(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; }));
  for (const auto& algorithm : all) CHECK(find_algorithm(algorithm.name) == &algorithm);
  CHECK(find_algorithm("round-robin") == nullptr);
  CHECK(find_algorithm("") == nullptr);
}

TEST_CASE("contract: an empty table gives none, a single candidate is always chosen", "[contract]") {
  for_every_algorithm([](std::string_view name) {
    Rng rng(1);
    SimPool empty({});
    auto picker = empty.picker(name, rng);
    CHECK(empty.pick(*picker, rng) == kNone);

    SimPool one({1});
    picker->adopt(one.table(name), rng);
    for (int i = 0; i < 100; ++i) CHECK(one.pick(*picker, rng) == 0);
    const std::array<uint32_t, 1> tried{0};
    CHECK(one.pick(*picker, rng, tried) == kNone);

    picker->adopt(empty.table(name), rng);
    CHECK(empty.pick(*picker, rng) == kNone);
  });
}

TEST_CASE("contract: the requests follow the weights", "[contract]") {
  const auto weights = GENERATE(std::vector<uint32_t>{1000, 1000, 1000}, std::vector<uint32_t>{5000, 1000, 1000},
                                std::vector<uint32_t>{1, 2, 3, 4}, std::vector<uint32_t>{10'000, 137, 1000, 500, 1000});
  for_every_algorithm([&](std::string_view name) {
    SimPool pool(weights);
    Rng rng(7);
    auto picker = pool.picker(name, rng);
    constexpr size_t kPicks = 40'000;
    const auto chosen = hold(pool, *picker, rng, kPicks);
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    for (size_t i = 0; i < weights.size(); ++i) {
      const double share = weights[i] / total, expected = share * kPicks;
      // Random ones scatter: six standard deviations of a binomial.
      INFO("candidate " << i << " of weight " << weights[i]);
      CHECK(std::abs(chosen[i] - expected) <= 6 * std::sqrt(expected * (1 - share)) + 1);
    }
  });
}

TEST_CASE("contract: extreme weights", "[contract]") {
  for_every_algorithm([](std::string_view name) {
    SimPool pool({1, 1'000'000, 1});
    Rng rng(3);
    auto picker = pool.picker(name, rng);
    const auto chosen = hold(pool, *picker, rng, 10'000);
    CHECK(chosen[1] >= 9'980);

    // The light ones must still be found when the heavy one is out.
    const std::array<uint32_t, 1> tried{1};
    std::array<int, 3> others{};
    for (int i = 0; i < 300; ++i) {
      const uint32_t index = pool.pick(*picker, rng, tried);
      REQUIRE((index == 0 || index == 2));
      ++others[index];
      ++pool[index].inflight;
    }
    CHECK(others[0] >= 50);
    CHECK(others[2] >= 50);
  });
}

TEST_CASE("contract: tried and full candidates are never chosen", "[contract]") {
  const size_t size = GENERATE(2, 5, 100);
  for_every_algorithm([&](std::string_view name) {
    SimPool pool(equal_weights(size));
    for (auto& candidate : pool.candidates()) candidate.limit = 10;
    Rng rng(11);
    auto picker = pool.picker(name, rng);
    for (int round = 0; round < 2'000; ++round) {
      const std::array<uint32_t, 2> tried{rng.below(static_cast<uint32_t>(size)),
                                          rng.below(static_cast<uint32_t>(size))};
      for (size_t i = 0; i < size; ++i) pool[i].inflight = rng.below(4) == 0 ? 9 : 10;
      std::vector<bool> allowed(size);
      for (size_t i = 0; i < size; ++i) allowed[i] = pool[i].inflight < 10 && i != tried[0] && i != tried[1];
      const uint32_t index = pool.pick(*picker, rng, tried);
      if (std::find(allowed.begin(), allowed.end(), true) == allowed.end()) {
        REQUIRE(index == kNone);
      } else {
        REQUIRE(index < size);
        REQUIRE(allowed[index]);
      }
    }
  });
}

TEST_CASE("contract: the only eligible one of 10,000 is found, and none if there is none", "[contract]") {
  const bool equal = GENERATE(true, false);
  for_every_algorithm([&](std::string_view name) {
    auto weights = equal_weights(10'000);
    for (size_t i = 0; !equal && i < weights.size(); i += 3) weights[i] = 2000;
    SimPool pool(weights);
    for (auto& candidate : pool.candidates()) candidate.limit = 1;
    for (size_t i = 0; i < pool.size(); ++i) pool[i].inflight = 1;
    Rng rng(5);
    auto picker = pool.picker(name, rng);
    CHECK(pool.pick(*picker, rng) == kNone);
    for (const uint32_t only : {0u, 4'321u, 9'999u}) {
      pool[only].inflight = 0;
      CHECK(pool.pick(*picker, rng) == only);
      pool[only].inflight = 1;
    }
  });
}

TEST_CASE("contract: 10,000 candidates share the requests", "[contract]") {
  for_every_algorithm([](std::string_view name) {
    // Loads of at most 1 (and a limit that sees to it) make the same demand of all: no one is forgotten.
    SimPool pool(equal_weights(10'000));
    for (auto& candidate : pool.candidates()) candidate.limit = 1;
    Rng rng(13);
    auto picker = pool.picker(name, rng);
    for (size_t i = 0; i < 1'000; ++i) {
      const uint32_t index = pool.pick(*picker, rng);
      REQUIRE(index < pool.size());
      REQUIRE(pool[index].inflight.fetch_add(1) == 0);
    }
  });
}

TEST_CASE("contract: a changed table takes effect at once", "[contract]") {
  for_every_algorithm([](std::string_view name) {
    Rng rng(17);
    SimPool before({1000, 1000, 1000, 1000});
    auto picker = before.picker(name, rng);
    for (int i = 0; i < 6; ++i) CHECK(before.pick(*picker, rng) < 4);

    // Backend 1 fails and backend 3 begins its slow start.
    SimPool after({1000, 1000, 1000, 100});
    after.candidates().erase(after.candidates().begin() + 1);
    picker->adopt(after.table(name), rng);
    std::array<uint32_t, 4> chosen{};
    for (int i = 0; i < 21'000; ++i) {
      const uint32_t index = after.pick(*picker, rng);
      REQUIRE(index < 3);
      const uint32_t backend = after.candidates()[index].backend;
      ++chosen[backend];
      ++after[backend].inflight;
    }
    CHECK(chosen[1] == 0);
    CHECK(chosen[0] == Approx(10'000).epsilon(0.06));
    CHECK(chosen[2] == Approx(10'000).epsilon(0.06));
    CHECK(chosen[3] == Approx(1'000).epsilon(0.2));
  });
}

TEST_CASE("contract: a table that is built again for every request is as fair", "[contract]") {
  // As in a pool with little traffic during a slow start: beginning each new table at the same place would choose one
  // backend for ever.
  for_every_algorithm([](std::string_view name) {
    Rng rng(19);
    SimPool pool({1000, 1000, 1000, 500});
    auto picker = pool.picker(name, rng);
    std::array<uint32_t, 4> chosen{};
    constexpr uint32_t kPicks = 7'000;
    for (uint32_t i = 0; i < kPicks; ++i) {
      pool.candidates()[3].weight = 500 + i % 2;
      picker->adopt(pool.table(name), rng);
      const uint32_t index = pool.pick(*picker, rng);
      REQUIRE(index < 4);
      ++chosen[index];
      ++pool[index].inflight;
    }
    for (int i = 0; i < 3; ++i) CHECK(chosen[i] == Approx(kPicks * 2 / 7).epsilon(0.1));
    CHECK(chosen[3] == Approx(kPicks / 7).epsilon(0.15));
  });
}

TEST_CASE("contract: the same seed makes the same choices", "[contract]") {
  const auto weights = GENERATE(std::vector<uint32_t>{1000, 3000, 2000}, equal_weights(100));
  for_every_algorithm([&](std::string_view name) {
    std::array<std::vector<uint32_t>, 2> runs;
    for (auto& run : runs) {
      SimPool pool(weights);
      Rng rng(23);
      auto picker = pool.picker(name, rng);
      for (int i = 0; i < 500; ++i) {
        run.push_back(pool.pick(*picker, rng));
        ++pool[run.back()].inflight;
        if (i % 3 == 0) --pool[run[run.size() / 2]].inflight;
      }
    }
    CHECK(runs[0] == runs[1]);
  });
}

TEST_CASE("contract: picks don't allocate", "[contract]") {
  auto many_weights = equal_weights(500);
  std::iota(many_weights.begin(), many_weights.end(), 1);
  const auto weights = GENERATE_COPY(equal_weights(3), std::vector<uint32_t>{5000, 1000, 1000}, many_weights);
  for_every_algorithm([&](std::string_view name) {
    SimPool pool(weights);
    for (auto& candidate : pool.candidates()) candidate.limit = 50;
    Rng rng(29);
    auto picker = pool.picker(name, rng);
    const std::array<uint32_t, 2> tried{0, 1};
    const size_t before = allocations();
    for (int i = 0; i < 2'000; ++i) {
      const uint32_t index = pool.pick(*picker, rng, i % 4 == 0 ? std::span(tried) : std::span<const uint32_t>());
      if (index != kNone) ++pool[index].inflight;
    }
    CHECK(allocations() == before);
  });
  const size_t before = allocations();
  CHECK(std::make_unique<std::string>(100, 'x')->size() == 100);
  CHECK(allocations() > before);  // the counter does count
}

TEST_CASE("contract: several workers over one table add up", "[contract]") {
  for_every_algorithm([](std::string_view name) {
    SimPool pool({1000, 1000, 1000, 2000});
    const auto table = pool.table(name);
    Rng rng(31);
    std::vector<std::unique_ptr<Picker>> pickers;
    for (int i = 0; i < 4; ++i) {
      pickers.push_back(find_algorithm(name)->make_picker());
      pickers.back()->adopt(table, rng);
    }
    std::array<uint32_t, 4> chosen{};
    for (int i = 0; i < 10'000; ++i) {
      const uint32_t index = pool.pick(*pickers[rng.below(4)], rng);
      REQUIRE(index < 4);
      ++chosen[index];
      ++pool[index].inflight;
    }
    const bool exact = name == "round_robin" || name == "least_connections";
    for (size_t i = 0; i < 4; ++i) CHECK(chosen[i] == Approx(i == 3 ? 4'000 : 2'000).epsilon(exact ? 0.02 : 0.1));
  });
}

TEST_CASE("contract: a table is shared by threads", "[contract][threads]") {
  for_every_algorithm([](std::string_view name) {
    SimPool pool(equal_weights(20));
    for (auto& candidate : pool.candidates()) candidate.limit = 1000;
    const auto table = pool.table(name);
    std::array<size_t, 3> picked{};
    std::vector<std::thread> threads;
    for (size_t worker = 0; worker < picked.size(); ++worker) {
      threads.emplace_back([&, worker] {
        Rng rng(worker);
        auto picker = find_algorithm(name)->make_picker();
        picker->adopt(table, rng);
        std::vector<uint32_t> held;
        for (int i = 0; i < 3'000; ++i) {
          const uint32_t index = pool.pick(*picker, rng);
          if (index == kNone) continue;
          ++picked[worker];
          pool[index].inflight.fetch_add(1, std::memory_order_relaxed);
          held.push_back(index);
          if (held.size() < 30) continue;
          pool[held.front()].inflight.fetch_sub(1, std::memory_order_relaxed);
          held.erase(held.begin());
        }
        for (const uint32_t index : held) pool[index].inflight.fetch_sub(1, std::memory_order_relaxed);
      });
    }
    for (auto& thread : threads) thread.join();
    for (const size_t count : picked) CHECK(count == 3'000);
    for (size_t i = 0; i < pool.size(); ++i) CHECK(pool[i].inflight == 0);
  });
}
