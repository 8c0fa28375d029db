// A response on a route with `compress`: whether it is compressed, what its head says then, and its body through the
// encoder. A piece that comes is encoded and sent before the next is read, so that a slow client still stops the
// backend.
#include <algorithm>

#include "lb/proxy/compressor.hpp"
#include "lb/proxy/downstream.hpp"
#include "lb/proxy/exchange.hpp"
#include "lb/proxy/parts.hpp"
#include "lb/proxy/upstream.hpp"
#include "lb/route/accept_encoding.hpp"
#include "lb/route/compression.hpp"

namespace weir::proxy {

using http1::Framing;

namespace {

constexpr auto kFlushAfter = std::chrono::milliseconds(100);

/// Fields of the response that compression reads or changes.
struct Fields {
  std::string_view etag;
  bool encoded = false, range = false, no_transform = false, vary = false, varies = false;
};

bool is(const http1::Head& head, const http1::Field& field, std::string_view name) {
  return field.id == http1::FieldId::other && field.name_length == name.size() &&
         http1::equals_ignore_case(head.name(field), name);
}

Fields look_at(const http1::Head& head) {
  Fields found;
  for (const auto& field : head.all()) {
    if (field.drop) continue;
    const std::string_view value = head.value(field);
    if (is(head, field, "content-encoding"))
      found.encoded = true;
    else if (is(head, field, "content-range"))
      found.range = true;
    else if (is(head, field, "cache-control"))
      found.no_transform = found.no_transform || http1::list_contains(value, "no-transform");
    else if (is(head, field, "etag"))
      found.etag = value;
    else if (is(head, field, "vary"))
      found.varies = found.varies || http1::list_contains(value, "accept-encoding") || http1::list_contains(value, "*");
  }
  return found;
}

/// What the route's header rules put into the answer counts as if the backend had sent it.
void add_rules(const config::HeaderRules& rules, Fields& found) {
  for (const auto* list : {&rules.set, &rules.add})
    for (const auto& [name, value] : *list) {
      if (http1::equals_ignore_case(name, "content-encoding")) found.encoded = true;
      if (http1::equals_ignore_case(name, "cache-control") && http1::list_contains(value, "no-transform"))
        found.no_transform = true;
    }
}

void drop(http1::Head& head, std::initializer_list<std::string_view> names) {
  for (auto& field : head.all())
    for (const std::string_view name : names)
      if (is(head, field, name)) field.drop = true;
}

/// What the client asks for with all lines of Accept-Encoding and Cache-Control.
struct Wishes {
  route::AcceptEncoding accepted;
  bool no_transform = false;
};
Wishes read_wishes(const http1::RequestHead& head) {
  Wishes wishes;
  for (const auto& field : head.all()) {
    if (is(head, field, "accept-encoding"))
      wishes.accepted.add(head.value(field));
    else if (is(head, field, "cache-control"))
      wishes.no_transform = wishes.no_transform || http1::list_contains(head.value(field), "no-transform");
  }
  return wishes;
}

std::optional<ContentCoding> choose(const route::AcceptEncoding& accepted, const config::Compress& how, bool streams) {
  std::array<ContentCoding, kContentCodings.size()> offered;
  const auto end = std::copy(how.algorithms.begin(), how.algorithms.end(), offered.begin());
  // A stream of events holds its encoder for hours, and gzip's is a tenth of brotli's.
  if (streams && end == offered.end()) std::sort(offered.begin(), offered.end(), std::greater<>());
  return accepted.choose({offered.begin(), end});
}

}  // namespace

void Exchange::skip_compression(CompressionSkip reason) {
  worker_.cells.compress_skipped[static_cast<size_t>(reason)].add();
}

/// Decides, and changes the head: `response` loses what the answer must not say, `context` gets what it must.
void Exchange::consider_compression(http1::ResponseHead& response, ResponseContext& context) {
  const config::Compress& how = route_->config->compress;
  Compressor& compressor = worker_.compressor();
  Fields found = look_at(response);
  add_rules(route_->config->response_headers, found);
  const Wishes wishes = read_wishes(head);
  compressor.fields = {};
  if (response.status == 304) return consider_validator(response, context, found.etag, !found.varies);
  route::ResponseFacts facts;
  facts.status = response.status;
  if (response.has(http1::FieldId::content_length) && response.framing != Framing::chunked)
    facts.length = response.content_length;
  facts.content_type = response.find(http1::FieldId::content_type);
  facts.encoded = found.encoded;
  facts.range = found.range;
  facts.no_transform = found.no_transform || wishes.no_transform;
  if (const auto reason = route::unfit(how, facts)) return skip_compression(*reason);
  // Caches must know that others get it otherwise, whatever this client gets.
  if (!found.varies) add_vary(response, context);
  const bool streams = route::is_event_stream(facts.content_type);
  auto coding = choose(wishes.accepted, how, streams);
  if (!coding) return skip_compression(CompressionSkip::not_accepted);
  if (response.framing != Framing::none) {
    if (compressor.used_up()) return skip_compression(CompressionSkip::cpu);
    encoder_ = compressor.begin(*this, how, *coding, facts.length);
    const bool gzip_too =
        std::find(how.algorithms.begin(), how.algorithms.end(), ContentCoding::gzip) != how.algorithms.end() &&
        wishes.accepted.quality(ContentCoding::gzip) > 0;
    if (!encoder_ && *coding == ContentCoding::br && gzip_too) {
      coding = ContentCoding::gzip;
      encoder_ = compressor.begin(*this, how, *coding, facts.length);
    }
    if (!encoder_) return skip_compression(CompressionSkip::memory);
    encoder_->each_piece = streams;
    upstream_->receive_room = Compressor::kReadBytes;
    worker_.cells.compressed[static_cast<size_t>(*coding)].add();
  }
  // The answer to HEAD says what that to GET would say: no length, which is known only when the body is encoded.
  CompressionFields& fields = compressor.fields;
  fields.coding = to_string(*coding);
  if (route::is_strong(found.etag)) {
    fields.strong_etag = found.etag;
    drop(response, {"etag"});
  }
  // Digests and ranges are of the bytes that the backend has.
  drop(response, {"accept-ranges", "content-md5", "digest", "content-digest", "repr-digest"});
  response.seen &= ~(uint64_t{1} << static_cast<unsigned>(http1::FieldId::content_length));
  context.compression = &fields;
}

void Exchange::add_vary(http1::ResponseHead& response, ResponseContext& context) {
  drop(response, {"vary"});
  worker_.compressor().fields.vary = true;
  context.compression = &worker_.compressor().fields;
}

/// A 304 confirms the tag that the client has: the weak form, if we have compressed what the backend sent with this
/// one.
void Exchange::consider_validator(http1::ResponseHead& response, ResponseContext& context, std::string_view etag,
                                  bool add) {
  const std::string_view type = response.find(http1::FieldId::content_type);
  if (add && (type.empty() || route::matches_type(route_->config->compress.types, type))) add_vary(response, context);
  if (!route::is_strong(etag)) return;
  for (const auto& field : head.all()) {
    if (!is(head, field, "if-none-match") || !route::names_weak_form(head.value(field), etag)) continue;
    worker_.compressor().fields.strong_etag = etag;
    context.compression = &worker_.compressor().fields;
    return drop(response, {"etag"});
  }
}

/// The next piece of the body, behind `response_head` (empty once it was sent).
void Exchange::forward_encoded(std::string_view body, bool complete, std::string_view response_head) {
  using Flush = net::Encoder::Flush;
  const bool now = encoder_->each_piece && !body.empty();
  if (!send_encoded(body, complete ? Flush::finish : now ? Flush::sync : Flush::none, response_head)) return;
  if (complete) {
    end_encoding();
    return response_complete();
  }
  Compressor& compressor = worker_.compressor();
  if (!now && !body.empty() && !encoder_->armed()) worker_.wheel.arm(*encoder_, worker_.now + kFlushAfter);
  if (!compressor.used_up()) return arm_phase(route_->timeout.idle);
  if (!encoder_->paused) compressor.pause(*encoder_);
  arm_phase(Duration::zero());  // nothing is expected of the backend meanwhile
}

/// False: the exchange has ended.
bool Exchange::send_encoded(std::string_view body, net::Encoder::Flush flush, std::string_view response_head) {
  Compressor& compressor = worker_.compressor();
  for (bool done = false; !done;) {
    const auto step = compressor.encode(*encoder_, body, flush);
    if (step.failed) {
      response_broken(Cause::internal_error, response_head);
      return false;
    }
    done = step.done;
    Parts parts;
    parts.add(response_head);
    parts.add_body({compressor.output(), step.written}, done && flush == net::Encoder::Flush::finish, chunk_response_);
    if (!response_head.empty()) parts.join(worker_.send_scratch.get(), response_head);
    response_head = {};
    if (!parts.count()) continue;
    bytes_sent_ += parts.bytes();
    if (downstream_->send(parts.data(), parts.count()) == Sent::failed) {
      on_downstream_failed(Cause::client_gone);
      return false;
    }
  }
  return true;
}

/// The backend pauses: what the encoder still holds goes to the client.
void Exchange::flush_encoded() {
  if (downstream_->blocked()) return worker_.wheel.arm(*encoder_, worker_.now + kFlushAfter);
  send_encoded({}, net::Encoder::Flush::sync, {});
}

void Exchange::resume_encoding() {
  arm_phase(route_->timeout.idle);
  upstream_->pump();
}

void Exchange::end_encoding() { worker_.compressor().end(std::exchange(encoder_, nullptr)); }

}  // namespace weir::proxy
