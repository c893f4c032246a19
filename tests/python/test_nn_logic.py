"""gradthru.nn.LogicGateLayer: the gates by their truth tables, draws, transforms."""

import copy

import pytest
import torch
from torch.library import opcheck

import gradthru
from gradthru.nn import LogicGateLayer, group_sum
from support.tensors import KEY, compiled, gradients_of, leaf, normal

OPS = torch.ops.gradthru


def layer(inputs=7, gates=12, estimator="reinmax(1.3)", seed=3):
    made = LogicGateLayer(inputs, gates, estimator, seed=seed).double()
    with torch.no_grad():
        made.logits.copy_(normal(gates, 16).double())
    return made


def by_definition(x, made, mixture):
    """Bit 3 - 2a - b of k is function k at (a, b)."""
    a, b = x[:, made.left], x[:, made.right]
    cells = [(1 - a) * (1 - b), (1 - a) * b, a * (1 - b), a * b]
    return sum(mixture[:, k] * cells[place] for k in range(16) for place in range(4)
               if k >> (3 - place) & 1)


def arguments(dtype=torch.float64):
    left, right = OPS.logic_wiring(5, 9, 1)
    x, c = normal(5, 6).to(dtype), normal(9, 4).to(dtype)
    return x, left, right, c


def test_operators_pass_opcheck():
    x, left, right, c = arguments()
    opcheck(OPS.logic_gates.default, (leaf(x), left, right, leaf(c)))
    opcheck(OPS.logic_gates_backward.default, (normal(9, 6).double(), x, left, right, c))
    assert torch.autograd.gradcheck(lambda x, c: OPS.logic_gates(x, left, right, c),
                                    (leaf(x), leaf(c)))


@pytest.mark.parametrize("estimator", ["st", None])
def test_gates_are_their_definition_with_gradients(estimator):
    made, x = layer(estimator=estimator), leaf(normal(6, 7).double().sigmoid())
    if estimator is None:
        mixture = made.logits.softmax(-1)
    else:
        mixture = gradthru.sample(made.logits, "st", key=KEY).onehot
    ours, theirs = made(x, key=KEY), by_definition(x, made, mixture)
    weight = normal(6, 12).double()
    torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-13)
    for mine, wanted in zip(gradients_of((ours * weight).sum(), x, made.logits),
                            gradients_of((theirs * weight).sum(), x, made.logits), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-12, atol=1e-13)


def test_evaluation_takes_the_most_probable_function():
    made, bits = layer().eval(), torch.randint(2, (20, 7)).double()
    y = made(bits)
    a, b = bits[:, made.left].long(), bits[:, made.right].long()
    assert torch.equal(y.long(), made.gates() >> (3 - 2 * a - b) & 1)


def test_compiles_and_copies():
    made, x = layer(), normal(6, 7).double().sigmoid()
    again = copy.deepcopy(made)
    assert torch.equal(again(x, key=KEY), made(x, key=KEY))
    torch.testing.assert_close(compiled(made)(x, key=KEY), made(x, key=KEY), rtol=0, atol=0)
    loaded = layer(seed=4)
    assert not torch.equal(loaded.left, made.left)
    loaded.load_state_dict(made.state_dict())
    assert torch.equal(loaded(x, key=KEY), made(x, key=KEY))


def test_functional_transforms():
    made, x = layer(estimator=None), normal(4, 6, 7).double().sigmoid()
    batched = torch.vmap(made)(x)
    torch.testing.assert_close(batched, torch.stack([made(part) for part in x]))
    gradients = torch.vmap(torch.func.grad(lambda part: made(part).pow(2).sum()))(x)
    for part, gradient in zip(x, gradients, strict=True):
        again = leaf(part)
        (wanted,) = torch.autograd.grad(made(again).pow(2).sum(), again)
        torch.testing.assert_close(wanted, gradient)


def test_group_sum():
    x = torch.arange(12.0).reshape(2, 6)
    assert torch.equal(group_sum(x, 2, 10), torch.tensor([[0.3, 1.2], [2.1, 3.0]]))


@pytest.mark.parametrize("make, error, words", [
    (lambda: LogicGateLayer(1, 4), ValueError, "inputs must be >= 2, got 1"),
    (lambda: LogicGateLayer(4, 0), ValueError, "gates must be >= 1, got 0"),
    (lambda: LogicGateLayer(4, 4, "rloo"), ValueError, "use expectation"),
    (lambda: layer()(normal(3, 6).double()), ValueError, r"must be \[B, 7\], got \[3, 6\]"),
    (lambda: layer()(normal(3, 7).half()), TypeError, "float32 or float64"),
    (lambda: group_sum(normal(3, 7), 2), ValueError, "multiple of the groups 2"),
    (lambda: OPS.logic_gates(*arguments()[:3], normal(9, 3).double()), ValueError, r"\[gates, 4\]"),
    (lambda: OPS.logic_gates(arguments()[0], *[torch.full((9,), 5)] * 2, arguments()[3]),
     IndexError, r"\[0, 4\], got 5"),
])
def test_bad_arguments_are_refused_in_words(make, error, words):
    with pytest.raises(error, match=words):
        make()
