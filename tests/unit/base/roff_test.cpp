// Nothing of a text is taken for a request or an escape of roff.
#include "lb/base/roff.hpp"

#include "tests/catch.hpp"

using namespace weir;

TEST_CASE("roff: what has a meaning is escaped", "[roff]") {
  CHECK(roff::escape(R"(a\b -c 'd' "e" `f` ^ ~)") == R"(a\eb \-c \(aqd\(aq \(dqe\(dq \(gaf\(ga \(ha \(ti)");
  CHECK(roff::verbatim(".so /etc/passwd\n'x") == ".EX\n\\&.so /etc/passwd\n\\&\\(aqx\n.EE\n");
}

TEST_CASE("roff: code, strong text and links of a line", "[roff]") {
  CHECK(roff::inline_markdown("`a-b` and **c** of [d](e.md).") == "\\fBa\\-b\\fR and \\fBc\\fR of d.");
  CHECK(roff::inline_markdown("`retry` [connect, reset]") == "\\fBretry\\fR [connect, reset]");
  CHECK(roff::inline_markdown("a lone ` and **") == "a lone \\(ga and **");
}

TEST_CASE("roff: paragraphs, lists and blocks", "[roff]") {
  CHECK(roff::markdown("# Title\n\nOne\ntwo.\n\n- first\n  of it\n- .second\n\n```yaml\na: -1\n```\nEnd") ==
        ".PP\nOne two.\n.IP \\(bu 2\nfirst of it\n.IP \\(bu 2\n\\&.second\n.PP\n.in +4\n.EX\na: \\-1\n.EE\n.in\n"
        ".PP\nEnd\n");
}
