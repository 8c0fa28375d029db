#include <algorithm>
#include <array>
#include <string>

#include "tests/catch.hpp"
#include "tests/unit/balance/sim_pool.hpp"

using namespace weir;
using namespace weir::balance;

namespace {

/// nginx's rule as it stands in ngx_http_upstream_get_peer, one credit a candidate.
std::vector<uint32_t> reference_sequence(const std::vector<uint32_t>& weights, size_t length) {
  std::vector<int64_t> credit(weights.size());
  const int64_t total = std::accumulate(weights.begin(), weights.end(), int64_t{0});
  std::vector<uint32_t> sequence;
  while (sequence.size() < length) {
    size_t best = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
      credit[i] += weights[i];
      if (credit[i] > credit[best]) best = i;
    }
    credit[best] -= total;
    sequence.push_back(static_cast<uint32_t>(best));
  }
  return sequence;
}

std::vector<uint32_t> pick_many(SimPool& pool, Picker& picker, Rng& rng, size_t count) {
  std::vector<uint32_t> picked;
  while (picked.size() < count) picked.push_back(pool.pick(picker, rng));
  return picked;
}

bool is_rotation(const std::vector<uint32_t>& picked, std::vector<uint32_t> sequence) {
  for (size_t i = 0; i < sequence.size(); ++i) {
    if (std::equal(sequence.begin(), sequence.end(), picked.begin())) return true;
    std::rotate(sequence.begin(), sequence.begin() + 1, sequence.end());
  }
  return false;
}

}  // namespace

TEST_CASE("round robin: {5,1,1} gives a a b a c a a", "[round_robin]") {
  CHECK(reference_sequence({5, 1, 1}, 7) == std::vector<uint32_t>{0, 0, 1, 0, 2, 0, 0});
  SimPool pool({5000, 1000, 1000});
  bool from_the_beginning = false;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Rng rng(seed);
    auto picker = pool.picker("round_robin", rng);
    from_the_beginning |= pick_many(pool, *picker, rng, 7) == std::vector<uint32_t>{0, 0, 1, 0, 2, 0, 0};
  }
  CHECK(from_the_beginning);
}

TEST_CASE("round robin: the sequence of nginx from a random place, for ever", "[round_robin]") {
  std::vector<std::vector<uint32_t>> cases{{5, 1, 1},       {1, 5, 1},           {1, 1, 1},
                                           {4, 2, 1},       {3, 3, 1},           {7},
                                           {2, 1, 2, 1, 2}, {10, 9, 8, 1, 1, 1}, {1, 2, 3, 4, 5, 6}};
  Rng random(41);
  for (int i = 0; i < 30; ++i) {
    std::vector<uint32_t> weights(1 + random.below(9));
    for (auto& weight : weights) weight = 1 + random.below(12);
    cases.push_back(weights);
  }
  for (const auto& weights : cases) {
    const uint32_t total = std::accumulate(weights.begin(), weights.end(), 0u);
    // Slow start and the configuration's scale multiply: only the ratios matter.
    auto scaled = weights;
    for (auto& weight : scaled) weight *= 1000;
    SimPool pool(scaled);
    for (uint64_t seed = 0; seed < 5; ++seed) {
      Rng rng(seed);
      auto picker = pool.picker("round_robin", rng);
      const auto picked = pick_many(pool, *picker, rng, size_t{3} * total);
      INFO("case of " << weights.size() << " candidates, seed " << seed);
      CHECK(is_rotation(picked, reference_sequence(weights, total)));
      CHECK(std::equal(picked.begin(), picked.end() - total, picked.begin() + total));
    }
  }
}

TEST_CASE("round robin: workers begin at different places", "[round_robin]") {
  SimPool pool(equal_weights(100));
  Rng rng(1);
  std::vector<uint32_t> starts;
  for (int i = 0; i < 20; ++i) {
    auto picker = pool.picker("round_robin", rng);
    starts.push_back(pool.pick(*picker, rng));
  }
  std::sort(starts.begin(), starts.end());
  CHECK(std::unique(starts.begin(), starts.end()) - starts.begin() >= 12);
}

TEST_CASE("round robin: equal weights rotate exactly, up to 10,000 candidates", "[round_robin]") {
  for (const uint32_t size : {2u, 3u, 1'000u, 10'000u}) {
    SimPool pool(equal_weights(size));
    Rng rng(2);
    auto picker = pool.picker("round_robin", rng);
    uint32_t last = pool.pick(*picker, rng);
    for (uint32_t i = 0; i < 2 * size; ++i) {
      const uint32_t next = pool.pick(*picker, rng);
      REQUIRE(next == (last + 1) % size);
      last = next;
    }
  }
}

TEST_CASE("round robin: four workers are within 2 % over 10,000 requests", "[round_robin]") {
  SimPool pool(equal_weights(5));
  Rng rng(3);
  const auto table = pool.table("round_robin");
  std::vector<std::unique_ptr<Picker>> pickers;
  for (int i = 0; i < 4; ++i) {
    pickers.push_back(find_algorithm("round_robin")->make_picker());
    pickers.back()->adopt(table, rng);
  }
  std::array<uint32_t, 5> chosen{};
  for (int i = 0; i < 10'000; ++i) ++chosen[pool.pick(*pickers[rng.below(4)], rng)];
  for (const uint32_t count : chosen) CHECK(count == Approx(2'000).epsilon(0.02));
}

TEST_CASE("round robin: a full or tried backend's turns are spread over the others", "[round_robin]") {
  SimPool pool(equal_weights(4));
  Rng rng(4);
  auto picker = pool.picker("round_robin", rng);
  const std::array<uint32_t, 1> tried{1};
  std::array<uint32_t, 4> chosen{};
  for (int i = 0; i < 3'000; ++i) ++chosen[pool.pick(*picker, rng, tried)];
  // Not 750, 0, 1500, 750: the neighbour doesn't inherit all of it.
  CHECK(chosen == std::array<uint32_t, 4>{1'000, 0, 1'000, 1'000});
}

TEST_CASE("round robin: a rotation goes on where it stood when a backend leaves or comes back", "[round_robin]") {
  SimPool pool(equal_weights(6));
  Rng rng(5);
  auto picker = pool.picker("round_robin", rng);
  while (pool.pick(*picker, rng) != 2) continue;
  const auto all = pool.candidates();
  pool.candidates().erase(pool.candidates().begin() + 3);  // whose turn it is
  picker->adopt(pool.table("round_robin"), rng);
  CHECK(pool.candidates()[pool.pick(*picker, rng)].backend == 4);
  pool.candidates() = all;
  picker->adopt(pool.table("round_robin"), rng);
  CHECK(pool.pick(*picker, rng) == 5);
  CHECK(pool.pick(*picker, rng) == 0);
  // The last one leaves when it is its turn: round to the first.
  while (pool.pick(*picker, rng) != 4) continue;
  pool.candidates().pop_back();
  picker->adopt(pool.table("round_robin"), rng);
  CHECK(pool.pick(*picker, rng) == 0);
}

TEST_CASE("round robin: the same weights again don't disturb the sequence", "[round_robin]") {
  SimPool pool({5, 1, 1});
  Rng rng(6);
  auto picker = pool.picker("round_robin", rng);
  std::vector<uint32_t> picked;
  for (int i = 0; i < 14; ++i) {
    picked.push_back(pool.pick(*picker, rng));
    picker->adopt(pool.table("round_robin"), rng);
  }
  CHECK(is_rotation(picked, reference_sequence({5, 1, 1}, 7)));
}

TEST_CASE("round robin: hundreds of different weights stay fair at every moment", "[round_robin]") {
  std::vector<uint32_t> weights(400);
  std::iota(weights.begin(), weights.end(), 100);  // more than the credits are kept for: drawn by deadline
  SimPool pool(weights);
  Rng rng(7);
  auto picker = pool.picker("round_robin", rng);
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<uint32_t> chosen(weights.size());
  for (uint32_t i = 1; i <= 20'000; ++i) {
    ++chosen[pool.pick(*picker, rng)];
    if (i % 500) continue;
    for (size_t k = 0; k < weights.size(); ++k) REQUIRE(std::abs(chosen[k] - i * weights[k] / total) <= 1.5);
  }
}
