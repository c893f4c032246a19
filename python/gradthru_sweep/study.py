"""A study, as its file describes it."""

import pathlib
from dataclasses import dataclass, field
from typing import Any

from gradthru_sweep import space as spaces
from gradthru_sweep.space import Point, Space


@dataclass(frozen=True)
class Pruning:
    method: str = "median"
    startup_trials: int = 5
    warmup_epochs: int = 1
    reduction_factor: int = 3


@dataclass(frozen=True)
class Heatmap:
    x: str
    y: str
    over: str = "best"  # of the other keys of the space: best or mean


@dataclass(frozen=True)
class Study:
    """One study file. `text` is the file as it was read, `source` its name in messages."""

    source: str
    text: str
    name: str
    experiment: str
    preset: str
    out: pathlib.Path
    objective: str
    direction: str
    sampler: str
    trials: int
    seed: int
    seeds: list[int]
    workers: int
    threads: int
    retries: int
    unequal: list[tuple[str, str]]
    fixed: dict[str, Any]
    space: Space
    points: list[Point]  # of the sampler that is called so
    pruning: Pruning | None
    heatmap: Heatmap | None
    plain: dict[str, Any] = field(repr=False)  # the file with its defaults, to be compared

    @property
    def metric(self) -> str:
        """The objective without its `best.`."""
        return self.objective.rpartition(".")[2]

    @property
    def minimises(self) -> bool:
        return self.direction == "minimize"

    def seeds_of(self, point: Point) -> list[int]:
        return [int(point["seed"])] if "seed" in point else self.seeds

    def assignments(self, point: Point) -> list[str]:
        seeds = ",".join(map(str, self.seeds_of(point)))
        return [*spaces.assignments(self.fixed, self.space, point), f'seeds="{seeds}"']
