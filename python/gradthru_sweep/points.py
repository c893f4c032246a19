"""The points of a study that are known before it starts, and how a trial gets its values."""

import hashlib

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from gradthru_sweep import space as spaces
from gradthru_sweep.mistake import Mistake
from gradthru_sweep.space import Axis, Choices, Point, Space
from gradthru_sweep.study import Study

MANY_DRAWS = 1000  # in vain, one after the other


def known_points(study: Study) -> list[Point | None]:
    """One entry per trial: its values, or None where they are for the sampler to say once the
    trials before it are known. Errors: Mistake."""
    if study.sampler == "grid":
        points = list(spaces.grid(study.space, study.unequal))
        if not points:
            raise Mistake("the grid is empty: unequal leaves no point of the space")
        return list(points)
    if study.sampler == "points":
        return list(study.points)
    if study.sampler == "random":
        return list(_random_points(study))
    return [None] * study.trials


def sample_points(study: Study) -> list[Point]:
    """Points that between them have every choice and both ends of every range."""
    ends = {name: _ends(axis) for name, axis in study.space.items()}
    first = {name: values[0] for name, values in ends.items()}
    return [
        first,
        *({**first, name: value} for name, values in ends.items() for value in values[1:]),
    ]


def _ends(axis: Axis) -> list[spaces.Scalar]:
    return list(axis.values) if isinstance(axis, Choices) else [axis.low, axis.high]


def distribution(axis: Axis) -> BaseDistribution:
    if isinstance(axis, Choices):
        return CategoricalDistribution(axis.values)
    if axis.integer:
        return IntDistribution(int(axis.low), int(axis.high), axis.log, int(axis.step or 1))
    return FloatDistribution(axis.low, axis.high, axis.log, axis.step)


def suggested(trial: optuna.Trial, space: Space) -> Point:
    """The values of a trial: those it was made with, else the sampler's."""
    point: Point = {}
    for name, axis in space.items():
        if isinstance(axis, Choices):
            choice = trial.suggest_categorical(name, axis.values)
            assert choice is not None
            point[name] = choice
        elif axis.integer:
            point[name] = trial.suggest_int(
                name, int(axis.low), int(axis.high), step=int(axis.step or 1), log=axis.log
            )
        else:
            point[name] = trial.suggest_float(
                name, axis.low, axis.high, step=axis.step, log=axis.log
            )
    return point


def sampler_for(study: Study, number: int) -> BaseSampler:
    """The sampler of one trial. Its seed is that of the study and the trial's number, so that two
    processes never draw the same."""
    digest = hashlib.sha256(f"gradthru/sweep/{study.seed}/{number}".encode()).digest()
    seed = int.from_bytes(digest[:4], "big")
    if study.sampler == "tpe":
        # What others are running counts as a poor result: processes do not crowd at one place.
        return TPESampler(seed=seed, constant_liar=True)
    return RandomSampler(seed)


def _random_points(study: Study) -> list[Point]:
    """Draws without repetition: a run of the same settings would give the same again."""
    finite = all(isinstance(axis, Choices) for axis in study.space.values())
    if finite and (most := sum(1 for _ in spaces.grid(study.space, study.unequal))) < study.trials:
        raise Mistake(f"trials is {study.trials}, but the space has {most} points")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    source = optuna.create_study(sampler=sampler_for(study, 0))
    points: list[Point] = []
    in_vain = 0
    while len(points) < study.trials:
        point = suggested(source.ask(), study.space)
        if point in points or not spaces.allowed(point, study.unequal):
            in_vain += 1
            if in_vain > MANY_DRAWS:
                raise Mistake(f"found {len(points)} points of the space, wanted are {study.trials}")
            continue
        points.append(point)
        in_vain = 0
    return points
