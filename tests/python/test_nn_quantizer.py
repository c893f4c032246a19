"""gradthru.nn.VectorQuantizer against formulas written with plain PyTorch and numbers by hand."""

import copy

import pytest
import torch
from torch.nn import functional as F

import gradthru
from gradthru.nn import VectorQuantizer
from support.tensors import KEY, compiled, gradients_of, leaf, normal


def distances(x, codes):
    return (x.unsqueeze(-2) - codes).square().sum(-1)


def spread_out(quantizer, seed=4):
    with torch.no_grad():
        quantizer.weight.copy_(normal(*quantizer.weight.shape, seed=seed))
    return quantizer


def test_quantizer_takes_the_nearest_code_and_hands_the_gradient_on():
    q, x = spread_out(VectorQuantizer(8, 3, commitment=0.5)), leaf(normal(5, 7, 3))
    z = q(x)
    index = distances(x, q.weight).argmin(-1)
    assert torch.equal(z.index, index) and torch.equal(z.quantized, q.weight[index])
    g = normal(5, 7, 3, seed=6)
    assert torch.equal(torch.autograd.grad(z.quantized, x, g, retain_graph=True)[0], g)
    codes = q.weight[index]
    want = 0.5 * (x - codes.detach()).square().mean() + (x.detach() - codes).square().mean()
    torch.testing.assert_close(z.loss, want)
    torch.testing.assert_close(torch.autograd.grad(z.loss, (x, q.weight)),
                               torch.autograd.grad(want, (x, q.weight)))
    share = index.flatten().bincount(minlength=8) / 35
    torch.testing.assert_close(z.perplexity, torch.exp(-torch.xlogy(share, share).sum()))
    assert not z.perplexity.requires_grad


def test_rotation_turns_and_scales_the_gradient_as_x_to_its_code():
    q, x = spread_out(VectorQuantizer(6, 4, rotation=True)).double(), leaf(
        normal(20, 4, dtype=torch.double))
    z, g = q(x), normal(20, 4, seed=6, dtype=torch.double)
    code = q.weight[z.index].detach()
    assert torch.equal(z.quantized, code)
    got, = torch.autograd.grad(z.quantized, x, g)
    scale = code.norm(dim=1) / x.detach().norm(dim=1)
    torch.testing.assert_close(got.norm(dim=1), g.norm(dim=1) * scale)
    torch.testing.assert_close(F.cosine_similarity(got, x.detach()), F.cosine_similarity(g, code))
    # The paper's matrix, held constant: R x = the code.
    e, c = F.normalize(x.detach(), dim=1), F.normalize(code, dim=1)
    r = F.normalize(e + c, dim=1)

    def outer(a, b):
        return a.unsqueeze(2) * b.unsqueeze(1)

    R = torch.eye(4, dtype=torch.double) - 2 * outer(r, r) + 2 * outer(c, e)
    turned = (R @ x.unsqueeze(2)).squeeze(2) * scale[:, None]
    torch.testing.assert_close(turned.detach(), code)
    torch.testing.assert_close(got, torch.autograd.grad(turned, x, g)[0])
    with torch.no_grad():
        x[0] = 0
        x[1] = -code[1]
    assert torch.autograd.grad(q(x).quantized, x, g)[0].isfinite().all()


@pytest.mark.parametrize("spec", ["reinmax", "identity", "gumbel_rao(3)"])
def test_sampled_codes_have_the_estimators_gradient(spec):
    q, x = spread_out(VectorQuantizer(8, 3, spec, tau=0.7)).double(), leaf(
        normal(9, 3, dtype=torch.double))
    z = q(x, key=KEY)
    drawn = gradthru.sample(-distances(x, q.weight) / 0.7, spec, key=KEY)
    want = drawn.onehot @ q.weight
    assert torch.equal(z.index, drawn.index) and torch.equal(z.quantized, q.weight[z.index])
    for mine, other in zip(gradients_of(z.quantized, x, q.weight),
                           gradients_of(want, x, q.weight), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-12)
        assert mine.abs().sum() > 0


def test_the_backward_sees_the_codebook_of_its_forward():
    q, x = spread_out(VectorQuantizer(8, 3, "st", ema=0.5)), normal(9, 3)
    gradients = []
    for module in (q, copy.deepcopy(q).eval()):
        y = leaf(x)
        z = module(y, key=KEY)
        (z.quantized.square().sum() + z.loss).backward()
        gradients.append(y.grad)
    assert torch.equal(*gradients)


def test_ema_moves_the_codebook_as_computed_by_hand():
    q = spread_out(VectorQuantizer(3, 1, ema=0.75, commitment=1.0))
    with torch.no_grad():
        q.weight.copy_(torch.tensor([[0.0], [1.0], [9.0]]))
        q.sums.copy_(q.weight)
    x = leaf(torch.tensor([[0.2], [-0.4], [1.5], [0.9]]))
    z = q(x)
    assert z.index.tolist() == [0, 0, 1, 1]
    torch.testing.assert_close(z.loss, torch.tensor((0.04 + 0.16 + 0.25 + 0.01) / 4))
    uses = torch.tensor([0.75 + 0.5, 0.75 + 0.5, 0.75])
    sums = torch.tensor([0.25 * -0.2, 0.75 + 0.25 * 2.4, 0.75 * 9])
    torch.testing.assert_close(q.uses, uses)
    torch.testing.assert_close(q.sums.flatten(), sums)
    smoothed = (uses + 1e-5) / (3.25 + 3e-5) * 3.25
    torch.testing.assert_close(q.weight.flatten(), sums / smoothed)
    z.loss.backward()
    torch.testing.assert_close(x.grad.flatten(), 2 / 4 * torch.tensor([0.2, -0.4, 0.5, -0.1]))
    before = {name: tensor.clone() for name, tensor in q.state_dict().items()}
    q.eval()(x)
    assert all(torch.equal(before[name], tensor) for name, tensor in q.state_dict().items())
    assert not list(q.parameters())


@pytest.mark.parametrize("ema", [None, 0.5])
def test_a_dead_code_is_put_on_a_vector_of_the_batch(ema):
    q = VectorQuantizer(4, 2, ema=ema, dead_code=0.9)
    with torch.no_grad():
        q.weight.copy_(torch.tensor([[0.0, 0.0], [100.0, 0.0], [0.0, 100.0], [1.0, 1.0]]))
        if ema is not None:
            q.sums.copy_(q.weight)
        q.uses[1:3] = 0.5
    x = leaf(normal(50, 2) / 4 + 0.5)
    other = copy.deepcopy(q)
    z = q(x, key=KEY)
    assert z.index.unique().tolist() == [0, 3]  # the call itself still sees the old codebook
    for code in (1, 2):
        assert (q.weight[code] == x).all(1).any()
    assert not torch.equal(q.weight[1], q.weight[2]) and torch.equal(q.uses[1:3], torch.ones(2))
    if ema is not None:
        assert torch.equal(q.sums[1:3], q.weight[1:3])
    other(x, key=KEY)
    assert torch.equal(other.weight, q.weight)  # a pure function of the key
    (z.quantized.sum() + z.loss).backward()  # the backward sees the codebook of its forward
    codes = torch.tensor([[0.0, 0.0], [1.0, 1.0]])[(z.index == 3).long()]
    torch.testing.assert_close(x.grad, 1 + 0.25 * 2 * (x.detach() - codes) / 100)


def test_a_vector_with_nan_spoils_only_its_own_place():
    x = normal(6, 3)
    x[2, 1] = torch.nan
    for q in (VectorQuantizer(8, 3, ema=0.9), VectorQuantizer(8, 3, "st", ema=0.9)):
        z = q(x)
        assert z.index[2] == -1 and z.quantized[2].isnan().all()
        assert z.quantized[[0, 1, 3, 4, 5]].isfinite().all() and q.weight.isfinite().all()


@pytest.mark.parametrize("options", [{}, {"rotation": True}, {"ema": 0.9, "dead_code": 0.5},
                                     {"estimator": "reinmax"}])
def test_quantizer_compiles(options):
    q, x, y = VectorQuantizer(8, 3, **options), leaf(normal(5, 3)), leaf(normal(5, 3))
    twin = copy.deepcopy(q)
    a, b = q(x, key=KEY), compiled(twin)(y, key=KEY)
    for mine, other in zip(a, b, strict=True):
        assert torch.equal(mine, other)
    (a.quantized.square().sum() + a.loss).backward()
    (b.quantized.square().sum() + b.loss).backward()
    assert torch.equal(x.grad, y.grad)
    for mine, other in zip(q.state_dict().values(), twin.state_dict().values(), strict=True):
        assert torch.equal(mine, other)


def test_quantizer_draws_only_what_it_needs():
    q = VectorQuantizer(4, 3, "gumbel_rao(3)", dead_code=1.0)
    assert q.offsets_used == gradthru.offsets_used("gumbel_rao(3)") + 1
    nearest = VectorQuantizer(4, 3)
    state = torch.get_rng_state()
    nearest(normal(5, 3))
    assert torch.equal(torch.get_rng_state(), state) and nearest.offsets_used == 0


def test_quantizer_measures_distances_in_full_precision_under_autocast():
    q = spread_out(VectorQuantizer(64, 8))
    x = normal(200, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(q(x).index, distances(x, q.weight).argmin(-1))
