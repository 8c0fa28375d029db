// Text for manual pages (man(7)).
#pragma once
#include <string>
#include <string_view>

namespace weir::roff {

/// Plain text as it has to be written: nothing of it is taken for a request or an escape.
std::string escape(std::string_view text);
/// One line of Markdown: `code` and **strong** become bold, of a link its text remains.
std::string inline_markdown(std::string_view text);
/// Paragraphs, lists of "- " and ``` blocks of Markdown; headings and comments are left out.
std::string markdown(std::string_view text);
/// Text whose lines stay as they are.
std::string verbatim(std::string_view text);
/// ".TH …": `name` in capitals, `section` 1 or 5.
std::string title(std::string_view name, int section);

}  // namespace weir::roff
