#include "config/introduction.hpp"

namespace weir::config {

const std::string_view kLanguage =
    R"(Weir reads one YAML file (`/etc/weir/weir.yaml` unless told otherwise). `weir check FILE` lists everything that is wrong with it, each with
file, line, column and what to write instead; `weir schema` prints a JSON schema for editors. The smallest file is

```yaml
listeners: { web: { bind: ":8080" } }
pools:     { app: { backends: { a: "http://127.0.0.1:9001", b: "http://127.0.0.1:9002" } } }
routes:    [ { pool: app } ]
```

- **Units** are always written: `500ms`, `2s`, `5m`, `1h`; `512B`, `32KiB`, `256MiB`, `1GiB`; `50%`.
- **Booleans** are `true` and `false`; `yes`, `no`, `on` are texts. Numbers begin with no zero and stand in no quotes.
- **Names** of listeners, pools, backends, keys and routes have 1 to 64 of `A-Z a-z 0-9 _ . -`.
- **Unknown and duplicate keys** are errors; so are anchors, aliases, `<<`, tags, a second document, more than 32 levels, and files above 4 MiB.
- **Environment variables**: `${NAME}`, or `${NAME:-default}`, in any value; `$$` is a dollar. Inside `{ }` and `[ ]` it needs
  quotes, as in `"${PORT}"`, which may still be a number. A variable that is not set is an error unless there is
  a default (which also stands in for an empty one). What comes in is text and never becomes YAML.
- **Several files**: `include: [conf.d/*.yaml]` in the main file, relative to it. Maps merge, and a name that is in two files is an error; routes append in
  the order of the files, which is the order of the list, and of their names within a pattern.
)";

}  // namespace weir::config
