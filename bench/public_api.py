#!/usr/bin/env python3
"""The Python package beside F.gumbel_softmax(hard=True), as a model calls them.

One call is the sample, its elementwise product with a tensor, the sum, and the backward; the
candidates run in turn, and a ratio is taken within a repetition.
"""

import argparse
import os
import pathlib
import sys
from collections.abc import Callable

import torch
import torch.nn.functional as F
from timing import Step, interleave, ratio

SHAPES = ("3000x10", "100000x16", "8192x1024")
BASELINE = "F.gumbel_softmax"
ROOT = pathlib.Path(__file__).resolve().parent.parent


def call(onehot: Callable, logits: torch.Tensor, weight: torch.Tensor) -> Callable:
    def run() -> None:
        logits.grad = None
        (onehot(logits) * weight).sum().backward()

    return run


def validated(onehot: Callable, logits: torch.Tensor) -> Callable:
    """As it is, once it has given one-hots with a gradient."""
    y = onehot(logits)
    (gradient,) = torch.autograd.grad((y * torch.randn_like(y)).sum(), logits)
    rows = y.detach().round()
    if not (torch.allclose(y, rows, atol=1e-6) and bool((rows.sum(-1) == 1).all())
            and 0 < gradient.abs().sum() < torch.inf):
        raise SystemExit("public_api: a candidate is wrong")
    return onehot


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", default=str(ROOT / "build/release/lib/libgradthru.so"))
    parser.add_argument("--shapes", default=",".join(SHAPES), help="ROWSxCATEGORIES[,…]")
    parser.add_argument("--estimators", default="reinmax(1.3);st", help="separated by ';'")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=25)
    args = parser.parse_args()
    os.environ["GRADTHRU_LIBRARY"] = args.library
    sys.path.insert(0, str(ROOT / "python"))
    import gradthru  # noqa: PLC0415: finds its library by the environment

    torch.set_num_threads(args.threads)
    candidates: dict[str, Callable] = {BASELINE: lambda x: F.gumbel_softmax(x, hard=True)}
    candidates["gradthru.functional.gumbel_softmax"] = (
        lambda x: gradthru.functional.gumbel_softmax(x, hard=True))
    for spec in args.estimators.split(";"):
        estimator = gradthru.parse_estimator(spec)
        candidates[f"gradthru.sample {estimator}"] = (
            lambda x, e=estimator: gradthru.sample(x, e).onehot)
    candidates["no sample at all"] = torch.clone
    for shape in args.shapes.split(","):
        rows, categories = map(int, shape.split("x"))
        logits = torch.randn(rows, categories, requires_grad=True)
        weight = torch.randn(rows, categories)
        steps = {name: Step(call(f if f is torch.clone else validated(f, logits), logits, weight))
                 for name, f in candidates.items()}
        times = interleave(steps, args.repetitions, seconds=60)
        count = len(times[BASELINE])
        print(f"{shape}, {args.threads} thread(s), {count} repetitions: F.gumbel_softmax(hard=True) ÷")
        for name in list(candidates)[1:]:
            r = ratio(times[BASELINE], times[name])
            print(f"  {name:<42} {r.median:6.2f} [{r.low:.2f}, {r.high:.2f}]", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
