"""Panels and variables as values → one of Grafana's dashboards as a JSON-able value."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
HERE = 'job=~"$job",instance=~"$instance"'
COLOURS = {
    "up": "green",
    "stdby up": "light-green",
    "warn": "yellow",
    "down": "red",
    "stdby down": "light-red",
    "unknown": "orange",
    "elsewhere": "blue",
    "n/a": "text",
}


class Panel(NamedTuple):
    """`queries` are (expression, legend); `wide` of 24 columns; `bad`: the value that is red."""

    kind: str  # stat, timeseries, table, state-timeline, heatmap
    title: str
    queries: Sequence[tuple[str, str]]
    help: str
    wide: int = 8
    high: int = 7
    unit: str = "short"
    bad: float | None = None
    stacked: bool = False


def p(quantile: float, metric: str, by: str = "") -> str:
    """A quantile of a histogram over the range that Grafana shows."""
    groups = f"{by}, le" if by else "le"
    rates = f"sum by ({groups}) (rate({metric}_bucket{{{HERE}}}[$__rate_interval]))"
    return f"histogram_quantile({quantile}, {rates})"


def rate(metric: str, by: str, labels: str = HERE) -> str:
    return f"sum by ({by}) (rate({metric}{{{labels}}}[$__rate_interval]))"


def dashboard(uid: str, title: str, panels: Sequence[Panel], more: Sequence[Mapping[str, Any]] = ()) -> Any:
    """The whole document; `more` are variables beside datasource, job and instance."""
    return {
        "uid": uid,
        "title": title,
        "tags": ["standfast"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "links": [{"type": "dashboards", "title": "Standfast", "tags": ["standfast"], "asDropdown": True}],
        "annotations": {"list": []},
        "templating": {"list": [*COMMON_VARIABLES, *more]},
        "panels": _placed(panels),
    }


def variable(name: str, label: str, query: str, several: bool) -> dict[str, Any]:
    every = {"includeAll": True, "multi": True, "allValue": ".+"} if several else {"multi": False}
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        **every,
    }


COMMON_VARIABLES = (
    {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"},
    variable("job", "Job", "label_values(standfast_build_info, job)", several=True),
    variable("instance", "Host", 'label_values(standfast_build_info{job=~"$job"}, instance)', several=True),
)


def _placed(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """From left to right; a row is as high as its highest panel."""
    made, x, y, high = [], 0, 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.wide > WIDTH:
            x, y, high = 0, y + high, 0
        made.append(_panel(number, panel, {"x": x, "y": y, "w": panel.wide, "h": panel.high}))
        x, high = x + panel.wide, max(high, panel.high)
    return made


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    now = panel.kind in ("stat", "table")
    targets = [
        {
            "refId": chr(ord("A") + n),
            "datasource": SOURCE,
            "expr": query,
            "legendFormat": legend,
            "instant": now,
            "range": not now,
            "format": {"table": "table", "heatmap": "heatmap"}.get(panel.kind, "time_series"),
        }
        for n, (query, legend) in enumerate(panel.queries)
    ]
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.bad is not None:
        steps.append({"color": "red", "value": panel.bad})
    defaults: dict[str, Any] = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.stacked:
        defaults["custom"] = {"stacking": {"mode": "normal", "group": "A"}, "fillOpacity": 60}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.help,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": _coloured(panel)},
        "options": _options(panel),
    }


def _coloured(panel: Panel) -> list[dict[str, Any]]:
    """States have their colours wherever they are drawn by name."""
    if not any("{{state}}" in legend for _, legend in panel.queries):
        return []
    return [
        {
            "matcher": {"id": "byRegexp", "options": "/(^| )" + state.replace("/", "\\/") + "$/"},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
        for state, colour in COLOURS.items()
    ]


def _options(panel: Panel) -> dict[str, Any]:
    match panel.kind:
        case "stat":
            return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "none"}
        case "state-timeline":
            return {"showValue": "never", "mergeValues": True, "legend": {"showLegend": False}}
        case "timeseries":
            return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
        case _:
            return {}
