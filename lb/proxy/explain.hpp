// What would become of a request, in words: asked of the same parser, router, tables and pickers that serve requests.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "lb/base/cause.hpp"
#include "lb/base/rng.hpp"
#include "lb/base/tls_failure.hpp"
#include "lb/proxy/runtime.hpp"

namespace weir::proxy {

struct Question {
  std::string method = "GET", url;  // "http://host/path?query", or a path alone; "tcp://NAME:PORT" is a session
  std::vector<std::pair<std::string, std::string>> headers;
  std::string client = "127.0.0.1";  // address of the peer
  std::string listener;              // empty: the one with the URL's port, else the first
  bool from_file = false;            // of a configuration that serves nobody: there passwords are checked, too
};

struct Explanation {
  enum class Outcome {
    refused,  // cause, detail; by the last of the guards, or, without a route, before one was looked for (`connection`)
    no_route,
    redirect,
    respond,
    forwarded,  // to `chosen`
    no_backend,
  };
  struct Skipped {
    std::string route, at;  // its name, and where it stands: "weir.yaml:12:5"
    std::string why;        // the first condition that fails
  };
  struct Guard {
    enum class Verdict { passes, refuses, open };  // open: only the request itself, or the client, tells
    std::string
        rule;  // "deny", "allow", "rate_limit", "auth"; of a connection "tls", "certificate", "client_auth", "host"
    Verdict verdict = Verdict::passes;
    std::string says;
  };
  struct Backend {
    std::string name, address;
    BackendStatus status = BackendStatus::unknown;
    std::string reason;  // why it is in that state
    bool candidate = false, backup = false, full = false;
    double weight = 0;  // with its slow start, if it is a candidate
    uint32_t inflight = 0;
  };

  std::string question;  // what is wrong with it, in one line; nothing else is set then
  Outcome outcome = Outcome::refused;
  Cause cause = Cause::none;  // of an answer of our own
  std::string detail;
  TlsFailure handshake = TlsFailure::none;   // refused, since it comes to nothing; without a cause nothing is answered
  std::vector<Guard> connection;             // what TLS says of it; empty: no TLS
  std::string listener, host, path, client;  // no path: a TCP session, whose server name the host is
  std::string forwarded_path;                // as a backend of the route sees it, after its `rewrite`
  std::vector<std::string> dropped;          // fields that count for nothing, and why: "X-Beta: named by Connection"
  std::vector<Skipped> skipped;              // the routes before it, or all
  std::string route, route_at;
  std::vector<Guard> guards;  // those of the route that were asked, in their order
  std::string answer;         // of redirect and respond: "301 to https://…"
  std::string pool, algorithm;
  std::string key_from, key;  // "header x-user"; empty: the pool has none
  bool key_missing = false;   // a random one stands for it
  std::string affinity;       // what the cookie says, in words; empty: the pool has no affinity
  bool panic = false, spilled = false;
  std::vector<Backend> backends;
  std::string chosen, why;
};

/// Control thread: tables, gauges and buckets are read, nothing is changed or taken. Where the choice depends on what a
/// worker remembers, or on chance, `why` says that it is one of several.
Explanation explain(const Runtime& runtime, const Question& question, Rng& rng);

}  // namespace weir::proxy
