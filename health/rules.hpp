// The rules of active checks, without I/O: rise and fall, slow start, when to probe. Time and chance are passed in.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "config/model.hpp"
#include "lb/base/clock.hpp"
#include "lb/base/rng.hpp"

namespace weir::health {

/// What the active checks say of a backend.
enum class Verdict : uint8_t { unknown, up, down };

/// HAProxy's rise and fall. The first result decides alone; afterwards `fall` failures in a row are needed to go down
/// and `rise` successes in a row to come up, so that one lost packet or one lucky answer changes nothing.
class RiseFall {
 public:
  /// Takes one result; true if the verdict has changed (unknown → up, too).
  bool record(bool ok, uint32_t rise, uint32_t fall);
  /// The checks themselves have changed (another path): the verdict stays until the next result, which decides alone.
  void restart() { state_.decide_alone = true; }
  /// There are no checks any more.
  void clear() { *this = RiseFall(); }

  /// All that it knows.
  struct State {
    Verdict verdict = Verdict::unknown;
    bool decide_alone = true;  // the next result does
    uint32_t against = 0, successes = 0;
    bool operator==(const State&) const = default;
  };
  const State& state() const { return state_; }
  /// Goes on from there.
  void recall(const State& state) { state_ = state; }

  Verdict verdict() const { return state_.verdict; }
  /// Results in a row that speak against the verdict.
  uint32_t against() const { return state_.against; }
  /// Successes in a row, whatever the verdict.
  uint32_t successes() const { return state_.successes; }

 private:
  State state_;
};

/// The share of its weight, in permille, that a backend has `elapsed` after its return: max(10 %, elapsed/window),
/// rounded down to steps of 5 %, because each change builds the pool's table again (19 steps a window). 1000 when there
/// is no window or it is over.
uint32_t slow_start_permille(Duration elapsed, Duration window);

/// `interval` ± 10 %: backends that were probed together drift apart.
Duration jittered(Duration interval, Rng& rng);

/// How long after the start the first probe of one of `count` backends is sent: random within 2 ms for each of them, at
/// most an interval. Small pools are probed at once (readiness waits for that round), large ones at about 500 a second.
Duration first_probe_delay(size_t count, Duration interval, Rng& rng);

/// From the first probe to the second: uniform over the interval, so that the load is even from the second round on.
Duration second_probe_delay(Duration interval, Rng& rng);

/// "500ms", "1s", "1.5s", "90s".
std::string to_words(Duration duration);

/// "200-299, 404".
std::string to_words(const std::vector<config::StatusRange>& ranges);

}  // namespace weir::health
