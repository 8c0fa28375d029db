// Starting another program: what it gets, and how its end is told; which program that is.
#include "lb/net/spawn.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "lb/base/log.hpp"
#include "lb/net/handed.hpp"
#include "lb/net/process_handle.hpp"
#include "lb/net/program.hpp"
#include "lb/net/socket.hpp"
#include "tests/catch.hpp"

using namespace weir;
namespace fs = std::filesystem;

namespace {

int status_of(pid_t pid) {
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  return status;
}

int run(const std::string& script, const std::vector<int>& descriptors = {}) {
  return status_of(net::spawn("/bin/sh", {"sh", "-c", script}, net::environment_without({}), descriptors));
}

struct Folder {
  std::string path;
  Folder() {
    char name[] = "/tmp/weir-program-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() { fs::remove_all(path); }
  std::string operator/(const std::string& name) const { return path + "/" + name; }
};

}  // namespace

TEST_CASE("how a program ended", "[spawn]") {
  CHECK(net::how_it_ended(run("exit 0")) == "ended with code 0");
  CHECK(net::how_it_ended(run("exit 3")) == "ended with code 3");
  CHECK(net::how_it_ended(run("kill -KILL $$")) == "was ended by signal 9 (Killed)");
  CHECK_THROWS_AS(net::spawn("/nowhere/weir", {"weir"}, {}, {}), std::system_error);
}

TEST_CASE("it has the descriptors that it is given, and no other", "[spawn]") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);  // as a library might: without O_CLOEXEC
  const UniqueFd given(ends[0]), other(ends[1]), more(::dup(ends[1])), still_more(::dup(ends[1]));
  // Under numbers of its own, in their order. Bash has one more of its own, above.
  const auto target = [](int fd) { return "$(readlink /proc/$$/fd/" + std::to_string(fd) + ")"; };
  const std::string pipe = fs::read_symlink("/proc/self/fd/" + std::to_string(given.get())).string();
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  for (const bool first : {true, false}) {
    const std::vector<int> order = first ? std::vector{given.get(), null.get()} : std::vector{null.get(), given.get()};
    CHECK(run("[ " + target(first ? 3 : 4) + " = '" + pipe + "' ] && [ " + target(first ? 4 : 3) +
                  " = /dev/null ] && [ $(ls /proc/$$/fd | grep -c .) -le 6 ]",
              order) == 0);
  }
}

TEST_CASE("signals are as for any program, though we block them", "[spawn]") {
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const int status = run("kill -TERM $$; exit 0");
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  CHECK(WIFSIGNALED(status));
}

TEST_CASE("variables that mean nothing to it are left out", "[spawn]") {
  ::setenv("WEIR_TEST_A", "1", 1);
  ::setenv("WEIR_TEST_AB", "2", 1);
  const auto kept = net::environment_without({"WEIR_TEST_A"});
  const auto has = [&](const char* entry) { return std::find(kept.begin(), kept.end(), entry) != kept.end(); };
  CHECK_FALSE(has("WEIR_TEST_A=1"));
  CHECK(has("WEIR_TEST_AB=2"));
  ::unsetenv("WEIR_TEST_A");
  ::unsetenv("WEIR_TEST_AB");
}

TEST_CASE("the program on the disk", "[spawn]") {
  const Folder folder;
  fs::create_directories(folder / "v1");
  fs::create_directories(folder / "other");
  fs::copy_file("/bin/true", folder / "v1/weir");
  fs::copy_file("/bin/true", folder / "other/weir");
  fs::create_symlink("v1", folder / "current");
  const std::string real = folder / "v1/weir";
  // The kernel's name for the running program is a link to the file itself.
  const std::string self = folder / "self";
  fs::create_symlink(real, self);
  CHECK(net::program_path(folder / "current/weir", "", self) == folder / "current/weir");
  CHECK(net::program_path("weir", folder / "nowhere" + ":" + (folder / "other") + ":" + (folder / "current"), self) ==
        folder / "current/weir");
  CHECK(net::program_path("weir", folder / "other", self) == real);
  CHECK(net::program_path(folder / "other/weir", "", self) == real);
  CHECK(net::program_path("", "", self) == real);
  CHECK(net::program_path("weir", "", folder / "missing") == "weir");
  const auto before = fs::current_path();
  fs::current_path(folder.path);
  CHECK(net::program_path("./current/weir", "", self) == folder / "current/weir");
  fs::current_path(before);
}

TEST_CASE("processes are known by a handle", "[process_handle]") {
  const auto self = net::ProcessHandle::of_this_process();
  CHECK(self.pid() == ::getpid());
  CHECK(self.alive());
  CHECK_FALSE(net::ProcessHandle(1, UniqueFd()).alive());
}

TEST_CASE("sockets that are handed over", "[handed]") {
  std::string events;
  const auto before = log::set_sink([&](std::string_view line) { events += line; });
  auto opened = net::open_listener(*Endpoint::parse("127.0.0.1:0"), 2);
  int pair[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  const UniqueFd end(pair[1]);
  net::HandedSockets handed;
  handed.add("web 127.0.0.1:0", {opened.fds[0].release(), opened.fds[1].release()});
  handed.add("nonsense", {pair[0], 1'000'000});
  ::close(pair[0]);  // it was left alone
  log::set_sink(before);
  CHECK(events.find("inherited_socket_ignored name=nonsense") != std::string::npos);
  REQUIRE(handed.addresses().size() == 1);
  CHECK(handed.addresses()[0] == opened.address);
  CHECK(handed.unused() == std::vector<std::string>{"web 127.0.0.1:0"});
  CHECK(handed.take("other").fds.empty());
  const auto taken = handed.take("web 127.0.0.1:0");
  CHECK(taken.fds.size() == 2);
  CHECK(taken.address == opened.address);
  CHECK(handed.unused().empty());
  CHECK(handed.take("web 127.0.0.1:0").fds.empty());
}

TEST_CASE("a socket that doesn't listen yet gets no connection", "[handed]") {
  const auto first = net::open_listener(*Endpoint::parse("127.0.0.1:0"), 1);
  const auto more = net::open_listener_beside(first.address, 1, false);
  for (int i = 0; i < 64; ++i) {
    const auto connected = net::connect_to(first.address, std::chrono::milliseconds(0));
    REQUIRE(connected.fd);
    UniqueFd accepted;
    for (int tries = 0; !accepted && tries < 1000; ++tries)
      accepted.reset(::accept4(first.fds[0].get(), nullptr, nullptr, SOCK_CLOEXEC));
    CHECK(accepted);
  }
  CHECK_FALSE(net::listening_address(more.fds[0].get()));
  net::accept_new_connections(more.fds[0].get());
  CHECK(net::listening_address(more.fds[0].get()) == first.address);
  net::close_listener(more.fds[0].get());
  CHECK_FALSE(net::listening_address(more.fds[0].get()));
}
