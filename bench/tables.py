"""The table of a side-by-side measurement, as aligned text or as Markdown."""

import statistics

# Heading, and what a ratio is called in a cell.
FULL = [("usual ÷ ours", "usual"), ("F.gumbel_softmax ÷ ours", "eager"),
        ("compiled ÷ ours", "compiled"), ("ours ÷ floor", "floor")]
OPTIONAL = [("compiled usual ÷ ours", "usual compiled"), ("ours ÷ two clones", "clones"),
            ("1 thread ÷ ours", "ours, 1 thread"), ("float32 ÷ ours", "ours in float32")]
HALF = [("ours ÷ floor", "floor")]
MEMORY = ["ours", "usual", "eager", "compiled"]

LEGEND = """\
Forward and backward with autograd; medians [quartiles] of ratios paired by repetition, n of them.
÷ ours: how many times faster ours is. usual: the estimator in eager PyTorch, the fastest of the ways
in bench/usual.py. F.gumbel_softmax: eager, hard=True. compiled: the same by Inductor. floor: a clone
and an out-of-place sum of the same tensor. memory: peak of ours / usual / F.gumbel_softmax /
compiled, in sizes of the tensor of logits."""


def duration(seconds: float) -> str:
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1 or unit == "µs":
            return f"{seconds * factor:.3g} {unit}"
    return ""


def number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def spread(ratio: dict | None) -> str:
    if ratio is None:
        return "–"
    return f"{number(ratio['median'])} [{number(ratio['low'])}, {number(ratio['high'])}]"


def columns(cells: list[dict], half: bool) -> list[tuple[str, str]]:
    """All that belong to the table, and the optional ones that some cell has."""
    present = set().union(*(cell.get("ratios", {}) for cell in cells))
    return (HALF if half else FULL) + [c for c in OPTIONAL if c[1] in present]


def row(cell: dict, chosen: list[tuple[str, str]]) -> list[str]:
    seconds = cell.get("seconds", {}).get("ours")
    memory = cell.get("memory", {})
    names = [name for name in MEMORY if name in cell.get("seconds", {})]
    peaks = " / ".join(number(memory[n]) if n in memory else "–" for n in names)
    return [cell["shape"], cell["estimator"],
            duration(statistics.median(seconds)) if seconds else "–",
            *(spread(cell.get("ratios", {}).get(name)) for _, name in chosen),
            peaks if memory else "–", str(cell.get("repetitions", 0))]


def render(cells: list[dict], markdown: bool, half: bool) -> str:
    chosen = columns(cells, half)
    heading = ["shape", "estimator", "ours", *(title for title, _ in chosen), "memory", "n"]
    lines = [heading, *(row(cell, chosen) for cell in cells)]
    if markdown:
        lines.insert(1, ["---"] * len(heading))
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(f"{text:{width}}" for text, width in zip(line, widths)).rstrip()
                     for line in lines)


def notes(cells: list[dict]) -> list[str]:
    """What the table cannot show: how the usual Python was written, what was left out and why."""
    lines = []
    ways = {}
    for cell in cells:
        if "usual" in cell:
            ways.setdefault((cell["estimator"], cell["usual"]), []).append(cell["shape"])
        if "note" in cell:
            lines.append(f"{cell['shape']} {cell['estimator']}: {cell['note']}")
        for name, reason in cell["failures"].items():
            lines.append(f"NOT VALID, not timed: {cell['shape']} {cell['estimator']}, {name}: "
                         f"{reason}")
    told = [f"usual {estimator}: {way} at {', '.join(shapes)}"
            for (estimator, way), shapes in ways.items()]
    return sorted(set(told)) + lines


def setting(job: dict) -> str:
    threads = job["threads"]
    text = f"{threads} thread{'s' if threads > 1 else ''}, " + (
        "huge pages" if job["huge_pages"] else "pages as the system gives them")
    return text if job["dtype"] == "float32" else f"{text}, {job['dtype']}"
