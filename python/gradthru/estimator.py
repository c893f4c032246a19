"""Gradient estimators as values."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple, Union

import torch

from ._library import answer, ops


@dataclasses.dataclass(frozen=True)
class Estimator:
    """A gradient estimator: a method with its parameters, as a comparable value.

    Made by the factory of its name (``gradthru.reinmax(1.3)``, ``gradthru.st(tau_f=0.1, tau_b=0.7)``)
    or from a spec string by `parse_estimator`.

    Attributes:
        spec: the shortest spec string that gives this value.
        method: the registry's name, such as ``reinmax``.
        params: what the operators receive; empty while a temperature is a schedule.
        offsets: offsets of the random stream that one sample uses.

    Examples:
        >>> import gradthru
        >>> str(gradthru.parse_estimator("reinmax( tau = 1.30 )"))
        'reinmax(1.3)'
    """

    spec: str
    method: str
    params: tuple[float, ...]
    offsets: int

    def __str__(self) -> str:
        return self.spec

    def __repr__(self) -> str:
        return f"parse_estimator({self.spec!r})"

    def at(self, progress: float) -> Estimator:
        """The same with every schedule replaced by its value.

        Args:
            progress: share of the training that is done; below 0 it is taken as 0, above 1 as 1.

        Examples:
            >>> import gradthru
            >>> str(gradthru.parse_estimator("st(tau=linear(1,0.5))").at(0.5))
            'st(0.75)'
        """
        return parse_estimator(answer(ops.estimator_at, self.spec, progress))


EstimatorLike = Union[Estimator, str]
"""What every function takes for an estimator: a value, or a spec string such as "reinmax(1.3)"."""


class Traits(NamedTuple):
    """What an estimator is and needs; the tests hold every estimator to it.

    Attributes:
        exact: for which functions its mean is the exact gradient: none, linear, quadratic or every.
        needs_gradient: uses the gradient of the function.
        needs_gumbels: draws the index by Gumbel-argmax, K Gumbels per row.
        discrete_only: random only through the discrete sample.
        sampling_tau: the index is drawn from softmax(logits / sampling_tau).
        relaxed: the forward value is soft.
        binary_only: for variables of two categories.
    """

    exact: str
    needs_gradient: bool
    needs_gumbels: bool
    discrete_only: bool
    sampling_tau: float
    relaxed: bool
    binary_only: bool


class About(NamedTuple):
    """What the registry says about a method.

    Attributes:
        summary: one line in words.
        source: where it was published.
        family: pathwise (for `sample`), score (for `expectation`) or network.
        parameters: the keys it takes.
        positional: the key of its positional value, or "".
    """

    summary: str
    source: str
    family: str
    parameters: list[str]
    positional: str


@functools.lru_cache(maxsize=1024)
def _parsed(spec: str) -> Estimator:
    shortest, method, params, offsets = answer(ops.estimator, spec)
    return Estimator(shortest, method, tuple(params), offsets)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _constant(spec: str) -> Estimator:
    """For the tracer: the result depends on nothing but the text."""
    return _parsed(spec)


def parse_estimator(spec: str) -> Estimator:
    """Reads a spec string, ``name(key=value, …)``.

    Args:
        spec: a name alone, or with its parameters; one positional value where the estimator's page
            names it.

    Returns:
        The value, with defaults for what is not said.

    Raises:
        ValueError: an unknown name or key (with the nearest known one), a malformed value, or one
            outside its domain.

    Examples:
        >>> import gradthru
        >>> gradthru.parse_estimator("gst(p, tau=0.7)").method
        'gst'
    """
    estimator: Estimator = _constant(spec)
    return estimator


def as_estimator(estimator: EstimatorLike) -> Estimator:
    """The value that a spec string stands for; a value stays itself."""
    return parse_estimator(estimator) if isinstance(estimator, str) else estimator


def traits(estimator: EstimatorLike) -> Traits:
    """What an estimator is and needs.

    Args:
        estimator: an `Estimator` or a spec string.

    Raises:
        ValueError: a spec string that is none.

    Examples:
        >>> import gradthru
        >>> gradthru.traits("reinmax").exact
        'quadratic'
    """
    return Traits(*answer(ops.traits, as_estimator(estimator).spec))


def about(estimator: EstimatorLike) -> About:
    """What the registry says about a method.

    Args:
        estimator: an `Estimator` or a spec string; its parameters do not matter.

    Raises:
        ValueError: a spec string that is none.

    Examples:
        >>> import gradthru
        >>> gradthru.about("st").parameters
        ['tau_f', 'tau_b']
    """
    return About(*answer(ops.about, as_estimator(estimator).spec))


def cite(estimator: EstimatorLike) -> str:
    """Where an estimator was published.

    Args:
        estimator: an `Estimator` or a spec string.

    Returns:
        Authors, title and place, in one line.

    Raises:
        ValueError: a spec string that is none.

    Examples:
        >>> import gradthru
        >>> gradthru.cite("reinmax")
        'Liu et al., Bridging Discrete and Backpropagation, arXiv 2304.08612'
    """
    return about(estimator).source


def estimators() -> list[str]:
    """The names of all estimators, in the registry's order.

    Each is a factory in this module, too: ``gradthru.reinmax(1.3)``.

    Examples:
        >>> import gradthru
        >>> gradthru.estimators()[:3]
        ['st', 'identity', 'darn']
    """
    return list(ops.estimator_names())


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ":".join(_text(v) for v in value)
    return repr(value) if isinstance(value, float) else str(value)


def factory(name: str) -> Callable[..., Estimator]:
    """The function that makes estimators of one name from Python values."""

    def make(*positional: object, **parameters: object) -> Estimator:
        words = [_text(value) for value in positional]
        words += [f"{key}={_text(value)}" for key, value in parameters.items()]
        return parse_estimator(f"{name}({','.join(words)})" if words else name)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = _described(name)
    return make


def _described(name: str) -> str:
    """The docstring of a factory."""
    told = about(default_spec(name))
    keys = [f"{key} (positional)" if key == told.positional else key for key in told.parameters]
    return (f"{name}: {told.summary}.\n\nParameters: {', '.join(keys) or 'none'}; their domains and "
            f"defaults are in docs/estimators/{name}.md.\n\nReturns:\n    An `Estimator`.\n\n"
            "Raises:\n    ValueError: an unknown key, or a value outside its domain.\n\n"
            f"Source: {told.source}.")


def default_spec(name: str) -> str:
    """A spec of the method that parses: some must be told values."""
    return "mve_scalar(values=0:1)" if name == "mve_scalar" else name
