"""What etc/ has for Prometheus and Grafana, against a running node.

That every name in them is one that the node has is found out here; that the
expressions are right, and that the alerts fire when they should, is asked of
Prometheus itself where it is installed.
"""

import contextlib
import http.client
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import urllib.parse

import pytest
import yaml

from node import TIMEOUT, free_ports, wait_for

ETC = pathlib.Path(os.environ.get(
    "LTPD_SOURCE", pathlib.Path(__file__).resolve().parents[2])) / "etc"
KEYS = {"alice": "alice-key-of-the-monitoring-test"}

# What Prometheus itself adds.
TARGET_LABELS = {"job", "instance"}
OWN_METRICS = {"up"}

LABEL = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
CLAUSE = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)"
                    r"\s*\(([^)]*)\)")
METRIC = re.compile(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()")
OPERATORS = {"and", "or", "unless", "bool", "offset"}


# ---- what the files say ----

def load_rules():
    groups = yaml.safe_load((ETC / "ltpd-alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def load_scrape():
    return yaml.safe_load((ETC / "prometheus-ltpd.yml").read_text())


def load_dashboard():
    return json.loads((ETC / "grafana-ltpd.json").read_text())


def panels():
    return [p for p in load_dashboard()["panels"]
            if p["type"] not in ("row", "text")]


def fill_in(expr):
    """The variables of the dashboard, as Grafana would."""
    for name, value in (("$job", "ltpd"), ("$instance", ".*"),
                        ("$__rate_interval", "1m")):
        expr = expr.replace(name, value)
    return expr


def dashboard_exprs():
    """Where it stands, expression, legend."""
    for panel in panels():
        for target in panel["targets"]:
            yield (f"{panel['title']} {target['refId']}",
                   fill_in(target["expr"]), target["legendFormat"])
    for a in load_dashboard()["annotations"]["list"]:
        yield a["name"], fill_in(a["expr"]), a["titleFormat"]


RULES = load_rules()
# Of each file: where it stands, expression, legend.
EXPRS = {
    "alerts": [(r["alert"], r["expr"], "") for r in RULES],
    "dashboard": list(dashboard_exprs()),
}
of_each_file = pytest.mark.parametrize("exprs", EXPRS.values(), ids=EXPRS)


class Expr:
    """
    An expression taken apart, as far as names go: metrics, the labels that
    must be there, and the selectors of single metrics.
    """

    def __init__(self, expr, legend=""):
        self.labels = set(re.findall(r"{{(\w+)}}", legend))
        for _, names in CLAUSE.findall(expr):
            self.labels.update(re.findall(r"\w+", names))
        bare = re.sub(r"\[[^]]*\]", "", CLAUSE.sub(" ", expr))
        self.selectors = [(name, LABEL.findall(matchers)) for name, matchers
                          in re.findall(r"([\w:]+){([^}]*)}", bare)]
        bare = re.sub(r"{[^}]*}", "", bare)
        self.metrics = set(METRIC.findall(bare)) - OPERATORS


def test_expressions_are_taken_apart():
    """This test's own tool."""
    e = Expr('sum by (a, le) (rate(x_bucket{job="j",b=~"c"}[5m])) > 1e3 '
             'and on (job) y unless absent(up)', "{{d}}")
    assert e.metrics == {"x_bucket", "y", "up"}
    assert e.labels == {"a", "le", "job", "d"}
    assert e.selectors == [("x_bucket", [("job", "=", "j"),
                                         ("b", "=~", "c")])]


# ---- names ----

@pytest.fixture(scope="module")
def watched(lab):
    """A node, and Prometheus, started early: it takes its time."""
    with lab.node(KEYS, workers=2) as node:
        prometheus = Prometheus(node)
        try:
            if shutil.which("prometheus") is not None:
                prometheus.launch()
            yield prometheus
        finally:
            prometheus.stop()


@pytest.fixture(scope="module")
def node(watched):
    return watched.node


@pytest.fixture(scope="module")
def prometheus(watched):
    found("prometheus")
    wait_for(watched.scraped, "Prometheus has scraped", 4 * TIMEOUT, 0.1)
    return watched


@pytest.fixture(scope="module")
def samples(node):
    """Labels of every sample in /metrics, by metric."""
    def complete():
        names = node.metrics()
        return any('process="auth"' in n for n in names if "bytes" in n) \
            and names
    found = {}
    for sample in wait_for(complete, "processes are in the metrics"):
        name, _, labels = sample.partition("{")
        found.setdefault(name, []).append(
            {n: v for n, _, v in LABEL.findall(labels)})
    return found


@of_each_file
def test_every_metric_is_one_of_the_nodes(samples, exprs):
    for place, expr, _ in exprs:
        names = Expr(expr).metrics
        assert names != set(), place
        assert names - set(samples) - OWN_METRICS == set(), place


@of_each_file
def test_every_label_is_one_of_the_metrics(samples, exprs):
    for place, expr, legend in exprs:
        e = Expr(expr, legend)
        known = set(TARGET_LABELS)
        for name in e.metrics - OWN_METRICS:
            known.update(*samples[name])
        assert e.labels - known == set(), place


@of_each_file
def test_every_selector_finds_something(samples, exprs):
    for place, expr, _ in exprs:
        e = Expr(expr)
        # Whatever is not bound to the job could be another program's.
        assert len(e.selectors) >= len(e.metrics), place
        for name, matchers in e.selectors:
            own = [(n, v) for n, _, v in matchers if n not in TARGET_LABELS]
            assert ("job", "=", "ltpd") in matchers, place
            assert own == [] or any(
                all(labels.get(n) == v for n, v in own)
                for labels in samples[name]), place


def test_every_family_is_on_the_dashboard(samples):
    def families(names):
        return {re.sub("_(bucket|sum|count)$", "", n) for n in names}
    shown = set().union(*(families(Expr(expr).metrics)
                          for _, expr, _ in dashboard_exprs()))
    assert families(samples) - shown == set()


# ---- the scrape example ----

def test_the_scrape_example_fits_the_node_and_the_rules():
    conf = load_scrape()
    job, = conf["scrape_configs"]
    shipped = (ETC / "ltpd.conf").read_text()
    address = re.search(r'^metrics_addr = "(.*)"$', shipped, re.M)[1]
    assert job["job_name"] == "ltpd"
    assert job["static_configs"] == [{"targets": [address]}]
    assert [pathlib.PurePath(f).name for f in conf["rule_files"]] == \
        ["ltpd-alerts.yml"]


def test_the_node_has_fewer_samples_than_the_scrape_example_allows(samples):
    job, = load_scrape()["scrape_configs"]
    assert sum(map(len, samples.values())) < job["sample_limit"] / 4


# ---- the alerts ----

@pytest.mark.parametrize("rule", RULES, ids=[r["alert"] for r in RULES])
def test_an_alert_says_all_that_it_should(rule):
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"\d+[smh]", rule["for"])
    assert re.fullmatch(r"Ltpd[A-Z]\w+", rule["alert"])
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description"}
    assert "\n" not in rule["annotations"]["summary"]
    assert len(rule["annotations"]["summary"]) < 80
    known = TARGET_LABELS.union(*(re.findall(r"\w+", names) for _, names in
                                  CLAUSE.findall(rule["expr"])))
    for text in rule["annotations"].values():
        for what in re.findall(r"{{(.*?)}}", text):
            m = re.fullmatch(r' (?:\$labels\.(\w+)|\$value|'
                             r'printf "%\.\df" \$value) ', what)
            assert m is not None, what
            assert m[1] is None or m[1] in known, what


def test_no_two_alerts_have_one_name():
    names = [r["alert"] for r in RULES]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("metric", [
    "up", "ltp_workers", "ltp_restarts_total", "auth_failures_total",
    "auth_keys_reload_failure_total", "auth_keys_active",
    "ltp_capacity_rejections_total", "ltp_connections_refused_total",
    "rate_limit_violations_total", "ip_rate_limit_violations_total",
    "oversize_messages_total", "log_suppressed_total",
    "ltp_accept_pauses_total", "ltp_channel_violations_total",
    "ltp_protocol_errors_total", "ltp_reload_failures_total",
    "ltp_log_dropped_total", "ltp_audit_writable", "ltp_audit_errors_total",
    "ltp_audit_lost_total", "ltp_tokens_reload_failure_total",
    "tls_reload_failure_total",
])
def test_there_is_an_alert_about(metric):
    assert any(metric in Expr(r["expr"]).metrics for r in RULES)


# What makes each alert fire, and what is just not enough: values of series
# as promtool has them, every 15 s, and when it is looked at.
TARGET = '{job="ltpd",instance="a"%s}'
CASES = {
    "LtpdDown": ("2m", {"up": ("0x20", "1x20")}),
    "LtpdMissing": ("6m", {"other": ("1x30", None), "up": (None, "1x30")}),
    "LtpdWorkersMissing": ("2m", {"ltp_workers": ("3x20", "4x20"),
                                  "ltp_workers_configured": ("4x20", "4x20")}),
    "LtpdNoWorkers": ("1m", {"ltp_workers": ("0x20", "1x20")}),
    "LtpdProcessRestarted": ("10m", {
        'ltp_restarts_total process="worker"': ("0x20 1x40", "7x60")}),
    "LtpdProcessKeepsDying": ("15m", {
        'ltp_restarts_total process="auth"': ("0x10 0+1x10 10x60",
                                              "0x10 4x60")}),
    "LtpdKeepsStarting": ("50m", {
        "ltp_uptime_seconds": ("0+15x20 0+15x20 0+15x20 0+15x200",
                               "0+15x20 0+15x20 0+15x300")}),
    "LtpdChannelViolation": ("30m", {
        "ltp_channel_violations_total": ("0x9 1x200", "0x200")}),
    "LtpdReloadFailed": ("10m", {
        "ltp_reload_failures_total": ("0x9 1x60", "1x60")}),
    "LtpdLogDropped": ("5m", {"ltp_log_dropped_total": ("0x9 9x60",
                                                        "9x60")}),
    "LtpdAcceptSlow": ("20m", {
        'ltp_accept_latency_seconds_bucket le="0.1"':
            ("0+90x99", "0+100x99"),
        'ltp_accept_latency_seconds_bucket le="0.25"':
            ("0+100x99", "0+100x99"),
        'ltp_accept_latency_seconds_bucket le="+Inf"':
            ("0+100x99", "0+100x99")}),
    "LtpdSweepSlow": ("40m", {
        'janitor_sweep_duration_seconds_bucket le="0.1"':
            ("0+9x199", "0+10x199"),
        'janitor_sweep_duration_seconds_bucket le="1"':
            ("0+10x199", "0+10x199"),
        'janitor_sweep_duration_seconds_bucket le="+Inf"':
            ("0+10x199", "0+10x199")}),
    "LtpdKeyReloadFailed": ("10m", {
        "auth_keys_reload_failure_total": ("0x9 1x60", "1x60")}),
    "LtpdTokenReloadFailed": ("10m", {
        "ltp_tokens_reload_failure_total": ("0x9 1x60", "1x60")}),
    "LtpdTlsReloadFailed": ("10m", {
        "tls_reload_failure_total": ("0x9 1x60", "1x60")}),
    "LtpdNoKeys": ("2m", {
        "auth_keys_active": ("0x20", "0x20"),
        'ltp_process_open_descriptors process="auth"': ("9x20", None)}),
    "LtpdAuthFailures": ("10m", {"auth_failures_total": ("0+30x60",
                                                         "0+10x60")}),
    "LtpdFull": ("4m", {"ltp_capacity_rejections_total": ("0x4 1x60",
                                                          "1x60")}),
    "LtpdConnectionsDropped": ("4m", {
        "ltp_connections_refused_total": ("0x4 1x60", "1x60")}),
    "LtpdAcceptPaused": ("5m", {"ltp_accept_pauses_total": ("0x9 1x60",
                                                            "1x60")}),
    "LtpdRateLimited": ("20m", {
        "rate_limit_violations_total": ("0+15x99", "0+6x99")}),
    "LtpdIpRateLimited": ("20m", {
        "ip_rate_limit_violations_total": ("0+15x99", "0+6x99")}),
    "LtpdOversizeMessages": ("20m", {
        "oversize_messages_total": ("0+3x99", "0+1x99")}),
    "LtpdInvalidMessages": ("20m", {
        "ws_invalid_json_total": ("0+30x99", "0+10x99")}),
    "LtpdProtocolErrors": ("20m", {
        "ltp_protocol_errors_total": ("0+6x99", "0+2x99")}),
    "LtpdHandshakeTimeouts": ("20m", {
        "ltp_handshake_timeouts_total": ("0+30x99", "0+10x99")}),
    "LtpdLogSuppressed": ("20m", {
        'log_suppressed_total category="auth"': ("0+150x99", "0+60x99")}),
    "LtpdAuditStopped": ("2m", {
        "ltp_audit_writable": ("0x20", "0x20"),
        "ltp_audit_next_index": ("9x20", "0x20")}),
    "LtpdAuditErrors": ("10m", {
        "ltp_audit_errors_total": ("0x9 1x60", "1x60")}),
    "LtpdAuditLost": ("10m", {
        "ltp_audit_lost_total": ("0x9 1x60", "1x60")}),
}


def test_every_alert_has_a_case():
    assert set(CASES) == {r["alert"] for r in RULES}


def found(program):
    """A program that comes with Prometheus."""
    path = shutil.which(program)
    if path is None:
        pytest.fail(f"{program} is not installed: Debian's prometheus has it")
    return path


def promtool_test(alert, which):
    """which: 0, it fires; 1, it does not."""
    when, case = CASES[alert]
    series = []
    for key, values in case.items():
        name, _, label = key.partition(" ")
        if values[which] is not None:
            target = TARGET % ("," + label if label else "")
            series.append({"series": name + target,
                           "values": values[which]})
    return {
        "interval": "15s",
        "input_series": series,
        "promql_expr_test": [{
            "expr": f'count(ALERTS{{alertname="{alert}",'
                    'alertstate="firing"}) or vector(0)',
            "eval_time": when,
            "exp_samples": [{"labels": "{}", "value": 1 - which}],
        }],
    }


@pytest.mark.long
@pytest.mark.parametrize("which", [0, 1], ids=["enough", "not_enough"])
def test_every_alert_fires_when_there_is(tmp_path, which):
    promtool = found("promtool")
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump({
        "rule_files": [str(ETC / "ltpd-alerts.yml")],
        "evaluation_interval": "15s",
        "tests": [promtool_test(alert, which) for alert in CASES],
    }))
    r = subprocess.run([promtool, "test", "rules", str(path)],
                       capture_output=True, text=True)
    assert r.returncode == 0, r.stdout + r.stderr


# ---- the dashboard ----

def test_the_dashboard_is_complete():
    dashboard = load_dashboard()
    names = [v["name"] for v in dashboard["templating"]["list"]]
    assert names == ["datasource", "job", "instance"]
    ids = [p["id"] for p in dashboard["panels"]]
    assert sorted(set(ids)) == sorted(ids)
    for panel in panels():
        assert panel["title"] and panel["description"].endswith("."), panel
        assert panel["datasource"]["uid"] == "${datasource}"
        refs = [t["refId"] for t in panel["targets"]]
        assert refs != [] and sorted(set(refs)) == refs


def test_no_panel_of_the_dashboard_hides_another():
    taken = set()
    for panel in load_dashboard()["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = set(itertools.product(range(at["x"], at["x"] + at["w"]),
                                      range(at["y"], at["y"] + at["h"])))
        assert not cells & taken, panel["title"]
        taken |= cells


# ---- Prometheus itself ----

class Prometheus:
    """Prometheus with the scrape example, in which only addresses, paths
    and the pace are changed."""

    def __init__(self, node):
        self.node = node
        self.dir = node.dir / "prometheus"
        self.dir.mkdir()
        node.stage.own(self.dir, 0o755)
        self.log_path = node.dir / "prometheus.log"
        self.proc = None

    def conf(self):
        text = (ETC / "prometheus-ltpd.yml").read_text()
        for old, new, times in (
                ("- 127.0.0.1:9090", "- %s:%d" % self.node.metrics_address,
                 1),
                ("/etc/prometheus/ltpd-alerts.yml",
                 str(self.dir / "ltpd-alerts.yml"), 1),
                (": 15s", ": 200ms", 2), (": 5s", ": 200ms", 1)):
            assert text.count(old) == times, old
            text = text.replace(old, new)
        return text

    def launch(self):
        for name, text in (("prometheus.yml", self.conf()),
                           ("ltpd-alerts.yml",
                            (ETC / "ltpd-alerts.yml").read_text())):
            (self.dir / name).write_text(text)
            self.node.stage.own(self.dir / name, 0o644)
        self.port, = free_ports(1)
        drop = self.node.stage.command("x")[:-1]
        with open(self.log_path, "wb") as log:
            self.proc = subprocess.Popen(
                [*drop, found("prometheus"),
                 f"--config.file={self.dir}/prometheus.yml",
                 f"--storage.tsdb.path={self.dir}/data",
                 f"--web.listen-address=127.0.0.1:{self.port}",
                 "--log.level=warn"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.dir, env={}, start_new_session=True)

    def stop(self):
        if self.proc is None:
            return
        self.proc.send_signal(signal.SIGTERM)
        try:
            self.proc.wait(2 * TIMEOUT)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.proc.pid, signal.SIGKILL)
            self.proc.wait()

    def get(self, path, **query):
        c = http.client.HTTPConnection("127.0.0.1", self.port,
                                       timeout=TIMEOUT)
        with contextlib.closing(c):
            c.request("GET", f"/api/v1/{path}?"
                             f"{urllib.parse.urlencode(query)}")
            r = c.getresponse()
            body = r.read().decode()
        if r.status == 503:
            raise ConnectionError("not yet")
        assert r.status == 200, body
        return json.loads(body)["data"]

    def query(self, expr):
        return self.get("query", query=expr)["result"]

    def scraped(self):
        assert self.proc.poll() is None, self.log_path.read_text()
        with contextlib.suppress(OSError):
            return self.query('count_over_time(up{job="ltpd"}[1m]) > 3')


@pytest.mark.long
def test_prometheus_scrapes_the_node(prometheus):
    target, = prometheus.get("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    assert target["labels"]["job"] == "ltpd"


@pytest.mark.long
def test_prometheus_takes_the_alerts_and_a_quiet_node_raises_none(
        prometheus):
    def evaluated():
        groups = prometheus.get("rules")["groups"]
        rules = [r for group in groups for r in group["rules"]]
        return all(r["health"] != "unknown" for r in rules) and rules
    rules = wait_for(evaluated, "all rules were evaluated")
    assert len(rules) == len(RULES)
    for rule in rules:
        assert (rule["health"], rule["state"]) == ("ok", "inactive"), rule


@pytest.mark.long
def test_every_query_of_the_dashboard_finds_something(prometheus):
    for place, expr, legend in EXPRS["dashboard"]:
        result = prometheus.query(expr)
        # Conditions need not hold on a quiet node.
        assert result != [] or ">" in expr, place
        for series in result:
            assert set(re.findall(r"{{(\w+)}}", legend)) <= \
                set(series["metric"]), place
