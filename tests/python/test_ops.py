"""The registered operators as PyTorch sees them: opcheck, functional transforms, refusals."""

import os
import re

import pytest
import torch
from torch.library import opcheck

torch.ops.load_library(os.environ["GRADTHRU_LIBRARY"])
OPS = torch.ops.gradthru
REGISTRY = open(os.environ["GRADTHRU_REGISTRY"]).read()
METHODS = re.findall(r"^GRADTHRU_ESTIMATOR\((\w+)", REGISTRY, re.MULTILINE)
PARAMETERS = re.findall(r"^GRADTHRU_PARAMETER\((\w+)", REGISTRY, re.MULTILINE)
VALUES = {"tau_f": 1.5, "tau_b": 0.7, "noise": 1.0, "samples": 2.0}
NUMBERS = [VALUES.get(name, 1.0) for name in PARAMETERS]
WITH_VALUES = re.findall(r'^GRADTHRU_ESTIMATOR\((\w+), \w+, "[^"]*\bvalues\b', REGISTRY, re.MULTILINE)
SEED, OFFSET, ROW0 = 11, 5, 3


def logits(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def numbers(method: str, categories: int = 4) -> list[float]:
    """The parameters, then one value for each category where the method takes them."""
    return NUMBERS + [k * k / 2 for k in range(categories)] * (method in WITH_VALUES)


@pytest.mark.parametrize("samples", [None, 3])
@pytest.mark.parametrize("method", METHODS)
def test_sample_passes_opcheck(method, samples):
    argument = logits(5, 4, 2).requires_grad_()
    opcheck(OPS.sample.default, (argument, None, method, numbers(method), SEED, OFFSET, ROW0, 1, samples))


@pytest.mark.parametrize("method", METHODS)
def test_backward_passes_opcheck(method):
    index = torch.tensor([0, 3, 1, -1, 2])
    op = getattr(OPS, method + "_backward").default
    opcheck(op, (logits(5, 4), logits(5, 4), index, numbers(method), SEED, OFFSET, ROW0, -1, True))


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_backward_never_reads_beyond_the_row(method, given):
    index = torch.tensor([2, 4, 10**15])
    op = getattr(OPS, method + "_backward")
    grad = op(logits(3, 4), logits(3, 4), index, numbers(method), SEED, OFFSET, ROW0, -1, given)
    assert grad[0].isfinite().all() and grad[1:].isnan().all()


@pytest.mark.parametrize("method", METHODS)
def test_binary_ops_pass_opcheck(method):
    argument = logits(6).requires_grad_()
    opcheck(OPS.sample_binary.default,
            (argument, None, method, numbers(method, 2), SEED, OFFSET, ROW0, True, None))
    op = getattr(OPS, method + "_binary_backward").default
    opcheck(op, (logits(6), logits(6), torch.ones(6), numbers(method, 2), SEED, OFFSET, ROW0, True, False))


def weighted_sum(argument: torch.Tensor, method: str) -> torch.Tensor:
    onehot, _ = OPS.sample(argument, None, method, numbers(method), SEED, OFFSET, ROW0, -1, None)
    return (onehot * onehot * torch.arange(4.0)).sum()


@pytest.mark.parametrize("method", METHODS)
def test_functional_gradient_equals_backward(method):
    argument = logits(5, 4).requires_grad_()
    weighted_sum(argument, method).backward()
    functional = torch.func.grad(weighted_sum)(argument.detach(), method)
    assert argument.grad.abs().sum() > 0
    assert torch.equal(argument.grad, functional)


def test_forward_mode_is_refused():
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(logits(5, 4), logits(5, 4))
        with pytest.raises(NotImplementedError, match="forward-mode"):
            weighted_sum(dual, "st")


def test_sizes_are_checked_without_autograd():
    short = torch.zeros(3, dtype=torch.long)
    with torch.inference_mode(), pytest.raises(ValueError, match="index"):
        OPS.sample(logits(5, 4), short, "st", NUMBERS, SEED, OFFSET, ROW0, -1, None)
    with torch.inference_mode(), pytest.raises(ValueError, match="unknown method"):
        OPS.sample(logits(5, 4), None, "nobody", NUMBERS, SEED, OFFSET, ROW0, -1, None)


@pytest.mark.parametrize("arguments, error", [
    ((torch.zeros(5, 4, dtype=torch.half), None, -1, None), "float32 or float64"),
    ((torch.zeros(()), None, -1, None), "at least one dimension"),
    ((torch.zeros(5, 4), None, 2, None), "dim must be in"),
    ((torch.zeros(5, 0), None, -1, None), "at least one category"),
    ((torch.zeros(5, 4), None, -1, 0), "samples must be >= 1"),
    ((torch.zeros(5, 4), torch.zeros(5), -1, None), "index must be int64"),
    ((torch.zeros(5, 4), torch.zeros(4, dtype=torch.long), -1, None), "shape of the rows"),
])
def test_bad_tensors_are_refused_in_words(arguments, error):
    argument, index, dim, samples = arguments
    with pytest.raises((TypeError, ValueError, IndexError), match=error):
        OPS.sample(argument, index, "st", NUMBERS, SEED, OFFSET, ROW0, dim, samples)


@pytest.mark.parametrize("method, count", [("mve_scalar", 0), ("mve_scalar", 3), ("st", 4)])
def test_values_are_one_for_each_category(method, count):
    wrong = NUMBERS + [1.0] * count
    with pytest.raises(ValueError, match="numbers|values"):
        OPS.sample(logits(5, 4), None, method, wrong, SEED, OFFSET, ROW0, -1, None)
    with torch.inference_mode(), pytest.raises(ValueError, match="params of the wrong length"):
        OPS.sample(logits(5, 4), None, method, wrong, SEED, OFFSET, ROW0, -1, None)
    for name, shape in ((method + "_backward", (5, 4)), (method + "_binary_backward", (5,))):
        sample = torch.zeros(5, dtype=torch.long) if len(shape) == 2 else torch.zeros(5)
        last = (-1, True) if len(shape) == 2 else (True, True)
        with pytest.raises(ValueError, match="params of the wrong length"):
            getattr(OPS, name)(logits(*shape), logits(*shape), sample, wrong, SEED, OFFSET, ROW0, *last)
