"""What a comparison found: sentences, tables and charts, all from the same figures."""

import csv
import dataclasses
import io
import json
import statistics
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gradthru_sweep import charts
from gradthru_sweep.comparison_file import Arm, Comparison
from gradthru_sweep.differences import Difference, Winner, paired
from gradthru_sweep.files import write_atomically
from gradthru_sweep.results import counts
from gradthru_sweep.space import Choices, label, short
from gradthru_sweep.study import Heatmap

if TYPE_CHECKING:
    from gradthru_sweep.comparison import Searched

PAGE = "comparison.md"
Pairs = Mapping[tuple[str, str], Winner]


def write(
    comparison: Comparison,
    searched: "Mapping[str, Searched]",
    winners: Mapping[str, Winner],
    controls: Pairs,
) -> None:
    """comparison.md, comparison.json, arms.csv, and a heatmap and lines for every pair."""
    found = [_pair(comparison, pair, winners, controls) for pair in comparison.pairs]
    record = {
        "v": 1,
        "comparison": comparison.name,
        "report": comparison.report,
        "fresh_seeds": comparison.fresh_seeds,
        "arms": {name: _arm(one, winners[name]) for name, one in searched.items()},
        "pairs": [pair for pair in found if pair],
        "sentences": [
            sentence(comparison, searched, pair, winners, controls)
            for pair in comparison.pairs
        ],
    }
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(comparison.out / "comparison.json", text + "\n")
    write_atomically(comparison.out / "arms.csv", _csv(comparison, winners))
    for two, one in comparison.pairs:
        if two in searched and one in searched and searched[two].arm.decoupled:
            _draw(comparison, searched[two], searched[one])
    write_atomically(comparison.out / PAGE, _page(comparison, searched, winners, record))


# --- sentences -----------------------------------------------------------------------------------


def sentence(
    comparison: Comparison,
    searched: "Mapping[str, Searched]",
    pair: tuple[str, str],
    winners: Mapping[str, Winner],
    controls: Pairs,
) -> str:
    """What the figures of the first reported value support."""
    for name in pair:
        if name not in winners or not winners[name].values:
            return f"{pair[0]} and {pair[1]}: no run of {name} is complete, so nothing can be said."
    metric, minimises = comparison.report[0], searched[pair[0]].store.config.minimises
    first, second = winners[pair[0]], winners[pair[1]]
    difference = paired(first, second, metric)
    if difference is None:
        return f"{pair[0]} and {pair[1]}: no seed is complete in both, so nothing can be said."
    text = (
        f"{metric} of {pair[0]} ({label(first.point)}) is {_mean(first, metric)}, of {pair[1]} "
        f"({label(second.point)}) {_mean(second, metric)}: difference {_interval(difference)}. "
        f"{_verdict(pair, difference.verdict(minimises), difference)}"
    )
    if control := controls.get(pair):
        text += " " + _of_control(comparison, pair, first, control, difference, minimises)
    if place := _place(comparison, searched[pair[0]].arm, first):
        text += " " + place
    if ends := [f"{k} of {n}" for n in pair for k in _at_ends(comparison.arms[n], winners[n])]:
        text += f" At the end of what was searched: {', '.join(ends)}."
    if lost := [f"{winners[n].lost} of {n}" for n in pair if winners[n].lost]:
        text += f" Runs that diverged or failed are left out: {', '.join(lost)}."
    return text


def _verdict(pair: tuple[str, str], verdict: int, difference: Difference) -> str:
    if difference.low is None:
        return "One seed tells nothing of their order."
    if verdict == 0:
        return "The interval holds zero: these seeds do not tell the two apart."
    return f"So {pair[0] if verdict > 0 else pair[1]} is better."


def _of_control(
    comparison: Comparison,
    pair: tuple[str, str],
    first: Winner,
    control: Winner,
    plain: Difference,
    minimises: bool,
) -> str:
    factor = control.point[str(comparison.control)]
    begin = f"With {comparison.control} = {short(factor)} for {pair[1]}, as tau_b would scale it,"
    difference = paired(first, control, comparison.report[0])
    if difference is None:
        return f"{begin} no run is complete."
    verdict = difference.verdict(minimises)
    text = f"{begin} the difference is {_interval(difference)}"
    if plain.verdict(minimises) <= 0:
        return f"{text}."
    if verdict > 0:
        return f"{text}: step size does not explain the gain."
    return f"{text}: the gain may be one of step size."


def _place(comparison: Comparison, arm: Arm, winner: Winner) -> str:
    if not arm.decoupled:
        return ""
    forward, backward = float(winner.point["tau_f"]), float(winner.point["tau_b"])
    text = f"The best pair has tau_f {'<' if forward < backward else '>'} tau_b"
    ends = {min(comparison.table["temperatures"]), max(comparison.table["temperatures"])}
    at = [f"{n} at" for n, v in (("tau_f", forward), ("tau_b", backward)) if v in ends]
    return f"{text}, {' and '.join(at)} the border of what was searched." if at else f"{text}."


def _at_ends(arm: Arm, winner: Winner) -> list[str]:
    """Keys whose best value is the first or last of its numbers; temperatures excepted."""
    found = []
    for key, axis in arm.search.space.items():
        if key in arm.temperatures or not isinstance(axis, Choices) or not axis.numeric:
            continue
        numbers = [float(value) for value in axis.values]
        if len(numbers) > 2 and float(winner.point[key]) in (min(numbers), max(numbers)):
            found.append(key)
    return found


def _interval(d: Difference) -> str:
    if d.low is None or d.high is None:
        return f"{d.mean:+.4g} (one seed)"
    return f"{d.mean:+.4g} [{d.low:+.4g}, {d.high:+.4g}] (95 %, {d.seeds} paired seeds)"


def _mean(winner: Winner, name: str) -> str:
    values = winner.of(name)
    if len(values) < 2:
        return f"{values[0]:.5g}"
    return f"{statistics.fmean(values):.5g} ± {statistics.stdev(values):.2g}"


# --- files ---------------------------------------------------------------------------------------


def _arm(one: "Searched", winner: Winner) -> dict[str, Any]:
    return {
        "method": one.arm.method,
        "trials": counts(one.rows),
        "best_trial": one.best.trial,
        "objective": one.best.value,
        "winner": winner.point,
        "values": winner.values,
        "lost": winner.lost,
    }


def _pair(
    comparison: Comparison,
    pair: tuple[str, str],
    winners: Mapping[str, Winner],
    controls: Pairs,
) -> dict[str, Any] | None:
    if not all(name in winners for name in pair):
        return None
    found: dict[str, Any] = {"first": pair[0], "second": pair[1], "differences": {}}
    for name in comparison.report:
        both = paired(winners[pair[0]], winners[pair[1]], name)
        entry = {"plain": dataclasses.asdict(both) if both else None}
        if pair in controls:
            matched = paired(winners[pair[0]], controls[pair], name)
            entry["control"] = dataclasses.asdict(matched) if matched else None
        found["differences"][name] = entry
    if pair in controls:
        found["control"] = {"point": controls[pair].point, "values": controls[pair].values}
    return found


def _csv(comparison: Comparison, winners: Mapping[str, Winner]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["arm", "winner", "seed", *comparison.report])
    for name, winner in winners.items():
        for seed, values in winner.values.items():
            table.writerow([name, label(winner.point), seed, *values.values()])
    return text.getvalue()


def _draw(comparison: Comparison, two: "Searched", one: "Searched") -> None:
    """Both searches in one map, its diagonal from the arm with one temperature."""
    rows = list(two.rows)
    for row in one.rows:
        rest = {key: value for key, value in row.params.items() if key != "tau"}
        if "tau" in row.params:
            tau = row.params["tau"]
            params = {"tau_f": tau, "tau_b": tau, **rest}
            rows.append(dataclasses.replace(row, params=params))
    drawing = charts.Drawing(two.store, rows, Heatmap(x="tau_b", y="tau_f"))
    for name, spec in (("heatmap", drawing.heatmap_spec()), ("lines", drawing.lines_spec())):
        charts.write_svg(comparison.out / f"{name}-{two.arm.name}.svg", spec)


def _page(
    comparison: Comparison,
    searched: "Mapping[str, Searched]",
    winners: Mapping[str, Winner],
    record: Mapping[str, Any],
) -> str:
    study = next(iter(comparison.arms.values())).search
    settings = ", ".join(f"{k} = {v}" for k, v in study.fixed.items() if k != "method")
    lines = [
        f"# {comparison.name}",
        "",
        f"{study.experiment}, preset {study.preset}{', ' if settings else ''}{settings}. Winners by "
        f"{study.objective} with seed {','.join(map(str, study.seeds))}; below, their runs with "
        f"{len(comparison.fresh_seeds)} fresh seeds: mean ± standard deviation.",
        "",
        "| arm | trials | winner | " + " | ".join(comparison.report) + " |",
        "|---|---|---|" + "---|" * len(comparison.report),
    ]
    for name, one in searched.items():
        values = [_mean(winners[name], m) if winners[name].values else "–" for m in comparison.report]
        complete = sum(row.state == "complete" for row in one.rows)
        lines.append(
            f"| {name} | {complete} of {len(one.rows)} | {label(winners[name].point)} | "
            + " | ".join(values) + " |"
        )
    return "\n".join([*lines, "", *(f"{s}\n" for s in record["sentences"])])
