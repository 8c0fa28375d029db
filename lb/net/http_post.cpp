#include "lb/net/http_post.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <system_error>

#include "lb/base/unique_fd.hpp"
#include "lb/net/http1.hpp"
#include "lb/net/socket.hpp"

namespace weir::net {

namespace {

std::string reason(int error) { return std::generic_category().message(error); }

class Conversation {
 public:
  Conversation(const std::function<TimePoint()>& deadline, PostAnswer& answer) : deadline_(deadline), answer_(answer) {}

  bool connect(const Endpoint& where) {
    UpstreamSocket socket = connect_to(where, std::chrono::milliseconds(0));
    if (socket.error) return fail(reason(socket.error));
    fd_ = std::move(socket.fd);
    if (socket.connected) return true;
    if (!wait(POLLOUT)) return false;
    int error = 0;
    socklen_t length = sizeof error;
    ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &length);
    return error == 0 || fail(reason(error));
  }

  /// A server that answers before it has read everything (413, 503) may close its end: then its answer still counts.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent >= 0) {
        bytes.remove_prefix(static_cast<size_t>(sent));
      } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
        if (!wait(POLLOUT)) return false;
      } else if (errno != EINTR) {
        return true;
      }
    }
    return true;
  }

  bool receive() {
    if (!receive_head()) return false;
    answer_.status = head_->status;
    answer_.retry_after = std::string(head_->find(http1::FieldId::retry_after));
    received_.erase(0, head_->size);
    switch (head_->framing) {
      case http1::Framing::none: return true;
      case http1::Framing::length: return receive_length();
      case http1::Framing::until_close: return receive_to_end();
      case http1::Framing::chunked: return receive_chunks();
    }
    return true;
  }

 private:
  static constexpr int kStepMs = 100, kMostInterim = 8;

  bool fail(std::string why) {
    answer_.failure = std::move(why);
    return false;
  }

  bool wait(short events) {
    for (;;) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_() - monotonic_now()).count();
      if (left <= 0) return fail("no answer in time");
      pollfd poll{fd_.get(), events, 0};
      if (::poll(&poll, 1, static_cast<int>(std::min<int64_t>(left, kStepMs))) > 0) return true;
    }
  }

  /// Appends what comes next. False: nothing came, or with `end` set the connection has ended in order.
  bool more(bool* end = nullptr) {
    char bytes[16 << 10];
    for (;;) {
      const ssize_t got = ::recv(fd_.get(), bytes, sizeof bytes, MSG_DONTWAIT);
      if (got > 0) {
        received_.append(bytes, static_cast<size_t>(got));
        return true;
      }
      if (got == 0) {
        if (end) *end = true;
        return end ? false : fail("the connection ended before the answer did");
      }
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) return fail(reason(errno));
      if (!wait(POLLIN)) return false;
    }
  }

  bool receive_head() {
    for (int interim = 0; interim < kMostInterim;) {
      const auto result = http1::parse_response(received_, http1::Method::POST, {}, *head_);
      if (result.status == http1::Parse::error) return fail("the answer is no HTTP/1.1");
      if (result.status == http1::Parse::need_more) {
        if (!more()) return false;
        continue;
      }
      head_->base = received_.data();
      if (head_->status >= 200) return true;
      received_.erase(0, head_->size);
      ++interim;
    }
    return fail("too many interim answers");
  }

  bool receive_length() {
    const size_t wanted = std::min<uint64_t>(head_->content_length, PostAnswer::kMostBody);
    while (received_.size() < wanted)
      if (!more()) return false;
    answer_.body = received_.substr(0, wanted);
    return true;
  }

  bool receive_to_end() {
    bool end = false;
    while (received_.size() < PostAnswer::kMostBody && !end)
      if (!more(&end) && !end) return false;
    answer_.body = received_.substr(0, PostAnswer::kMostBody);
    return true;
  }

  bool receive_chunks() {
    http1::ChunkDecoder chunks;
    while (answer_.body.size() < PostAnswer::kMostBody) {
      const auto step = chunks.next(received_);
      answer_.body.append(step.data);
      received_.erase(0, step.consumed);
      using Status = http1::ChunkDecoder::Status;
      if (step.status == Status::done) return true;
      if (step.status == Status::error) return fail("the answer is no HTTP/1.1");
      if (step.status == Status::need_more && !more()) return false;
    }
    answer_.body.resize(PostAnswer::kMostBody);
    return true;
  }

  const std::function<TimePoint()>& deadline_;
  PostAnswer& answer_;
  UniqueFd fd_;
  std::string received_;
  std::unique_ptr<http1::ResponseHead> head_ = std::make_unique<http1::ResponseHead>();  // 5 KiB
};

}  // namespace

PostAnswer post(const Endpoint& where, std::string_view head, std::string_view body,
                const std::function<TimePoint()>& deadline) {
  PostAnswer answer;
  Conversation conversation(deadline, answer);
  if (conversation.connect(where) && conversation.send(head) && conversation.send(body)) conversation.receive();
  if (!answer.failure.empty()) answer.status = 0;
  return answer;
}

}  // namespace weir::net
