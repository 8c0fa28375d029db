"""Two hundred faults in good configurations, one at a time: each is reported at its line, and the running configuration stays."""
import json
import os
import random
import re
import shutil

from daemon import ROOT
from harness import WeirTest, config, echo

EXAMPLES = os.path.join(ROOT, "packaging", "examples")
COUNT = 200
SEED = 20261124  # the same faults in each run

# Words of the language (not names a user gives, nor header fields). A misspelt one is always an error.
KEYWORDS = """affinity allow at_most auth backends balance bind body_bytes budget burst consistent_hash connect cookie defaults deny drain_delay drain_timeout
eject error_pages expect fall first_of format forward header_bytes health interval keep_alive limits listeners match max_keys metrics
per_backend pools pool queue queue_timeout rate_limit realm redirect request_headers respond response_headers retry rewrite rise routes slow_start
timeout trusted_proxies ttl url weight workers""".split()
KEY = re.compile(r"(?<![\w./-])(" + "|".join(KEYWORDS) + r"):(?= |$)")
VALUES = [  # what stands there, what is put there
    ("a time without its unit", re.compile(r": (\d+)(ms|s|m|h)(?=[ ,}]|$)"), r": \1"),
    ("a time with a foreign unit", re.compile(r": (\d+)(ms|s|m|h)(?=[ ,}]|$)"), r": \1 parsecs"),
    ("a size with a foreign unit", re.compile(r": (\d+)(KiB|MiB|GiB)(?=[ ,}]|$)"), r": \1XB"),
    ("a boolean of another language", re.compile(r": (true|false)(?=[ ,}]|$)"), r": maybe"),
    ("an algorithm that isn't", re.compile(r"balance: (round_robin|least_connections|power_of_two|latency|random)(?=[ ,}]|$)"), r"balance: \1s_of_old"),
    ("a scheme that isn't", re.compile(r'"http://'), r'"htp://'),
    ("a port beyond all ports", re.compile(r':(8080|9001|9002|80)"'), r':99999"'),
    ("a pool that isn't", re.compile(r"(?<=[ {])pool: (\w+)"), r"pool: \1-of-nobody"),
    ("text for a number", re.compile(r"weight: (\d+)"), r"weight: heavy"),
    ("a number below all", re.compile(r"(fall|rise|weight|burst): (\d+)"), r"\1: -7"),
    ("a list for a text", re.compile(r"(path): (/\S*[^\s,}])(?=[ ,}]|$)"), r"\1: [[\2]]"),
]


def code(line):
    """The line without its comment."""
    return re.sub(r"(^|\s)#.*", "", line)


def mutations(text):
    """(what, line number, the mutated text) for every place of a configuration where a fault can be put."""
    lines = text.split("\n")

    def changed(number, line):
        return "\n".join(lines[:number] + [line] + lines[number + 1:])
    for number, line in enumerate(lines):
        if not (bare := code(line)).strip():
            continue
        for match in KEY.finditer(bare):
            yield f"{match[1]} misspelt", number + 1, changed(number, bare[:match.end(1) - 1] + "qq" + bare[match.end(1):])
        for what, pattern, replacement in VALUES:
            for match in pattern.finditer(bare):
                yield what, number + 1, changed(number, bare[:match.start()] + match.expand(replacement) + bare[match.end():])
        if re.match(r"\s*\w+: [^\[{|>]", bare):
            yield "a key twice", number + 2, changed(number, line + "\n" + line)
        if re.match(r"\s*\w+: [\[{].*[\]}]\s*$", bare):
            yield "a bracket too many", number + 1, changed(number, bare + " ]")
        if re.match(r" +\w+:", bare):
            yield "a tab", number + 1, changed(number, "\t" + bare.lstrip())


class Mutations(WeirTest):
    timeout = 300

    def test_each_fault_is_reported_at_its_line_and_changes_nothing(self):
        daemon = self.weir(config([self.origin(echo)]))
        folder = os.path.join(daemon.directory, "examples")
        shutil.copytree(EXAMPLES, folder)
        running = daemon.path
        found = []
        for name in sorted(os.listdir(EXAMPLES)):
            if name.endswith(".yaml"):
                with open(os.path.join(EXAMPLES, name)) as file:
                    found += [(name, *m) for m in mutations(file.read())]
        self.assertGreaterEqual(len(found), COUNT)
        before = json.loads(daemon.admin("/api/v1/status").text)["generation"]
        with daemon.client() as client:
            for name, what, line, text in random.Random(SEED).sample(found, COUNT):
                with self.subTest(f"{name}:{line}: {what}"):
                    # As the daemon would read it: the file in the place of the running one, beside the files it names.
                    path = os.path.join(folder, name)
                    with open(path, "w") as file:
                        file.write(text)
                    os.replace(running, running + ".good")
                    os.symlink(path, running)
                    try:
                        code_, out, err = daemon.command("reload")
                    finally:
                        os.replace(running + ".good", running)
                        shutil.copy(os.path.join(EXAMPLES, name), path)
                    self.assertEqual(code_, 2, out + err)
                    self.assertRegex(out + err, rf"(?m)^\S+:{line}:\d+: ", text.split("\n")[line - 1])
                    self.assertEqual(client.get("/").status, 200)
        self.assertEqual(json.loads(daemon.admin("/api/v1/status").text)["generation"], before)
        self.assertEqual(daemon.command("reload")[0], 0)
