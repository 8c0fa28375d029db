// Nanoseconds of processor time a head, a path and a body of 64 KiB, with Beast's parser beside ours. The best of a few
// short runs.
#include <algorithm>
#include <boost/beast/http.hpp>
#include <cstdio>
#include <ctime>
#include <memory>
#include <string>

#include "lb/net/http1.hpp"

namespace {

using namespace weir::http1;

constexpr std::string_view kWrk =
    "GET /index.html HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: wrk/4.1.0\r\nAccept: */*\r\nConnection: "
    "keep-alive\r\n\r\n";

constexpr std::string_view kBrowser =
    "GET /shop/articles/1234?sort=price&page=2 HTTP/1.1\r\n"
    "Host: www.example.org\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    "Accept-Language: de,en-US;q=0.7,en;q=0.3\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Referer: https://www.example.org/shop/articles?sort=price&page=1\r\n"
    "Connection: keep-alive\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=2024-06-01T12:00:00Z; "
    "cart=8f14e45fceea167a5a36dedd4bea2543\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "Sec-Fetch-Dest: document\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Priority: u=0, i\r\n\r\n";

constexpr std::string_view kAnswer =
    "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Sat, 31 Jan 2026 12:00:00 GMT\r\nContent-Type: text/html; "
    "charset=utf-8\r\n"
    "Content-Length: 1270\r\nLast-Modified: Fri, 30 Jan 2026 08:00:00 GMT\r\nConnection: keep-alive\r\nETag: "
    "\"65b8a0c0-4f6\"\r\n"
    "Cache-Control: max-age=60\r\nAccept-Ranges: bytes\r\n\r\n";

int64_t cpu_ns() {
  timespec ts;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
  return int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

// `once` says whether it went well.
template <class Function>
void measure(const char* name, size_t bytes, Function once) {
  constexpr int64_t kSliceNs = 20'000'000;
  double least = 1e18;
  bool good = true;
  for (int slice = 0; slice < 5; ++slice) {
    const int64_t start = cpu_ns();
    int64_t now = start;
    uint64_t rounds = 0;
    for (; now < start + kSliceNs; now = cpu_ns())
      for (int i = 0; i < 64; ++i, ++rounds) good &= once();
    least = std::min(least, static_cast<double>(now - start) / static_cast<double>(rounds));
  }
  std::printf("%-32s %6zu bytes %9.1f ns %7.2f GB/s%s\n", name, bytes, least, static_cast<double>(bytes) / least,
              good ? "" : "  FAILED");
}

void measure_request(const char* name, std::string_view bytes) {
  const auto head = std::make_unique<RequestHead>();
  measure(name, bytes.size(),
          [&] { return parse_request(bytes, {}, *head).status == Parse::done && head->framing == Framing::none; });
}

void measure_beast(const char* name, std::string_view bytes) {
  namespace http = boost::beast::http;
  measure(name, bytes.size(), [&] {
    http::request_parser<http::empty_body> parser;
    boost::beast::error_code error;
    parser.put(boost::asio::buffer(bytes.data(), bytes.size()), error);
    return !error && parser.is_done();
  });
}

void measure_response(const char* name, std::string_view bytes) {
  const auto head = std::make_unique<ResponseHead>();
  measure(name, bytes.size(),
          [&] { return parse_response(bytes, Method::GET, {}, *head).status == Parse::done && head->status == 200; });
}

void measure_path(const char* name, std::string_view raw) {
  std::string storage;
  NormalizedPath forms;
  const char* detail = "";
  measure(name, raw.size(),
          [&] { return normalize_path(raw, {}, storage, forms, detail) && forms.matched.size() > 1; });
}

void measure_chunked(const char* name, size_t chunk) {
  std::string body;
  char size[24];
  std::snprintf(size, sizeof size, "%zx\r\n", chunk);
  while (body.size() < 65536) body.append(size).append(chunk, 'x').append("\r\n");
  body += "0\r\n\r\n";
  measure(name, body.size(), [&] {
    ChunkDecoder decoder;
    std::string_view input = body;
    ChunkDecoder::Step step{ChunkDecoder::Status::data, 0, {}};
    while (step.status == ChunkDecoder::Status::data) {
      step = decoder.next(input);
      input.remove_prefix(step.consumed);
    }
    return step.status == ChunkDecoder::Status::done && input.empty();
  });
}

}  // namespace

int main() {
  measure_request("request, wrk (4 fields)", kWrk);
  measure_beast("  the same with Beast", kWrk);
  measure_request("request, browser (14 fields)", kBrowser);
  measure_beast("  the same with Beast", kBrowser);
  measure_response("answer (9 fields)", kAnswer);
  measure_path("path as it is", "/shop/articles/1234");
  measure_path("path rewritten", "/shop/./articles/%7euser//1234;v=2");
  measure_chunked("body in chunks of 4 KiB", 4096);
  measure_chunked("body in chunks of 64 bytes", 64);
}
