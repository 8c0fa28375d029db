// An answer of a DNS server. The first byte chooses the type that was asked for; whatever is taken is bounded and
// valid.
#include <array>

#include "lb/net/dns_message.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/fuzz/http1_checks.hpp"

using namespace weir;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  constexpr std::array kTypes{net::DnsType::a, net::DnsType::aaaa, net::DnsType::srv};
  const net::DnsType type = kTypes[data[0] % kTypes.size()];
  // Exactly as long as the message, so that a sanitizer sees a read behind it.
  const http1::checks::Exact exact({reinterpret_cast<const char*>(data) + 1, size - 1});
  const auto bytes = exact.view();
  const auto answer = net::parse_dns({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, type);
  if (!answer) return 0;
  const size_t records = answer->addresses.size() + answer->services.size();
  if (records > net::DnsAnswer::kMaxRecords) fuzz::require("more records than allowed");
  if (answer->ttl > 0x7fffffff) fuzz::require("a TTL above RFC 2181's");
  if (type == net::DnsType::srv ? !answer->addresses.empty() : !answer->services.empty())
    fuzz::require("records of another type");
  for (const auto& address : answer->addresses)
    if (address.family() != (type == net::DnsType::a ? AF_INET : AF_INET6))
      fuzz::require("an address of another family");
  for (const auto& service : answer->services)
    if (!net::is_dns_name(service.target)) fuzz::require("a target that is no host name");
  return 0;
}
