#include "tests/fuzz/http1_checks.hpp"

#include <algorithm>

namespace weir::http1::checks {

std::string check_head(const Head& head, std::string_view bytes) {
  if (head.base != bytes.data()) return "base is not the input";
  if (head.size > bytes.size() || head.size < 4) return "size outside the input";
  if (bytes.substr(head.size - 4, 4) != "\r\n\r\n") return "the head does not end with an empty line";
  uint32_t last = 0;
  for (const Field& field : head.all()) {
    const uint64_t name_end = uint64_t{field.name} + field.name_length,
                   value_end = uint64_t{field.value} + field.value_length;
    if (field.name < last || name_end >= field.value || value_end > head.size - 4)
      return "field out of order or outside";
    if (bytes[name_end] != ':') return "no colon after a name";
    if (head.name(field).find_first_of(" \t\r\n:") != std::string_view::npos) return "bad byte in a name";
    if (head.value(field).find_first_of(std::string_view("\0\r\n", 3)) != std::string_view::npos)
      return "bad byte in a value";
    if (trim(head.value(field)) != head.value(field)) return "value not trimmed";
    if (field.id != field_id(head.name(field)) || !head.has(field.id)) return "wrong id";
    last = static_cast<uint32_t>(value_end);
  }
  if (head.framing == Framing::length && !head.has(FieldId::content_length)) return "length without the field";
  if (head.framing == Framing::chunked && !head.has(FieldId::transfer_encoding)) return "chunked without the field";
  for (FieldId id : {FieldId::content_length, FieldId::transfer_encoding, FieldId::connection, FieldId::keep_alive,
                     FieldId::upgrade})
    for (const Field& field : head.all())
      if (field.id == id && !field.drop) return "hop-by-hop field not dropped";
  return {};
}

std::string check_request(const RequestHead& head, std::string_view bytes, const RequestRules& rules) {
  std::string broken = check_head(head, bytes);
  if (!broken.empty()) return broken;
  const uint64_t target_end = uint64_t{head.target} + head.target_length;
  if (target_end >= head.size || head.target_length > rules.target_bytes) return "target outside";
  if (head.path_length != 0 && (head.path < head.target || uint64_t{head.path} + head.path_length > target_end))
    return "path outside";
  if (head.has_query && (head.query <= head.target || uint64_t{head.query} + head.query_length != target_end))
    return "query outside";
  if (uint64_t{head.host_offset} + head.host_length > head.size) return "host outside";
  if (head.host().empty() && (head.minor == 1 || head.has(FieldId::host))) return "no host";
  if (head.host().find_first_of(" \t,/?#@\\") != std::string_view::npos) return "bad byte in the host";
  if (head.path_view().find_first_of("?#\\ ") != std::string_view::npos) return "bad byte in the path";
  if (head.path_view() != "*" && !head.path_view().starts_with('/')) return "path without a slash";
  const bool body = head.has(FieldId::content_length) || head.has(FieldId::transfer_encoding);
  if (body == (head.framing == Framing::none)) return "framing is not what the fields say";
  if (head.has(FieldId::content_length) && head.has(FieldId::transfer_encoding)) return "both lengths";
  return {};
}

namespace {

template <class Head, class ParseFunction>
std::string all_splits(std::string_view bytes, size_t step, Head& head, ParseResult& result, ParseFunction parse) {
  result = parse(bytes, head);
  static Head part;  // 5 KiB
  for (size_t length = 0; length < bytes.size(); length += step) {
    const Exact prefix(bytes.substr(0, length));
    const ParseResult early = parse(prefix.view(), part);
    if (early.status == Parse::need_more) {
      if (result.status == Parse::done && length >= head.size) return "more was asked for behind the end of the head";
      continue;
    }
    if (!equal_results(early, result))
      return "the answer after " + std::to_string(length) + " bytes is another: " + early.detail;
    if (early.status == Parse::done && !equal_heads(part, head))
      return "the head after " + std::to_string(length) + " bytes is another";
  }
  return {};
}

}  // namespace

std::string request_splits(std::string_view bytes, const RequestRules& rules, size_t step, RequestHead& head,
                           ParseResult& result) {
  return all_splits(bytes, step, head, result,
                    [&](std::string_view input, RequestHead& out) { return parse_request(input, rules, out); });
}

std::string response_splits(std::string_view bytes, Method method, const ResponseRules& rules, size_t step,
                            ResponseHead& head, ParseResult& result) {
  return all_splits(bytes, step, head, result, [&](std::string_view input, ResponseHead& out) {
    return parse_response(input, method, rules, out);
  });
}

Decoded decode(std::string_view bytes, std::string_view sizes, const ChunkDecoder::Limits& limits,
               std::string& broken) {
  using Status = ChunkDecoder::Status;
  ChunkDecoder decoder(limits);
  Decoded result;
  for (size_t turn = 0; result.consumed < bytes.size(); ++turn) {
    const size_t wanted = sizes.empty() ? bytes.size() : 1 + static_cast<uint8_t>(sizes[turn % sizes.size()]);
    const Exact piece(bytes.substr(result.consumed, wanted));
    std::string_view input = piece.view();
    while (true) {
      const ChunkDecoder::Step step = decoder.next(input);
      if (step.consumed > input.size()) broken = "consumed more than there was";
      if (step.status == Status::need_more && step.consumed != input.size()) broken = "more asked for with input left";
      if (step.status == Status::data && (step.data.empty() || step.data.data() < input.data() ||
                                          step.data.data() + step.data.size() != input.data() + step.consumed))
        broken = "data outside the input";
      if (!broken.empty()) return result;
      result.status = step.status;
      result.body += step.data;
      result.consumed += step.consumed;
      input.remove_prefix(step.consumed);
      if (step.status == Status::need_more) break;
      if (step.status == Status::data) {
        if (!input.empty()) continue;
        result.status = Status::need_more;
        break;
      }
      result.cause = decoder.cause();
      result.detail = decoder.detail();
      return result;
    }
  }
  return result;
}

namespace {

std::string check_form(std::string_view form, bool matched) {
  if (form == "*") return {};
  if (!form.starts_with('/')) return "a form without a slash at its start";
  if (matched && form.find("//") != form.npos) return "an empty segment in the matched form";
  if (matched && form.find(';') != form.npos) return "parameters in the matched form";
  for (size_t at = 0; at < form.size();) {
    const size_t end = std::min(form.find('/', at + 1), form.size());
    const std::string_view segment = form.substr(at + 1, end - at - 1);
    if (segment == "." || segment == "..") return "a dot segment is left";
    at = end;
  }
  return {};
}

}  // namespace

std::string check_path(std::string_view raw, const PathRules& rules) {
  std::string storage, again_storage;
  NormalizedPath path, again;
  const char* detail = "";
  if (!normalize_path(raw, rules, storage, path, detail)) return *detail == 0 ? "refused without a reason" : "";
  std::string broken = check_form(path.forwarded, false);
  if (broken.empty()) broken = check_form(path.matched, true);
  if (!broken.empty()) return broken;
  if (path.forwarded.size() > raw.size() || path.matched.size() > path.forwarded.size()) return "a form grew";
  if (!normalize_path(path.forwarded, rules, again_storage, again, detail))
    return std::string("the forwarded form is refused: ") + detail;
  if (again.forwarded != path.forwarded || again.matched != path.matched)
    return "normalising the forwarded form changes it";
  const std::string matched(path.matched);
  if (!normalize_path(matched, rules, again_storage, again, detail))
    return std::string("the matched form is refused: ") + detail;
  if (again.matched != matched || again.forwarded != matched) return "normalising the matched form changes it";
  return {};
}

}  // namespace weir::http1::checks
