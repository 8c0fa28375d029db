// What reading a configuration gathers beside the model: problems with their places, and what must be checked once all
// is read.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "config/environment.hpp"
#include "config/model.hpp"
#include "config/trail.hpp"
#include "config/yaml.hpp"

namespace weir::config {

/// A name used somewhere, to be looked up when all names are known. `route` is its index.
struct Use {
  Place at;
  std::string name;
  size_t route = 0;
};

/// An address that the daemon is to listen on.
struct Bind {
  Place at;
  std::string owner;  // "listener web", "admin.bind"
  Endpoint endpoint;
};

class Reader {
 public:
  explicit Reader(const Environment& world, std::vector<std::string> file_names)
      : environment(world), files(std::move(file_names)) {}

  void error(Place at, std::string_view message) { add(errors, at, message); }
  void warning(Place at, std::string_view message) { add(warnings, at, message); }
  Location location(Place at) const { return {files.at(static_cast<size_t>(at.file)), at.line, at.column}; }
  /// Checks a name that the user gives to something: [A-Za-z0-9_.-]{1,64}, for it becomes a metric label and a hash
  /// identity (C9).
  bool check_name(Place at, const std::string& name);

  const Environment& environment;
  std::vector<std::string> files;
  Trail trail;
  std::vector<Finding> errors, warnings;

  // Read before the pools:
  std::map<std::string, KeySpec> keys;
  std::map<std::string, Place> key_places;
  std::map<std::string, bool> keys_used;
  Pool defaults;
  bool in_defaults = false;
  bool in_tcp_pool = false, in_h2_pool = false;  // what is being read

  /// Files of users, each read once; null: it had errors, which were reported.
  std::map<std::string, std::shared_ptr<const UserFile>> user_files;

  // Checked after all is read:
  std::vector<Use> pool_uses, auth_pool_uses, listener_uses;
  std::vector<Use> tcp_pool_uses;  // by listeners; `route` is the listener's index
  std::vector<Bind> binds;
  std::vector<Place> pool_places, route_places, listener_places;  // parallel to the vectors of Config

 private:
  void add(std::vector<Finding>& list, Place at, std::string_view message);
};

}  // namespace weir::config
