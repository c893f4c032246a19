"""Stochastic binary layers and networks against slow loops, plain autograd and the C++ network.

binary_network_cpp.json has what C++ prints for the networks of `network()`: the value of loss() at
seed 11, offset 5, batch0 3 and the product of its gradient with waves, and an evaluation.
"""

import itertools
import json
import pathlib

import pytest
import torch
from torch.nn import functional as F

from gradthru import Key, nn
from gradthru.nn import StochasticBinaryConv2d, StochasticBinaryLinear, StochasticBinarySequential
from support.tensors import KEY, compiled, leaf, normal

CPP = json.loads((pathlib.Path(__file__).parent / "binary_network_cpp.json").read_text())


def wave(shape, scale, phase):
    n = torch.Size(shape).numel()
    return (torch.arange(n, dtype=torch.double) * 0.7 + phase).sin().reshape(shape) * scale


def network(kind, coding):
    """The network, input and classes whose losses and gradients C++ has printed."""
    if kind == "linear":
        layers = [StochasticBinaryLinear(m, n, coding) for m, n in ((6, 5), (5, 7), (7, 4))]
        x = wave((8, 6), 1.5, 0.2)
    else:
        layers = [StochasticBinaryConv2d(2, 4, 3, padding=1, coding=coding),
                  StochasticBinaryConv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0),
                                         dilation=(1, 2), groups=2, coding=coding),
                  StochasticBinaryLinear(54, 5, coding)]
        x = wave((8, 2, 5, 5), 1.5, 0.2)
    net = StochasticBinarySequential(layers, 3).double()
    with torch.no_grad():
        for i, p in enumerate(net.parameters()):
            p.copy_(wave(p.shape, 0.8, i))
    return net, x, torch.arange(8) % 3


@pytest.mark.parametrize("name", CPP)
def test_network_has_the_draws_and_gradients_of_the_one_in_cpp(name):
    net, x, y = network(*name.split())
    for spec, numbers in CPP[name].items():
        if spec == "evaluate":
            e = net.evaluate(x, y, 4, batch0=3, key=Key(2))
            got = [e.loss, e.acc1, e.acc_ens[-1], e.entropy[1]]
            assert got == pytest.approx(numbers, rel=1e-12)
            continue
        net.zero_grad()
        value = net(x, y, spec, batch0=3, key=Key(11, 5))
        value.backward()
        along = sum((p.grad * wave(p.shape, 1, i + 0.5)).sum().item()
                    for i, p in enumerate(net.parameters()))
        assert [value.item(), along] == pytest.approx(numbers, rel=1e-10), spec


def slow_psa(net, x, y, states):
    """Gradients of the preactivations of linear layers by the rule itself, unit by unit."""
    kappa, layers = (2.0 if net.coding == "pm1" else 1.0), net.layers
    sign = [torch.where(s > 0, 1.0, -1.0).double() for s in states]
    below = [x, *states[:-1]]
    a = [layer.preactivation(u) for layer, u in zip(layers, below, strict=True)]

    def loss(top):
        return F.cross_entropy(top @ net.weight.t() + net.bias, y, reduction="none")

    d = torch.zeros_like(states[-1])
    for i in range(d.shape[1]):
        flipped = states[-1].clone()
        flipped[:, i] -= kappa * sign[-1][:, i]
        d[:, i] = loss(states[-1]) - loss(flipped)
    gradients = [torch.empty(0)] * len(layers)
    for level in reversed(range(len(layers))):
        s, w = sign[level], layers[level].weight
        gradients[level] = s * torch.sigmoid(a[level]) * torch.sigmoid(-a[level]) * d
        if level == 0:
            break
        d_below = torch.zeros_like(states[level - 1])
        for i, j in itertools.product(range(w.shape[1]), range(w.shape[0])):
            after = a[level][:, j] - kappa * w[j, i] * sign[level - 1][:, i]
            change = torch.sigmoid(a[level][:, j]) - torch.sigmoid(after)
            d_below[:, i] += s[:, j] * change * d[:, j]
        d = d_below
    return gradients


@pytest.mark.parametrize("coding", ["pm1", "01"])
def test_psa_is_its_rule_unit_by_unit(coding):
    net, x, y = network("linear", coding)
    states = [sample.x for sample in net.sample(x, key=KEY)]
    net(x, y, "psa", key=KEY).backward()
    with torch.no_grad():
        want = slow_psa(net, x, y, states)
    for layer, below, grad in zip(net.layers, [x, *states], want, strict=False):
        torch.testing.assert_close(layer.weight.grad, grad.t() @ below / 8, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(layer.bias.grad, grad.sum(0) / 8, rtol=1e-9, atol=1e-12)


def test_psa_in_a_convolution_is_that_of_its_matrix():
    conv = StochasticBinaryConv2d(2, 3, (2, 1), stride=(1, 2), padding=(1, 0), groups=1).double()
    units = leaf(torch.sign(normal(4, 2, 3, 5, dtype=torch.double)))
    eye = torch.eye(30, dtype=torch.double).view(30, 2, 3, 5)
    with torch.no_grad():
        matrix = (conv.preactivation(eye) - conv.preactivation(0 * eye[:1])).flatten(1).t()
        dense = StochasticBinaryLinear(30, matrix.shape[0]).double()
        dense.weight.copy_(matrix)
        dense.bias.copy_(conv.preactivation(0 * eye[:1]).flatten())
    flat, g = leaf(units.flatten(1)), normal(4, matrix.shape[0], dtype=torch.double)
    (conv(units, key=KEY).flatten(1) * g).sum().backward()
    (dense(flat, key=KEY) * g).sum().backward()
    torch.testing.assert_close(units.grad.flatten(1), flat.grad, rtol=1e-9, atol=1e-12)
    assert flat.grad.abs().sum() > 0


@pytest.mark.parametrize("coding", ["pm1", "01"])
def test_psa_with_one_hidden_layer_is_exact(coding):
    """The mean over all states by their probabilities is the gradient of the expectation."""
    net = StochasticBinarySequential([StochasticBinaryLinear(3, 4, coding)], 2).double()
    x, y = normal(5, 3, dtype=torch.double), torch.tensor([0, 1, 1, 0, 1])
    layer, off = net.layers[0], -1.0 if coding == "pm1" else 0.0
    objective = torch.zeros((), dtype=torch.double)
    mean = torch.zeros_like(layer.weight)
    for bits in itertools.product((off, 1.0), repeat=4):
        state = torch.tensor(bits, dtype=torch.double).expand(5, 4)
        a = layer.preactivation(x)
        p = F.logsigmoid(torch.where(state > 0, a, -a)).sum(1).exp()
        f = F.cross_entropy(state @ net.weight.t() + net.bias, y, reduction="none")
        objective = objective + (p * f).mean()
        for n in range(5):
            value = net(x[n:n + 1], y[n:n + 1], "psa", given=[state[:1]], key=KEY)
            mean += p[n].detach() / 5 * torch.autograd.grad(value, layer.weight)[0]
    torch.testing.assert_close(mean, torch.autograd.grad(objective, layer.weight)[0])


@pytest.mark.parametrize("coding, kappa", [("pm1", 2.0), ("01", 1.0)])
def test_st_and_hard_st_have_their_slopes(coding, kappa):
    layer = StochasticBinaryLinear(3, 40, coding).double()
    x = leaf(normal(5, 3, dtype=torch.double) * 3)
    g = normal(5, 40, dtype=torch.double)
    for method, slope in (("st", lambda a: kappa * torch.sigmoid(a) * torch.sigmoid(-a)),
                          ("hard_st", lambda a: (a.abs() < 1).double() * kappa / 2)):
        z = layer.sample(x, method, input="real", key=KEY)
        assert set(z.x.unique().tolist()) == {1 - kappa, 1.0}
        got = torch.autograd.grad(z.x, (x, layer.weight), g)
        want = torch.autograd.grad(layer.preactivation(x), (x, layer.weight),
                                   g * slope(z.preactivation.detach()))
        torch.testing.assert_close(got, want)


def test_a_batch_in_pieces_has_the_draws_of_the_whole():
    net, x, y = network("convolutional", "pm1")
    whole = net.sample(x, key=KEY)
    parts = [net.sample(x[first:first + 4], batch0=first, key=KEY) for first in (0, 4)]
    for level, sample in enumerate(whole):
        assert torch.equal(sample.x, torch.cat([part[level].x for part in parts]))
    value = net(x, y, "psa", key=KEY)
    halves = [net(x[i:i + 4], y[i:i + 4], "psa", batch0=i, key=KEY) for i in (0, 4)]
    torch.testing.assert_close(value, (halves[0] + halves[1]) / 2)
    given = [sample.x for sample in whole]
    assert torch.equal(value, net(x, y, "psa", given=given, key=Key(1)))


@pytest.mark.parametrize("loss", ["softmax_nll", "logistic", "squared"])
def test_head_value_is_the_average_over_single_units(loss):
    C = 1 if loss == "logistic" else 3
    x, a = torch.sign(normal(4, 5, dtype=torch.double)), normal(4, 5, seed=2, dtype=torch.double)
    weight, bias = leaf(normal(C, 5, dtype=torch.double)), leaf(normal(C, dtype=torch.double))
    y = {"softmax_nll": torch.tensor([0, 2, 1, 1]),
         "logistic": torch.tensor([1, -1, -1, 1]).double(),
         "squared": normal(4, C, dtype=torch.double)}[loss]
    want = torch.zeros(4, dtype=torch.double)
    for i in range(5):
        for state in (-1.0, 1.0):
            with_state = x.clone()
            with_state[:, i] = state
            p = torch.sigmoid(state * a[:, i])
            want = want + p * nn.loss_of(loss, with_state @ weight.t() + bias, y) / 5
    value = nn.head_loss(x, a, weight, bias, y, loss=loss)
    torch.testing.assert_close(value, want)
    torch.testing.assert_close(torch.autograd.grad(value.sum(), (weight, bias)),
                               torch.autograd.grad(want.sum(), (weight, bias)))


def test_normalise_gives_preactivations_of_mean_0_and_deviation_1():
    net, x, _ = network("convolutional", "pm1")
    net.normalise(x)
    means = x
    for layer in net.layers:
        means = means.flatten(1) if isinstance(layer, StochasticBinaryLinear) else means
        a = layer.preactivation(means)
        axes = [axis for axis in range(a.dim()) if axis != 1]
        torch.testing.assert_close(a.mean(axes), torch.zeros_like(a.mean(axes)), atol=1e-9, rtol=0)
        torch.testing.assert_close(a.std(axes, correction=0), torch.ones_like(a.mean(axes)))
        means = torch.tanh(a / 2)


@pytest.mark.parametrize("spec", ["psa", "hard_st", "st", "concrete(0.7)", "local_reparam"])
def test_network_compiles_and_differentiates_functionally(spec):
    net, x, y = network("convolutional", "01")
    want = torch.autograd.grad(net(x, y, spec, key=KEY), list(net.parameters()))
    got = torch.autograd.grad(compiled(net)(x, y, spec, key=KEY), list(net.parameters()))
    detached = {name: p.detach() for name, p in net.named_parameters()}
    functional = torch.func.grad(
        lambda p: torch.func.functional_call(net, p, (x, y, spec), {"key": KEY}))(detached)
    for mine, other, name in zip(want, got, detached, strict=True):
        assert torch.equal(mine, other)
        torch.testing.assert_close(functional[name], mine)


@pytest.mark.filterwarnings("error")  # such as: no batching rule
@pytest.mark.parametrize("kind", ["linear", "convolutional"])
@pytest.mark.parametrize("spec", ["psa", "hard_st", "zgr"])
def test_gradients_per_example_by_vmap(spec, kind):
    net, x, y = network(kind, "pm1")
    parameters = {name: p.detach() for name, p in net.named_parameters()}

    def loss(p, x, y):
        return torch.func.functional_call(net, p, (x[None], y[None], spec), {"key": KEY})

    got = torch.vmap(torch.func.grad(loss), (None, 0, 0), randomness="same")(parameters, x, y)
    for n in range(8):
        want = torch.autograd.grad(net(x[n:n + 1], y[n:n + 1], spec, key=KEY),
                                   list(net.parameters()))
        for name, gradient in zip(parameters, want, strict=True):
            torch.testing.assert_close(got[name][n], gradient)


@pytest.mark.parametrize("spec", ["psa", "hard_st", "st", "concrete(0.7)", "ap2"])
def test_autocast_changes_little(spec):
    net, x, y = network("convolutional", "pm1")
    net, x = net.float(), x.float()
    given = None if spec in ("concrete(0.7)", "ap2") else [s.x for s in net.sample(x, key=KEY)]
    want = torch.autograd.grad(net(x, y, spec, given=given, key=KEY), list(net.parameters()))
    with torch.autocast("cpu", torch.bfloat16):
        value = net(x, y, spec, given=given, key=KEY)
    for mine, other in zip(torch.autograd.grad(value, list(net.parameters())), want, strict=True):
        assert mine.dtype == torch.float32 and (mine - other).norm() < 0.1 * other.norm()


@pytest.mark.parametrize("spec", ["psa", "hard_st", "st"])
def test_a_second_derivative_of_a_network_is_refused(spec):
    net, x, y = network("linear", "pm1")
    for weight in (net.weight, net.layers[0].weight):
        g, = torch.autograd.grad(net(x, y, spec, key=KEY), weight, create_graph=True)
        with pytest.raises(RuntimeError, match="second order is refused"):
            g.sum().backward()
