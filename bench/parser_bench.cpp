// What parsing costs: a request of wrk (4 fields), one of a browser, and its usual answers. `bytes_per_second` is of
// heads.
#include <benchmark/benchmark.h>

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

void request(benchmark::State& state, std::string_view bytes) {
  const auto head = std::make_unique<RequestHead>();
  for (auto _ : state) {
    benchmark::DoNotOptimize(bytes);
    if (parse_request(bytes, {}, *head).status != Parse::done) state.SkipWithError("refused");
    benchmark::DoNotOptimize(head->field_count);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes.size()));
}
BENCHMARK_CAPTURE(request, wrk, kWrk);
BENCHMARK_CAPTURE(request, browser, kBrowser);

void response(benchmark::State& state) {
  std::string_view bytes = kAnswer;
  const auto head = std::make_unique<ResponseHead>();
  for (auto _ : state) {
    benchmark::DoNotOptimize(bytes);
    if (parse_response(bytes, Method::GET, {}, *head).status != Parse::done) state.SkipWithError("refused");
    benchmark::DoNotOptimize(head->field_count);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes.size()));
}
BENCHMARK(response);

void path(benchmark::State& state, std::string_view raw) {
  std::string storage;
  NormalizedPath forms;
  const char* detail = "";
  for (auto _ : state) {
    benchmark::DoNotOptimize(raw);
    if (!normalize_path(raw, {}, storage, forms, detail)) state.SkipWithError(detail);
    benchmark::DoNotOptimize(forms);
  }
}
BENCHMARK_CAPTURE(path, plain, "/shop/articles/1234");
BENCHMARK_CAPTURE(path, rewritten, "/shop/./articles/%7euser//1234;v=2");

void chunked(benchmark::State& state) {
  std::string body;
  for (int i = 0; i < 16; ++i) body += "1000\r\n" + std::string(4096, 'x') + "\r\n";
  body += "0\r\n\r\n";
  for (auto _ : state) {
    ChunkDecoder decoder;
    std::string_view input = body;
    while (true) {
      const ChunkDecoder::Step step = decoder.next(input);
      input.remove_prefix(step.consumed);
      if (step.status != ChunkDecoder::Status::data) break;
      benchmark::DoNotOptimize(step.data);
    }
    if (!input.empty()) state.SkipWithError("bytes left");
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * body.size()));
}
BENCHMARK(chunked);

}  // namespace

BENCHMARK_MAIN();
