"""Dashboards: as their module says, of Grafana's shape, of catalogued metrics, in queries that parse."""

import json
import re
from importlib import resources as files

import pytest

from metrics.catalogue import BY_NAME, CATALOGUE, FOREIGN, series
from metrics.grafana import WIDTH
from metrics.panels import DASHBOARDS, text
from tests.metrics.test_rules import RECORDED, metrics_in, promtool

FOLDER = files.files("metrics") / "dashboards"
CATALOGUED = {name for metric in CATALOGUE for name in series(metric)} | set(RECORDED)
KINDS = {"stat", "timeseries", "table", "state-timeline", "heatmap"}


def boards():
    return {path.name: json.loads(path.read_text()) for path in FOLDER.iterdir()}


def queries():
    """(dashboard, panel, expression) of all."""
    for name, board in boards().items():
        for panel in board["panels"]:
            for target in panel["targets"]:
                yield name, panel["title"], target["expr"]


QUERIES = [pytest.param(query, id=f"{name}: {title}") for name, title, query in queries()]


def filled(query):
    query = query.replace("$__rate_interval", "5m")
    return re.sub(r"\$(job|instance|namespace|svc)\b", "x", query)


def test_the_files_are_what_the_module_says():
    assert set(boards()) == set(DASHBOARDS)
    for name in DASHBOARDS:
        assert (FOLDER / name).read_text() == text(name), f"run python -m metrics.panels: {name} is old"


@pytest.mark.parametrize("name", sorted(DASHBOARDS))
def test_has_grafanas_shape(name):
    board = boards()[name]
    assert re.fullmatch(r"standfast-[a-z]+", board["uid"])
    assert board["schemaVersion"] >= 36
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert {"datasource", "job", "instance"} <= set(variables)
    assert variables["datasource"]["type"] == "datasource"
    taken = set()
    for panel in board["panels"]:
        assert panel["type"] in KINDS
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["targets"]
        place = panel["gridPos"]
        area = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in area) < WIDTH
        assert not area & taken, f"{panel['title']} lies on another"
        taken |= area
        for target in (panel, *panel["targets"]):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for kind in ("id", "title"):
        assert len({panel[kind] for panel in board["panels"]}) == len(board["panels"])


def test_uids_and_titles_are_unique():
    assert len({board["uid"] for board in boards().values()}) == len(DASHBOARDS)
    assert len({board["title"] for board in boards().values()}) == len(DASHBOARDS)


@pytest.mark.parametrize("query", QUERIES)
def test_names_only_what_is_catalogued(query):
    used = metrics_in(query) - {"ALERTS"}
    assert used or "ALERTS{" in query
    assert {name for name in used if not name.startswith(FOREIGN)} <= CATALOGUED


@pytest.mark.parametrize("query", QUERIES)
def test_groups_and_legends_name_labels_that_exist(query):
    labels = {"job", "instance", "le"}
    for name in metrics_in(query):
        metric = BY_NAME.get(re.sub("_(bucket|sum|count)$", "", name)) or BY_NAME.get(name)
        if metric:
            labels |= {*metric.labels, metric.by}
    for grouped in re.findall(r"\bby \(([^)]*)\)", query):
        assert {label.strip() for label in grouped.split(",")} <= labels


@pytest.mark.parametrize("name", sorted(DASHBOARDS))
def test_legends_name_labels_that_the_query_keeps(name):
    for panel in boards()[name]["panels"]:
        for target in panel["targets"]:
            words = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            grouped = re.search(r"\bby \(([^)]*)\)", target["expr"])
            if grouped:
                assert words <= {label.strip() for label in grouped[1].split(",")}, target["expr"]


def test_every_variable_that_is_used_is_defined():
    for board in boards().values():
        defined = {one["name"] for one in board["templating"]["list"]} | {"__rate_interval"}
        assert set(re.findall(r"\$\{?(\w+)", json.dumps(board))) <= defined


def test_every_query_parses(tmp_path):
    """promtool reads queries as rules; Grafana's variables are filled in."""
    rules = [
        {"record": f"query:number:{n}", "expr": filled(query)} for n, (_, _, query) in enumerate(queries())
    ]
    (tmp_path / "queries.yaml").write_text(json.dumps({"groups": [{"name": "all", "rules": rules}]}))
    promtool("check", "rules", "queries.yaml", cwd=tmp_path)
