// What the admin listener answers, without its sockets.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "lb/admin/access.hpp"
#include "lb/admin/inventory.hpp"
#include "lb/admin/metrics.hpp"
#include "lb/admin/sessions.hpp"

namespace weir::admin {

struct Reply {
  uint16_t status = 200;
  std::string_view content_type = "text/plain; charset=utf-8";
  std::string body;
  std::string_view allow = {};  // the Allow field of a 405
  bool asks_for_token = false;  // a 401
  std::string set_cookie = {};  // a Set-Cookie field; empty: none
  bool events = false;          // the stream of Api::event() follows, without an end
};

/// RFC 9457. `more`: further members, as they stand in the object: `"errors":[…]`; empty: none.
Reply problem(uint16_t status, std::string_view detail, std::string_view more = {});

/// A request that may be answered (access.hpp has judged it).
struct Request {
  std::string_view method, target;
  Surface surface = Surface::everything;
  std::string_view peer = "-";  // for the log: who asks
  Reach reach = Reach::loopback;
  bool session = false;  // Api::knows_session()
  std::string_view cookie_field = {}, cookie_name = "weir_session";
};

class Api {
 public:
  explicit Api(Sources sources) : sources_(sources), exposition_(std::move(sources)) {}
  /// `done` gets the answer, now or (what the workers are asked about) later, on the control thread. GET and HEAD get
  /// the same; the caller leaves out the body of a HEAD.
  void answer(const Request& request, std::function<void(Reply)> done);
  /// The same for what is answered at once.
  Reply answer(std::string_view method, std::string_view target, Surface surface);
  /// Does a Cookie field have a live session under that name?
  bool knows_session(std::string_view cookie_field, std::string_view name);
  /// One snapshot of everything that the dashboard shows, on one line.
  std::string event() const;

 private:
  struct Route;
  Reply ready() const;
  Reply reload(std::string_view query) const;
  Reply explain(std::string_view query) const;
  void upgrade(std::function<void(Reply)> done) const;
  void recent(std::string_view query, std::function<void(Reply)> done) const;
  void reopen(std::function<void(Reply)> done) const;
  Reply backend(std::string_view pool, std::string_view name) const;
  Reply order(std::string_view pool, std::string_view name, std::string_view what, std::string_view peer) const;
  Reply change(std::string_view pool, const std::string& name, std::string_view what, std::string_view query,
               std::string_view peer) const;

  Reply session(const Request& request) const;
  Reply log_in(const Request& request);
  Reply log_out(const Request& request);

  Sources sources_;
  Sessions sessions_;
  Exposition exposition_;
};

/// The values of a query's parameter, decoded. Bad escapes stand for themselves.
std::vector<std::string> query_values(std::string_view query, std::string_view name);
/// The first of them; empty if there is none.
std::string query_value(std::string_view query, std::string_view name);

}  // namespace weir::admin
