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
ENTRIES = dict(re.findall(r'^GRADTHRU_ESTIMATOR\((\w+), \w+, "([^"]*)"', REGISTRY, re.MULTILINE))
PARAMETERS = re.findall(r"^GRADTHRU_PARAMETER\((\w+)", REGISTRY, re.MULTILINE)
VALUES = {"tau_f": 1.5, "tau_b": 0.7, "noise": 1.0, "samples": 2.0}
NUMBERS = [VALUES.get(name, 1.0) for name in PARAMETERS]
WITH_VALUES = [name for name in METHODS if "values" in ENTRIES[name].split()]
STREAM = (11, 5, 3)  # seed, offset, row0


def logits(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def numbers(method: str, categories: int = 4) -> list[float]:
    """The parameters, then one value for each category where the method takes them."""
    return NUMBERS + [k * k / 2 for k in range(categories)] * (method in WITH_VALUES)


def sample_arguments(argument, method="st", dim=-1, samples=None, *, index=None, mask=None,
                     tau_f=None, tau_b=None, params=None, uniform_mix=0.0):
    params = numbers(method) if params is None else params
    return (argument, index, mask, tau_f, tau_b, method, params, uniform_mix, *STREAM, dim, samples)


def backward_arguments(grad, argument, index, method, *, mask=None, tau_f=None, tau_b=None,
                       params=None, uniform_mix=0.0, given=True):
    params = numbers(method) if params is None else params
    return (grad, argument, index, mask, tau_f, tau_b, params, uniform_mix, *STREAM, -1, given)


def binary_arguments(argument, method, *, tau_f=None, tau_b=None, params=None, uniform_mix=0.0):
    params = numbers(method, 2) if params is None else params
    return (argument, None, tau_f, tau_b, method, params, uniform_mix, *STREAM, True, None)


@pytest.mark.parametrize("samples", [None, 3])
@pytest.mark.parametrize("method", METHODS)
def test_sample_passes_opcheck(method, samples):
    argument = logits(5, 4, 2).requires_grad_()
    opcheck(OPS.sample.default, sample_arguments(argument, method, 1, samples))


@pytest.mark.parametrize("method", METHODS)
def test_sample_index_passes_opcheck_and_is_the_index_of_sample(method):
    argument = logits(5, 4, 2)
    argument[1, 0, 0] = torch.nan
    argument[2, :, 1] = -torch.inf
    for samples in (None, 3):
        arguments = sample_arguments(argument, method, 1, samples)
        opcheck(OPS.sample_index.default, arguments)
        index = OPS.sample_index(*arguments)
        assert torch.equal(index.clamp(min=-1), OPS.sample(*arguments)[1])
        assert (index[..., 1, 0] == -1).all()
        assert (index[..., 2, 1] == -2).all()
    assert not OPS.sample_index(*sample_arguments(logits(3, 4).requires_grad_(), method)).requires_grad


def option_tensors(method, mask, rows):
    """A mask and per-row temperatures, as far as the method takes them."""
    tau = torch.linspace(0.5, 2.0, rows)
    taken = re.findall(r"tau_[fb]", ENTRIES[method])
    return {"mask": mask} | {name: tau for name in taken}


@pytest.mark.parametrize("method", METHODS)
def test_options_pass_opcheck(method):
    argument = logits(5, 4).requires_grad_()
    options = option_tensors(method, torch.tensor([True, False, True, True]), rows=5)
    opcheck(OPS.sample.default, sample_arguments(argument, method, samples=2, **options))
    op = getattr(OPS, method + "_backward").default
    index = torch.tensor([0, 3, 2, -1, 2])
    opcheck(op, backward_arguments(logits(5, 4), logits(5, 4), index, method, **options))
    del options["mask"]
    opcheck(OPS.sample_binary.default,
            binary_arguments(logits(5).requires_grad_(), method, **options))


@pytest.mark.parametrize("method", [name for name in METHODS if "mix" in ENTRIES[name].split()])
def test_uniform_mix_passes_opcheck(method):
    argument = logits(5, 4).requires_grad_()
    opcheck(OPS.sample.default, sample_arguments(argument, method, uniform_mix=0.25))
    opcheck(OPS.sample_binary.default, binary_arguments(argument, method, uniform_mix=0.25))


@pytest.mark.parametrize("method", METHODS)
def test_backward_passes_opcheck(method):
    index = torch.tensor([0, 3, 1, -1, 2])
    op = getattr(OPS, method + "_backward").default
    opcheck(op, backward_arguments(logits(5, 4), logits(5, 4), index, method))


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_backward_never_reads_beyond_the_row(method, given):
    index = torch.tensor([2, 4, 10**15])
    op = getattr(OPS, method + "_backward")
    grad = op(*backward_arguments(logits(3, 4), logits(3, 4), index, method, given=given))
    assert grad[0].isfinite().all() and grad[1:].isnan().all()


@pytest.mark.parametrize("method", METHODS)
def test_binary_ops_pass_opcheck(method):
    argument = logits(6).requires_grad_()
    opcheck(OPS.sample_binary.default, binary_arguments(argument, method))
    op = getattr(OPS, method + "_binary_backward").default
    opcheck(op, (logits(6), logits(6), torch.ones(6), None, None, numbers(method, 2), 0.0, *STREAM,
                 True, False))


def weighted_sum(argument: torch.Tensor, method: str) -> torch.Tensor:
    onehot, _ = OPS.sample(*sample_arguments(argument, method))
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
        OPS.sample(*sample_arguments(logits(5, 4), index=short))
    with torch.inference_mode(), pytest.raises(ValueError, match="unknown method"):
        OPS.sample(*sample_arguments(logits(5, 4), "nobody"))


@pytest.mark.parametrize("arguments, error", [
    ((torch.zeros(5, 4, dtype=torch.long), None, -1, None), "logits must be float64, float32"),
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
        OPS.sample(*sample_arguments(argument, dim=dim, samples=samples, index=index))


@pytest.mark.parametrize("method, options, error", [
    ("st", {"mask": torch.ones(4)}, "mask must be bool, got Float"),
    ("st", {"mask": torch.ones(5, dtype=torch.bool)}, "mask must be broadcastable to the logits"),
    ("st", {"tau_f": torch.ones(5, dtype=torch.long)}, "tau_f must be a floating-point tensor"),
    ("st", {"tau_f": torch.ones(4)}, "tau_f must be broadcastable to the rows"),
    ("st", {"tau_b": torch.ones(5).requires_grad_()}, "tau_b must not require grad"),
    ("zgr", {"tau_b": torch.ones(5)}, "zgr has no parameter tau_b"),
    ("st", {"uniform_mix": 1.0}, r"uniform_mix must be in \[0, 1\), got 1"),
    ("st", {"uniform_mix": float("nan")}, "uniform_mix must be in"),
    ("gst", {"uniform_mix": 0.5}, "uniform_mix must be 0 for gst"),
    ("reinmax", {"uniform_mix": 0.5}, "needs tau_b = tau_f"),
    ("st", {"params": NUMBERS + [1.0]}, "params must have"),
    ("st", {"params": NUMBERS + [1.0] * 4}, "params must have"),
    ("mve_scalar", {"params": NUMBERS}, "one number for each of the 4 categories, got 0"),
    ("mve_scalar", {"params": NUMBERS + [1.0] * 3}, "one number for each of the 4 categories, got 3"),
])
def test_bad_options_are_refused_in_words(method, options, error):
    with pytest.raises((TypeError, ValueError), match=error):
        OPS.sample(*sample_arguments(logits(5, 4), method, **options))


@pytest.mark.parametrize("method, count", [("mve_scalar", 0), ("mve_scalar", 3), ("st", 4)])
def test_the_number_of_values_is_checked_without_autograd(method, count):
    wrong = {"params": NUMBERS + [1.0] * count}
    index = torch.zeros(5, dtype=torch.long)
    with torch.inference_mode(), pytest.raises(ValueError, match="params of the wrong length"):
        OPS.sample(*sample_arguments(logits(5, 4), method, **wrong))
    with torch.inference_mode(), pytest.raises(ValueError, match="params of the wrong length"):
        OPS.sample_binary(*binary_arguments(logits(5), method, **wrong))
    with pytest.raises(ValueError, match="params of the wrong length"):
        getattr(OPS, method + "_backward")(
            *backward_arguments(logits(5, 4), logits(5, 4), index, method, **wrong))
    with pytest.raises(ValueError, match="params of the wrong length"):
        getattr(OPS, method + "_binary_backward")(
            logits(5), logits(5), torch.ones(5), None, None, wrong["params"], 0.0, *STREAM, True, False)


def test_a_mask_changed_before_the_backward_is_noticed():
    argument, mask = logits(5, 4).requires_grad_(), torch.ones(4, dtype=torch.bool)
    onehot, _ = OPS.sample(*sample_arguments(argument, mask=mask))
    mask[0] = False
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        onehot.sum().backward()


def psa_units(*shape, dtype=torch.float32):
    """Flip gradient, preactivation and state of a layer of binary units."""
    return logits(*shape).to(dtype), 2 * logits(*shape).to(dtype), logits(*shape).sign().to(dtype)


CONV = ([2, 1], [1, 0], [1, 2], 2)  # stride, padding, dilation, groups


def psa_conv2d_arguments(dtype=torch.float32, *, requires_grad=False):
    flip_grad, a, state = psa_units(2, 6, 3, 2, dtype=dtype)
    weight, states = logits(6, 2, 3, 3).to(dtype), logits(2, 4, 5, 6).sign().to(dtype)
    return (flip_grad, a.requires_grad_(requires_grad), state, weight, states, True, *CONV)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("plus_minus_one", [True, False])
def test_psa_linear_passes_opcheck(plus_minus_one, dtype):
    weight, states = logits(5, 3).to(dtype), logits(4, 3).sign().to(dtype)
    opcheck(OPS.psa_linear.default, (*psa_units(4, 5, dtype=dtype), weight, states, plus_minus_one))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_psa_conv2d_passes_opcheck(dtype):
    opcheck(OPS.psa_conv2d.default, psa_conv2d_arguments(dtype))


def test_psa_conv2d_keeps_the_memory_format_under_fake_tensors():
    arguments = list(psa_conv2d_arguments())
    arguments[4] = arguments[4].to(memory_format=torch.channels_last)
    opcheck(OPS.psa_conv2d.default, tuple(arguments))
    assert OPS.psa_conv2d(*arguments).is_contiguous(memory_format=torch.channels_last)


def test_psa_refuses_a_second_derivative():
    result = OPS.psa_conv2d(*psa_conv2d_arguments(requires_grad=True))
    with pytest.raises(RuntimeError, match="second order is refused"):
        result.sum().backward()


def test_psa_sizes_are_checked_without_autograd():
    short = torch.ones(4, 2)
    with torch.inference_mode(), pytest.raises(ValueError, match="do not fit"):
        OPS.psa_linear(*psa_units(4, 5), logits(5, 3), short, True)
    arguments = list(psa_conv2d_arguments())
    for position, wrong in [(0, torch.ones(2, 6, 3, 3)), (3, torch.ones(6, 3, 3, 3)),
                            (6, [0, 1]), (7, [1, 1]), (9, 5)]:
        changed = arguments[:position] + [wrong] + arguments[position + 1:]
        with torch.inference_mode(), pytest.raises(ValueError, match="do not fit"):
            OPS.psa_conv2d(*changed)
