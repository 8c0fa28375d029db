"""The alert rules and the dashboard name only metrics and labels that there are, and Prometheus takes them."""
import json
import os
import re
import subprocess
import tempfile

from harness import WeirTest, config, echo

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MONITORING = os.path.join(ROOT, "packaging", "monitoring")
SELECTOR = re.compile(r"\b(weir_[a-z0-9_]+)(?:\{([^}]*)\})?")
OF_PROMETHEUS = {"instance", "job", "le"}
ONLY_WHEN_THEY_HAPPENED = {"weir_request_errors_total", "weir_protocol_errors_total", "weir_backend_responses_total",
                           "weir_name_ok", "weir_tls_certificate_expiry_timestamp_seconds", "weir_proxy_protocol_headers_total",
                           "weir_proxy_protocol_refused_total"}  # the last ones: with such a listener


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def documented():
    """Metric → its labels, as docs/metrics.md has them; the three series of a histogram each."""
    found = {}
    for name, kind, labels in re.findall(r"^\| `(weir_\w+)` \| (\w+) \| (.*?) \|", read("docs", "metrics.md"), re.M):
        labels = set(re.findall(r"`(\w+)`", labels))
        for suffix in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",)):
            found[name + suffix] = labels
    return found


def dashboard():
    return json.loads(read("packaging", "monitoring", "grafana-dashboard.json"))


def queries():
    """Every expression of the dashboard, with values for Grafana's variables."""
    board = dashboard()
    found = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    found += [annotation["expr"] for annotation in board["annotations"]["list"]]
    return [re.sub(r"\$(instance|pool|route)\b", ".*", q).replace("$__rate_interval", "5m") for q in found]


def promtool(*arguments):
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, cwd=MONITORING)
    return done.returncode, done.stdout + done.stderr


class Monitoring(WeirTest):
    def test_rules(self):
        code, said = promtool("check", "rules", "alerts.yaml")
        self.assertEqual(code, 0, said)
        code, said = promtool("test", "rules", "alerts_test.yaml")
        self.assertEqual(code, 0, said)

    def test_queries_of_the_dashboard_parse(self):
        rules = {"groups": [{"name": "dashboard", "rules": [{"record": f"query:{i}", "expr": q} for i, q in enumerate(queries())]}]}
        with tempfile.TemporaryDirectory(prefix="weir-dashboard-") as folder:
            path = os.path.join(folder, "rules.yaml")
            with open(path, "w") as file:
                json.dump(rules, file)
            code, said = promtool("check", "rules", path)
            self.assertEqual(code, 0, said)

    def test_metrics_and_labels_exist(self):
        known = documented()
        self.assertGreater(len(known), 50)
        texts = {"alerts.yaml": read("packaging", "monitoring", "alerts.yaml"), "alerts_test.yaml": read("packaging", "monitoring", "alerts_test.yaml"),
                 "the dashboard": "\n".join(queries())}
        for where, text in texts.items():
            for name, labels in SELECTOR.findall(text):
                self.assertTrue(name in known or name + "_sum" in known, f"{where}: {name} is not in docs/metrics.md")
                used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels))
                self.assertLessEqual(used, known.get(name, set()) | OF_PROMETHEUS, f"{where}: {name}")

    def test_metrics_are_live(self):
        """docs/metrics.md is one thing, what the daemon says another."""
        daemon = self.weir(config([self.origin(echo)]))
        daemon.get("/")
        live = set(daemon.metrics().names())
        used = {name for text in (read("packaging", "monitoring", "alerts.yaml"), "\n".join(queries())) for name, _ in SELECTOR.findall(text)}
        missing = {n for n in used if n not in live and n + "_sum" not in live} - ONLY_WHEN_THEY_HAPPENED
        self.assertEqual(missing, set())

    def test_dashboard_is_in_order(self):
        board = dashboard()
        self.assertEqual(len({p["id"] for p in board["panels"]}), len(board["panels"]))
        taken = {}
        for panel in board["panels"]:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])
            for x in range(place["x"], place["x"] + place["w"]):
                for y in range(place["y"], place["y"] + place["h"]):
                    self.assertNotIn((x, y), taken, f"{panel['title']} covers {taken.get((x, y))}")
                    taken[x, y] = panel["title"]
        variables = {v["name"] for v in board["templating"]["list"]}
        used = set(re.findall(r"\$\{?([a-z_]+)", json.dumps(board["panels"]))) - {"__rate_interval"}
        self.assertLessEqual(used, variables)
