#include "lb/base/log_output.hpp"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "tests/catch.hpp"

using namespace weir;

namespace {

struct Fifo {
  Fifo() {
    char name[] = "/tmp/weir-fifo-XXXXXX";
    folder = mkdtemp(name);
    path = folder + "/fifo";
    REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  }
  ~Fifo() {
    ::unlink(path.c_str());
    ::rmdir(folder.c_str());
  }
  std::string folder, path;
};

std::string read_all(int fd) {
  std::string all;
  char buffer[65536];
  for (ssize_t n; (n = ::read(fd, buffer, sizeof(buffer))) > 0;) all.append(buffer, static_cast<size_t>(n));
  return all;
}

const auto kNever = [] { return false; };

}  // namespace

TEST_CASE("a FIFO without a reader is an error, not a wait", "[log_output]") {
  const Fifo fifo;
  CHECK_THROWS_AS(LogOutput::open(fifo.path), std::system_error);
}

TEST_CASE("a reader that has stopped loses whole lines, counted", "[log_output]") {
  const Fifo fifo;
  UniqueFd reader(::open(fifo.path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  auto output = LogOutput::open(fifo.path);
  std::string lines;
  for (int i = 0; i < 3000; ++i) lines += std::string(99, 'x') + "\n";  // 300 KB; a pipe holds 64 KiB
  const auto outcome = output.write(lines, 1, kNever);
  CHECK(outcome.error == EAGAIN);
  const std::string first = read_all(reader.get());
  CHECK(first == lines.substr(0, first.size()));
  CHECK(first.size() % 100 != 0);
  // The line that was cut doesn't run into the next one.
  CHECK(outcome.lost_lines == 3000 - first.size() / 100);
  CHECK(output.write("next\n", 1, kNever).error == 0);
  CHECK(read_all(reader.get()) == "\nnext\n");
}

TEST_CASE("standard error is never waited for, and stays as it was for others", "[log_output]") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const UniqueFd reader(ends[0]), writer(ends[1]);
  REQUIRE(::fcntl(reader.get(), F_SETFL, O_NONBLOCK) == 0);
  const std::string line = std::string(99, 'x') + "\n";
  auto output = LogOutput::standard(writer.get());
  int written = 0;
  while (output.write(line, 0, kNever).error == 0) ++written;
  CHECK((written == 655 || written == 640));  // 64 KiB, whole pages or not
  CHECK((::fcntl(writer.get(), F_GETFL) & O_NONBLOCK) == 0);
  CHECK(read_all(reader.get()).size() >= 64'000);
  CHECK(output.write(line, 0, kNever).error == 0);
}

TEST_CASE("nor where it belongs to another user, and can't be opened again", "[log_output]") {
  if (::getuid() != 0) return;
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const UniqueFd reader(ends[0]), writer(ends[1]);
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr uid_t kNobody = 65534;
    if (::setresuid(kNobody, kNobody, kNobody) != 0) ::_exit(100);
    ::alarm(20);  // if it waits all the same
    auto output = LogOutput::standard(writer.get());
    const std::string line = std::string(99, 'x') + "\n";
    int written = 0;
    while (output.write(line, 0, kNever).error == 0) ++written;
    ::_exit(written > 500 && errno == EAGAIN ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

TEST_CASE("a reader that goes on gets everything", "[log_output]") {
  const Fifo fifo;
  UniqueFd reader(::open(fifo.path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  auto output = LogOutput::open(fifo.path);
  std::string lines, got;
  for (int i = 0; i < 3000; ++i) lines += std::to_string(i) + std::string(90, 'x') + "\n";
  const auto outcome = output.write(lines, 1, [&] {
    got += read_all(reader.get());
    return true;
  });
  got += read_all(reader.get());
  CHECK(outcome.error == 0);
  CHECK(outcome.lost_lines == 0);
  CHECK(got == lines);
}

TEST_CASE("a reader that is gone is EPIPE", "[log_output]") {
  const auto before = ::signal(SIGPIPE, SIG_IGN);
  const Fifo fifo;
  UniqueFd reader(::open(fifo.path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  auto output = LogOutput::open(fifo.path);
  reader.reset();
  const auto outcome = output.write("a\nb\n", 1, kNever);
  CHECK(outcome.error == EPIPE);
  CHECK(outcome.lost_lines == 2);
  ::signal(SIGPIPE, before);
}
