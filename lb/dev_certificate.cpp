#include "lb/dev_certificate.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "lb/base/log.hpp"
#include "lb/base/write_file.hpp"
#include "lb/net/self_signed.hpp"
#include "lb/net/tls_certificate.hpp"

namespace weir {

namespace {

constexpr int64_t kDay = 24 * 3600;
constexpr int kDays = 90;
constexpr int64_t kLeft = 7 * kDay;  // with less, another is made
constexpr size_t kMostBytes = 64 << 10;

std::string file_path() {
  if (const char* state = std::getenv("XDG_STATE_HOME"); state && *state == '/')
    return std::string(state) + "/weir/dev.pem";
  if (const char* home = std::getenv("HOME"); home && *home == '/')
    return std::string(home) + "/.local/state/weir/dev.pem";
  throw std::runtime_error("--dev keeps its certificate in $HOME/.local/state, and HOME isn't set; set XDG_STATE_HOME");
}

std::vector<std::string> names() {
  std::vector<std::string> all{"localhost"};
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) == 0 && host[0] && std::string(host.data()) != "localhost")
    all.push_back(host.data());
  all.insert(all.end(), {"127.0.0.1", "::1"});
  return all;
}

bool usable(const std::string& text, int64_t now) {
  std::string problem;
  const auto certificates = net::read_certificates(text, problem);
  if (certificates.empty()) return false;
  const auto key = net::read_key(text, problem);
  const auto facts = net::facts_of(certificates.front().get());
  return key && net::belongs(certificates.front().get(), key.get()) && facts.not_before <= now &&
         facts.not_after > now + kLeft;
}

}  // namespace

void use_dev_certificate(config::Environment& environment) {
  const std::string path = file_path();
  const int64_t now = std::time(nullptr);
  std::string text = config::Environment::real().read_file(path, kMostBytes, false).text.value_or("");
  if (!usable(text, now)) {
    std::error_code failure;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path(), failure);
    text = net::make_self_signed(names(), now, kDays);
    if (const std::string problem = write_durably(path, text, 0600); !problem.empty())
      throw std::runtime_error(fmt::format("--dev can't keep its certificate: {}; set XDG_STATE_HOME", problem));
    log::info("dev_certificate_made", {{"file", path},
                                       {"until", net::date_text(now + kDays * kDay)},
                                       {"trust", fmt::format("curl --cacert {} https://localhost:PORT/", path)}});
  }
  environment.stand_in = {path, std::move(text)};
}

void imagine_dev_certificate(config::Environment& environment) {
  environment.stand_in = {file_path(), net::make_self_signed(names(), std::time(nullptr), kDays)};
}

}  // namespace weir
