"""gradthru.nn: bottleneck and embedding against gradthru.sample; all modules as modules."""

import copy
import io
import pickle

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

import gradthru
from gradthru.nn import (
    CategoricalBottleneck,
    StochasticBinaryConv2d,
    StochasticBinaryLinear,
    StochasticBinarySequential,
    StraightThroughEmbedding,
    VectorQuantizer,
)
from support.tensors import KEY, compiled, gradients_of, leaf, normal

SPECS = {"mve_scalar": "mve_scalar(values=0:1:2:4:5)"}
PATHWISE = [SPECS.get(name, name) for name in gradthru.estimators()
            if gradthru.about(SPECS.get(name, name)).family == "pathwise"]


MODULES = {
    "bottleneck": lambda: CategoricalBottleneck(3, 4, "reinmax(1.3)"),
    "embedding": lambda: StraightThroughEmbedding(5, 3, "gst(p,tau=0.7)", uniform_mix=0.0),
    "nearest": lambda: VectorQuantizer(8, 3, rotation=True),
    "quantizer": lambda: VectorQuantizer(8, 3, "reinmax", ema=0.9, dead_code=0.5, tau=0.5),
    "linear": lambda: StochasticBinaryLinear(3, 4, "01"),
    "conv": lambda: StochasticBinaryConv2d(2, 4, (3, 2), stride=2, padding=1, groups=2),
    "network": lambda: StochasticBinarySequential([StochasticBinaryLinear(3, 4)], 2),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_copied_pickled_and_loaded(name):
    make = MODULES[name]
    module = make()
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert repr(twin) == repr(module)
        assert twin.state_dict().keys() == module.state_dict().keys()
        for name, mine in module.state_dict().items():
            other = twin.state_dict()[name]
            assert torch.equal(mine, other) and mine.data_ptr() != other.data_ptr()
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    fresh = make()
    fresh.load_state_dict(torch.load(io.BytesIO(file.getvalue())))
    for mine, other in zip(module.state_dict().values(), fresh.state_dict().values(), strict=True):
        assert torch.equal(mine, other)


def test_repr_says_what_was_asked_for():
    assert repr(CategoricalBottleneck(3, 4, "zgr", uniform_mix=0.01)) == (
        "CategoricalBottleneck(3, 4, 'zgr', uniform_mix=0.01)")
    assert repr(VectorQuantizer(8, 3, "reinmax", ema=0.9)) == (
        "VectorQuantizer(8, 3, 'reinmax', commitment=0.25, ema=0.9, tau=1.0)")
    assert repr(StochasticBinaryConv2d(2, 4, 3)) == (
        "StochasticBinaryConv2d(2, 4, (3, 3), stride=(1, 1), padding=(0, 0), dilation=(1, 1), "
        "groups=1, coding='pm1')")


# --- CategoricalBottleneck


@pytest.mark.parametrize("flat", [True, False])
def test_bottleneck_is_sample_on_rows_of_latents(flat):
    bottleneck = CategoricalBottleneck(3, 4, "zgr", uniform_mix=0.1)
    mask = torch.tensor([True, False, True, True])
    x, y = leaf(normal(5, 12) if flat else normal(5, 3, 4)), leaf(normal(5, 3, 4))
    y.data.copy_(x.detach().view(5, 3, 4))
    z = bottleneck(x, key=KEY, mask=mask)
    want = gradthru.sample(y, "zgr", mask=mask, key=KEY, uniform_mix=0.1).onehot
    assert z.shape == x.shape and torch.equal(z.view(5, 3, 4), want)
    weight = normal(5, 3, 4, seed=2)
    (z.view(5, 3, 4) * weight).sum().backward()
    (want * weight).sum().backward()
    assert torch.equal(x.grad.view(5, 3, 4), y.grad) and x.grad.abs().sum() > 0


def test_bottleneck_takes_a_mask_of_each_shape():
    bottleneck, logits = CategoricalBottleneck(3, 4), normal(5, 12)
    mask = normal(5, 12, seed=3) > -0.5
    flat = bottleneck(logits, key=KEY, mask=mask)
    assert torch.equal(flat, bottleneck(logits, key=KEY, mask=mask.view(5, 3, 4)))
    assert not flat[~mask].any() and flat.sum() == mask.view(15, 4).any(1).sum()


def test_bottleneck_in_eval_mode_takes_the_most_probable_category():
    bottleneck = CategoricalBottleneck(2, 5, "gumbel_softmax(0.5,hard=false)", eval_mode="argmax")
    logits = normal(50, 2, 5)
    assert not torch.equal(bottleneck(logits).argmax(-1), logits.argmax(-1))
    state = torch.get_rng_state()
    best = bottleneck.eval()(logits)
    assert torch.equal(best, F.one_hot(logits.argmax(-1), 5).float())
    assert torch.equal(torch.get_rng_state(), state)
    tie = torch.zeros(2, 5)
    assert bottleneck(tie)[:, 0].eq(1).all()


def test_checkpointing_replays_the_draws_from_torchs_generator():
    layer, bottleneck = torch.nn.Linear(6, 12), CategoricalBottleneck(3, 4, "reinmax")
    x, out = normal(7, 6), torch.nn.Linear(12, 1)
    gradients = []
    for run in (lambda f: f(x), lambda f: checkpoint(f, x, use_reentrant=False)):
        torch.manual_seed(5)
        layer.zero_grad()
        out(run(lambda x: bottleneck(layer(x)))).square().sum().backward()
        gradients.append(layer.weight.grad)
    assert torch.equal(*gradients) and gradients[0].abs().sum() > 0


def test_bottleneck_compiles_and_moves_with_a_schedule():
    bottleneck = CategoricalBottleneck(3, 4, gradthru.st(tau="linear(1,0.5)"))
    with pytest.raises(ValueError, match="use e.at"):
        bottleneck(normal(5, 12))
    bottleneck.estimator = bottleneck.estimator.at(0.5)
    x, y = leaf(normal(5, 12)), leaf(normal(5, 12))
    compiled(bottleneck)(x, key=KEY).square().sum().backward()
    bottleneck(y, key=KEY).square().sum().backward()
    assert torch.equal(x.grad, y.grad) and x.grad.abs().sum() > 0


def test_a_model_is_exported():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bottleneck = CategoricalBottleneck(3, 4, "reinmax(1.25)", uniform_mix=0)
            self.table = StraightThroughEmbedding(12, 5, "zgr")
            self.codes = VectorQuantizer(8, 5, "st")

        def forward(self, x):
            z = self.bottleneck(x, key=KEY) + gradthru.sample(x, "st(0.625)", key=KEY).onehot
            return self.codes(self.table(z, key=KEY).embedding, key=KEY).quantized

    model, x = Model().eval(), normal(5, 12)
    assert torch.equal(torch.export.export(model, (x,)).module()(x), model(x))


@pytest.mark.parametrize("make, error", [
    (lambda: CategoricalBottleneck(0, 4), "latents must be >= 1, got 0"),
    (lambda: CategoricalBottleneck(3, 4, uniform_mix=1), "uniform_mix must be in"),
    (lambda: CategoricalBottleneck(3, 4, "rloo"), "use expectation"),
    (lambda: CategoricalBottleneck(3, 4, "psa"), "rule for the layers of a binary network"),
    (lambda: CategoricalBottleneck(3, 4, eval_mode="mean"), "eval_mode must be"),
    (lambda: CategoricalBottleneck(3, 4)(normal(5, 4)), r"logits must be \[.., 3, 4\] or"),
    (lambda: CategoricalBottleneck(3, 4)(normal(12), key=KEY, generator=torch.Generator()),
     "a key or a generator"),
    (lambda: StraightThroughEmbedding(4, 0), "dim must be >= 1"),
    (lambda: StraightThroughEmbedding(4, 2, "gumbel_softmax(1,hard=false)"), "relaxed samples"),
    (lambda: StraightThroughEmbedding(4, 2)(normal(5, 3)), r"logits must be \[.., 4\]"),
    (lambda: VectorQuantizer(4, 2, tau=0.0), "tau must be finite and > 0"),
    (lambda: VectorQuantizer(4, 2, ema=1.0), r"ema must be in \[0, 1\)"),
    (lambda: VectorQuantizer(4, 2, commitment=-1), "commitment must be"),
    (lambda: VectorQuantizer(4, 2, dead_code=0), "dead_code must be > 0"),
    (lambda: VectorQuantizer(4, 2, "st", rotation=True), "rotation is for the nearest code"),
    (lambda: VectorQuantizer(4, 2)(normal(5, 3)), r"x must be \[.., 2\]"),
    (lambda: StochasticBinaryLinear(3, 4, "pm2"), "coding must be"),
    (lambda: StochasticBinaryLinear(3, 4)(normal(5, 2)), r"input must be \[.., 3\]"),
    (lambda: StochasticBinaryLinear(3, 4)(normal(5, 3), check=True), "values -1 and 1, got others"),
    (lambda: StochasticBinaryLinear(3, 4)(normal(5, 3), "rloo"), "no rule for a sampled layer"),
    (lambda: StochasticBinaryConv2d(3, 4, 3, groups=2), "groups must divide"),
    (lambda: StochasticBinaryConv2d(3, 4, 3)(normal(5, 3, 2, 9)), "hold the kernel"),
    (lambda: StochasticBinarySequential([], 2), "at least one layer"),
    (lambda: StochasticBinarySequential([StochasticBinaryConv2d(3, 4, 3)], 2), "units of the last"),
    (lambda: StochasticBinarySequential(
        [StochasticBinaryLinear(3, 4), StochasticBinaryLinear(4, 4, "01")], 2), "one coding"),
    (lambda: MODULES["network"]()(normal(5, 3), torch.tensor([0, 1])), "target must have"),
    (lambda: MODULES["network"]()(normal(2, 3), torch.tensor([0, 1]), "exact"), "no rule"),
])
def test_bad_arguments_are_refused_in_words(make, error):
    with pytest.raises(ValueError, match=error):
        make()


# --- StraightThroughEmbedding


def reference(logits, weight, estimator, **options):
    return gradthru.sample(logits, estimator, **options).onehot @ weight


@pytest.mark.parametrize("spec", PATHWISE)
def test_embedding_has_the_gradients_of_a_onehot_times_the_table(spec):
    table = StraightThroughEmbedding(5, 3, spec).double()
    logits = leaf(normal(6, 7, 5, dtype=torch.double))
    mask = torch.tensor([True, True, False, True, True])
    z = table(logits, key=KEY, mask=mask)
    assert torch.equal(z.index, gradthru.sample(logits, spec, key=KEY, mask=mask).index)
    assert torch.equal(z.embedding, table.weight[z.index])
    want = reference(logits, table.weight, spec, key=KEY, mask=mask)
    for mine, other in zip(gradients_of(z.embedding, logits, table.weight),
                           gradients_of(want, logits, table.weight), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)
        assert mine.abs().sum() > 0


def test_embedding_mixes_with_the_uniform_law():
    table, logits = StraightThroughEmbedding(5, 3, "zgr", uniform_mix=0.5), leaf(normal(40, 5))
    z = table(logits, key=KEY)
    want = reference(logits, table.weight, "zgr", key=KEY, uniform_mix=0.5)
    torch.testing.assert_close(z.embedding, want)
    torch.testing.assert_close(gradients_of(z.embedding, logits), gradients_of(want, logits))


def test_embedding_replays_skips_and_marks_invalid_rows():
    table, logits = StraightThroughEmbedding(4, 2, "st"), leaf(normal(4, 4))
    index = torch.tensor([2, -1, 0, 3])
    logits.data[3, 1] = torch.nan
    z = table(logits, index=index)
    assert torch.equal(z.embedding[[0, 2]], table.weight[[2, 0]])
    assert z.embedding[1].eq(0).all() and z.embedding[3].isnan().all()
    g_logits, g_weight = torch.autograd.grad(z.embedding[:3].sum(), (logits, table.weight))
    assert g_logits[1].eq(0).all() and g_logits[0].abs().sum() > 0
    assert torch.equal(g_weight[:, 0], torch.tensor([1.0, 0.0, 1.0, 0.0]))


class Results(TorchDispatchMode):
    """The sizes of all tensors that operators give back."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.sizes += [t.numel() for t in tree_leaves(result) if isinstance(t, torch.Tensor)]
        return result


def test_embedding_builds_no_onehot():
    table, logits, kept = StraightThroughEmbedding(50, 3, "reinmax"), leaf(normal(20, 50)), []
    with (Results() as results,
          torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t)):
        table(logits, key=KEY)
    assert max(results.sizes) == 20 * 3
    pointers = {t.data_ptr() for t in kept if t.numel() >= logits.numel()}
    assert pointers == {logits.data_ptr()}


@pytest.mark.parametrize("randomness", ["same", "different"])
def test_embedding_under_functional_transforms_and_compile(randomness):
    table, batch = StraightThroughEmbedding(5, 3, "reinmax(1.3)"), normal(4, 6, 5)

    def loss(logits):
        return table(logits, key=KEY).embedding.square().sum()

    got = torch.vmap(torch.func.grad(loss), randomness=randomness)(batch)
    if randomness == "same":
        want = torch.stack([torch.autograd.grad(loss(x), x)[0] for x in map(leaf, batch)])
    else:
        x = leaf(batch)
        want = torch.autograd.grad(loss(x), x)[0]
    torch.testing.assert_close(got, want)
    x, y = leaf(batch), leaf(batch)
    assert torch.equal(torch.autograd.grad(compiled(loss)(x), x)[0],
                       torch.autograd.grad(loss(y), y)[0])


def test_embedding_in_half_precision_and_second_order():
    table, logits = StraightThroughEmbedding(5, 3, "reinmax"), leaf(normal(6, 5).bfloat16())
    z = table(logits, key=KEY).embedding
    assert z.dtype == torch.float32
    full = leaf(logits.float())
    g, = torch.autograd.grad(table(full, key=KEY).embedding.sum(), full)
    torch.testing.assert_close(torch.autograd.grad(z.sum(), logits)[0].float(), g, rtol=2e-2,
                               atol=1e-3)
    g, = torch.autograd.grad(table(full, key=KEY).embedding.sum(), full, create_graph=True)
    with pytest.raises(RuntimeError, match="second order"):
        g.sum().backward()
