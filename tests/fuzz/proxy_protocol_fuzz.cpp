// The PROXY protocol's header: what is taken lies in the input and is bounded, each beginning of it asks for more, and
// what is written of it is read as the same again.
#include "lb/net/proxy_protocol.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/fuzz/http1_checks.hpp"

using namespace weir;
using net::ProxyHeader;
using net::ProxyParse;

namespace {

void check_part(std::string_view part, std::string_view whole) {
  if (part.empty()) return;
  if (part.size() > 255 || part.data() < whole.data() || part.data() + part.size() > whole.data() + whole.size())
    fuzz::require("a TLV outside the header");
}

void check_written(ProxyHeader header, ProxyVersion version) {
  net::ProxyBytes room;
  header.version = version;
  const auto bytes = net::write_proxy_header(header, room);
  const http1::checks::Exact written(bytes);
  ProxyHeader again;
  if (net::parse_proxy_header(written.view(), again).status != ProxyParse::Status::ok)
    fuzz::require("what was written is not read");
  if (again.size != bytes.size()) fuzz::require("what was written is of another size");
  if (version == ProxyVersion::v1 && header.source.is_unix()) return;
  if (again.local != header.local) fuzz::require("LOCAL is lost");
  if (!header.local && (!(again.source == header.source) || !(again.destination == header.destination)) &&
      again.source.host() != header.source.host())
    fuzz::require("other addresses");
  if (version == ProxyVersion::v2 && !header.local &&
      (again.authority != header.authority || again.alpn != header.alpn))
    fuzz::require("other TLVs");
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const http1::checks::Exact raw({reinterpret_cast<const char*>(data), size});
  ProxyHeader header;
  const auto result = net::parse_proxy_header(raw.view(), header);
  if (result.status != ProxyParse::Status::ok) {
    if (result.status == ProxyParse::Status::need_more && size >= net::kMaxProxyHeader)
      fuzz::require("more is wanted than may be");
    return 0;
  }
  if (header.size > size || header.size > net::kMaxProxyHeader) fuzz::require("longer than what has come");
  check_part(header.authority, raw.view().substr(0, header.size));
  check_part(header.alpn, raw.view().substr(0, header.size));
  ProxyHeader part;
  for (size_t i = 0; i < header.size; i += 1 + header.size / 64) {
    const http1::checks::Exact beginning(raw.view().substr(0, i));
    if (net::parse_proxy_header(beginning.view(), part).status != ProxyParse::Status::need_more)
      fuzz::require("a beginning is taken for the whole, or refused");
  }
  check_written(header, ProxyVersion::v1);
  check_written(header, ProxyVersion::v2);
  return 0;
}
