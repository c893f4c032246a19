"""The operator `gradthru::sample` as these measurements call it: the one place that knows it."""

import itertools
import pathlib
import re
from collections.abc import Callable

import torch

REGISTRY = pathlib.Path(__file__).resolve().parent.parent / "include/gradthru/estimators.def"
SEED = 20240131


def load(library: str) -> None:
    torch.ops.load_library(library)


def parameter_names() -> list[str]:
    return re.findall(r"^GRADTHRU_PARAMETER\((\w+)", REGISTRY.read_text(), re.MULTILINE)


def numbers(spec) -> list[float]:
    """The parameters in the registry's order; what a spec does not name has its default."""
    values = {"tau_f": 1, "tau_b": spec.tau, "noise": 0, "gap": spec.gap, "samples": spec.samples,
              "alpha": 1, "consistent": 1, "detach": 1, "hard": 1}
    return [float(values.get(name, 0)) for name in parameter_names()]


def sampler(spec) -> Callable:
    """sample(logits, index=None) -> (onehot, index), with fresh random numbers at every call."""
    op = torch.ops.gradthru.sample.default
    values = {"method": spec.method, "params": numbers(spec), "uniform_mix": 0.0, "seed": SEED,
              "offset": 0, "row0": 0, "dim": -1}
    names = [argument.name for argument in op._schema.arguments]
    template = [values.get(name) for name in names]
    at_logits, at_index, at_offset = map(names.index, ("logits", "index", "offset"))
    used = spec.samples + 2 if spec.method == "gumbel_rao" else 2
    offsets = itertools.count(0, used)

    def sample(logits: torch.Tensor, index: torch.Tensor | None = None):
        arguments = template.copy()
        arguments[at_logits] = logits
        arguments[at_index] = index
        arguments[at_offset] = next(offsets)
        return op(*arguments)

    return sample
