// One function an algorithm, each defined in the file of that name; only registry.cpp includes this.
#pragma once
#include "lb/balance/policy.hpp"

namespace weir::balance {

Algorithm consistent_hash();
Algorithm latency();
Algorithm least_connections();
Algorithm power_of_two();
Algorithm random();
Algorithm round_robin();

}  // namespace weir::balance
