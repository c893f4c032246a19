"""Tensors and functions that several files of tests use."""

import torch

from gradthru import Key

KEY = Key(seed=7, offset=3)


def normal(*shape, seed=1, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def leaf(x):
    return x.detach().clone().requires_grad_()


def compiled(function):
    return torch.compile(function, fullgraph=True, backend="aot_eager")


def gradients_of(rows, *leaves):
    """Of a function of the rows whose gradient differs in every place."""
    return torch.autograd.grad((rows * normal(*rows.shape, seed=9)).square().sum(), leaves)
