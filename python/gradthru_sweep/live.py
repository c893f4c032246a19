"""What a study shows while it runs: a table on a terminal, plain lines otherwise."""

from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gradthru_sweep.results import Row, counts, ranked
from gradthru_sweep.space import label, short
from gradthru_sweep.store import Store

BEST, RUNNING = 8, 16  # rows shown
OVER = ("complete", "diverged", "pruned", "failed")


def duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"


class Display:
    def __init__(self, store: Store, workers: int) -> None:
        self.store, self.workers = store, workers
        self.console = Console(highlight=False, soft_wrap=True)
        self.live = (
            Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        )
        self.told: dict[int, str] = {}
        self.rows: list[Row] = []

    def __enter__(self) -> "Display":
        if self.live:
            self.live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.live:
            self.live.__exit__(kind, error, trace)

    def begin(self, rows: list[Row]) -> None:
        """What was over before is not told again."""
        self.told = {row.trial: row.state for row in rows if row.state in OVER}

    def say(self, text: str) -> None:
        self.console.print(text, markup=False)

    def update(self, rows: list[Row]) -> None:
        self.rows = rows
        for row in rows:
            if row.state in OVER and self.told.get(row.trial) != row.state:
                self.told[row.trial] = row.state
                if self.live is None or row.state == "failed":
                    self.say(self._line(row))
        if self.live:
            self.live.update(self._table(), refresh=True)

    def _line(self, row: Row) -> str:
        text = f"trial {row.trial} {row.state}"
        if row.value is not None:
            text += f": {self.store.config.objective} {number(row.value)}"
        if row.state == "pruned":
            text += f" after epoch {row.epoch}"
        text += f" ({label(row.params)})"
        if row.wall_s is not None:
            text += f", {duration(row.wall_s)}"
        return text + (f": {row.why}" if row.why else "")

    def _table(self) -> Group:
        study = self.store.config
        table = Table(title=self._head(), title_justify="left", expand=False)
        for name in ("trial", "state", "epoch", study.metric, "sd", "time"):
            table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
        for name in study.space:
            table.add_column(name, justify="right", overflow="fold")
        running = [row for row in self.rows if row.state == "running"][:RUNNING]
        best = ranked(self.store, self.rows)[:BEST]
        for row in running:
            self._add(table, row, "cyan")
        if running and best:
            table.add_section()
        for i, row in enumerate(best):
            self._add(table, row, "bold green" if i == 0 else "")
        return Group(
            table, Text(f"{study.objective}, {study.direction}; best below what runs", "dim")
        )

    def _add(self, table: Table, row: Row, style: str) -> None:
        value = row.value if row.value is not None else row.intermediate
        cells = [
            str(row.trial),
            row.state,
            "" if row.epoch is None else str(row.epoch),
            number(value),
            number(row.sd),
            "" if row.wall_s is None else duration(row.wall_s),
        ]
        cells += [short(row.params[k]) if k in row.params else "" for k in self.store.config.space]
        table.add_row(*cells, style=style)

    def _head(self) -> str:
        found = counts(self.rows)
        over = sum(found[state] for state in OVER)
        parts = [f"{n} {state}" for state, n in found.items() if n]
        text = f"{self.store.config.name}: {over}/{len(self.rows)} over ({', '.join(parts)})"
        if (left := seconds_left(self.rows, self.workers)) is not None:
            text += f", about {duration(left)} left"
        return text


def seconds_left(rows: list[Row], workers: int) -> float | None:
    """From the trials that are over; None if none is, or none is left."""
    times = [row.elapsed_s for row in rows if row.state in OVER and row.elapsed_s]
    left = sum(row.state not in OVER for row in rows)
    return sum(times) / len(times) * left / max(1, min(workers, left)) if times and left else None
