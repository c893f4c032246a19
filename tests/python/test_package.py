"""The Python package at home in PyTorch: compile, vmap, autocast, checkpointing, several processes."""

import copy
import inspect
import os
import pathlib
import pickle
import subprocess
import sys

import gradthru
import pytest
import torch
from gradthru import Key
from torch.utils.checkpoint import checkpoint

PATHWISE = [name for name in gradthru.estimators()
            if name == "mve_scalar" or gradthru.about(name).family == "pathwise"]
KEY = Key(seed=11, offset=5, row0=3)
WEIGHTS = torch.tensor([0.5, -1.0, 2.0, 0.25])


def spec_of(name: str) -> str:
    return "mve_scalar(values=0:1:4:9)" if name == "mve_scalar" else name


def random(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


def loss(logits: torch.Tensor, spec: str, **options) -> torch.Tensor:
    z = gradthru.sample(logits, spec, key=Key(11, 5, 3), **options)
    return (z.onehot**2 * WEIGHTS).sum()


def gradient(f, x: torch.Tensor) -> torch.Tensor:
    leaf = x.detach().clone().requires_grad_()
    f(leaf).backward()
    return leaf.grad


def test_version_is_that_of_the_library():
    cmake = (pathlib.Path(__file__).parents[2] / "CMakeLists.txt").read_text()
    assert f"project(gradthru VERSION {gradthru.__version__} " in cmake


def test_factories_make_what_specs_make():
    assert str(gradthru.reinmax(1.3)) == "reinmax(1.3)"
    assert gradthru.st(tau_f=0.5, tau_b=1.0) == gradthru.parse_estimator("st(tau_f=0.5)")
    assert gradthru.gst("p", tau=0.7, detach=False).spec == "gst(p,tau=0.7,detach=false)"
    assert gradthru.mve_scalar(values=[0, 1.5]).spec == "mve_scalar(values=0:1.5)"
    with pytest.raises(AttributeError, match="reinmx"):
        gradthru.reinmx  # noqa: B018


@pytest.mark.parametrize("call, message", [
    (lambda: gradthru.sample(random(2, 3), "reinmx"), "did you mean 'reinmax'"),
    (lambda: gradthru.sample(random(2, 3), "st(tau=0)", key=KEY), "tau_b must be finite and > 0"),
    (lambda: gradthru.sample(random(2, 3), "rloo(2)"), "expectation"),
    (lambda: gradthru.sample(random(2, 3), "psa"), "StochasticBinary"),
    (lambda: gradthru.sample(random(2, 3), "st(tau=exp(1,0.5))"), "e.at"),
    (lambda: gradthru.sample(random(2, 3), key=KEY, generator=torch.Generator()), "not both"),
    (lambda: gradthru.sample_binary(random(2), coding="±1"), "coding must be"),
    (lambda: gradthru.fidelity(lambda z: z.sum((-1, -2)), random(1, 2), ["st"], samples=1), ">= 2"),
])
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_generator_gives_the_key():
    logits = random(50, 4)
    draws = [gradthru.sample(logits, generator=torch.Generator().manual_seed(3)).index
             for _ in range(2)]
    assert torch.equal(*draws)
    torch.manual_seed(3)
    first = gradthru.sample(logits).index
    torch.manual_seed(3)
    assert torch.equal(gradthru.sample(logits).index, first)
    assert not torch.equal(gradthru.sample(logits).index, first)


def test_options_reach_the_operator():
    logits = random(6, 4)
    mask = torch.tensor([True, False, True, True])
    z = gradthru.sample(logits, "st", key=KEY, mask=mask, samples=20)
    assert z.onehot.shape == (20, 6, 4) and not (z.index == 1).any()
    columns = gradthru.sample(logits.T.contiguous(), "st", key=KEY, dim=0)
    assert torch.equal(columns.index, gradthru.sample(logits, "st", key=KEY).index)
    given = torch.tensor([0, 3, 2, -1, 1, 0])
    assert torch.equal(gradthru.sample(logits, "st", key=KEY, index=given).index, given)
    cold = gradthru.sample(logits, "st", key=KEY, tau_f=torch.full((6,), 1e-3))
    assert torch.equal(cold.index, logits.argmax(-1))
    mixed = gradthru.sample(torch.tensor([[50.0, 0.0]]).repeat(4000, 1), "st", key=KEY,
                            uniform_mix=0.5)
    assert 800 < int((mixed.index == 1).sum()) < 1200
    assert set(gradthru.sample_binary(random(99), "st", key=KEY, coding="pm1").tolist()) == {-1, 1}


def test_expectation_hides_the_family():
    logits, f = random(3, 2, 4), lambda z: (z * WEIGHTS).sum((-1, -2)) ** 2
    exact = gradient(lambda x: gradthru.expectation(f, x, "exact"), logits)
    for spec, count in [("rloo(4)", 4), ("reinmax", 1), ("reinforce", 1)]:
        assert gradthru.expectation_offsets_used(spec) == count
        stream = Key(5)
        draws = [gradient(lambda x: gradthru.expectation(f, x, spec, key=stream.take(count)), logits)
                 for _ in range(600)]
        all_draws = torch.stack(draws).double()
        z = (all_draws.mean(0) - exact) / (all_draws.std(0) / len(draws) ** 0.5)
        assert z.abs().max() < 5, spec
    a = random(3, 2)
    binary = gradient(lambda x: gradthru.expectation(
        lambda b: b.prod(-1), x, "exact", coding="pm1"), a)
    m = torch.tanh(a / 2)
    assert torch.allclose(binary[:, 0], (1 - m[:, 0] ** 2) / 2 * m[:, 1] / 3, atol=1e-6)


def test_compile_gives_the_bits_of_eager():
    """One graph without a break, with every estimator in it."""
    logits = random(7, 4)

    def all_losses(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([loss(x, spec_of(name)) for name in PATHWISE]).sum()

    compiled = torch.compile(all_losses, fullgraph=True)
    assert torch.equal(compiled(logits), all_losses(logits))
    assert torch.equal(gradient(compiled, logits), gradient(all_losses, logits))


def test_compile_takes_a_key_that_moves():
    """Without compiling for each: a dozen would be over Dynamo's limit."""
    logits = random(7, 4)

    def draw(x: torch.Tensor, offset: int) -> torch.Tensor:
        return gradthru.sample(x, "reinmax", key=Key(11, offset)).onehot * 2

    compiled = torch.compile(draw, fullgraph=True)
    for offset in range(12):
        assert torch.equal(compiled(logits, offset), draw(logits, offset))


def test_compile_refuses_a_generator_in_words():
    compiled = torch.compile(lambda x: gradthru.sample(x, "st").onehot, fullgraph=True)
    with pytest.raises(Exception, match="give a key under torch.compile"):
        compiled(random(2, 3))


@pytest.mark.parametrize("name", PATHWISE)
def test_vmap_draws_the_same_or_different(name):
    batch, spec = random(3, 5, 4), spec_of(name)
    functional = torch.func.grad(lambda x: loss(x, spec))
    same = torch.vmap(functional, randomness="same")(batch)
    assert torch.equal(same, torch.stack([functional(x) for x in batch]))
    different = torch.vmap(functional, randomness="different")(batch)
    assert torch.equal(different, gradient(lambda x: loss(x, spec), batch))
    with pytest.raises(RuntimeError, match="randomness='same' or 'different'"):
        torch.vmap(functional)(batch)


def test_vmap_over_other_arguments():
    logits, masks = random(5, 4), torch.rand(3, 4) > 0.3
    masks[:, 0] = True
    mapped = torch.vmap(lambda m: gradthru.sample(logits, "st", key=Key(3), mask=m, samples=2).onehot,
                        randomness="same")(masks)
    for m, got in zip(masks, mapped, strict=True):
        assert torch.equal(got, gradthru.sample(logits, "st", key=Key(3), mask=m, samples=2).onehot)
    different = torch.vmap(lambda m: gradthru.sample(logits, "st", key=Key(3), mask=m).index,
                           randomness="different")(masks)
    wanted = gradthru.sample(logits.expand(3, 5, 4), "st", key=Key(3), mask=masks[:, None]).index
    assert torch.equal(different, wanted)
    index = torch.randint(4, (3, 5))
    given = torch.vmap(lambda i: gradthru.sample(logits, "st", key=Key(3), index=i).index)(index)
    assert torch.equal(given, index)


def test_vmap_of_binary_variables():
    batch = random(3, 6)

    def f(a: torch.Tensor) -> torch.Tensor:
        return (gradthru.sample_binary(a, "zgr", key=Key(3)) * torch.arange(6.0)).sum()

    functional = torch.func.grad(f)
    same = torch.vmap(functional, randomness="same")(batch)
    assert torch.equal(same, torch.stack([functional(a) for a in batch]))
    different = torch.vmap(functional, randomness="different")(batch)
    assert torch.equal(different, gradient(f, batch))


def test_jacobian_rows_share_the_draw():
    logits = random(5, 4)

    def onehot(x: torch.Tensor) -> torch.Tensor:
        return gradthru.sample(x, "gumbel_softmax(0.5)", key=Key(3)).onehot

    jacobian = torch.func.jacrev(onehot)(logits)
    for row, k in [(0, 1), (4, 2)]:
        wanted = gradient(lambda x, at=(row, k): onehot(x)[at], logits)
        assert torch.allclose(jacobian[row, k], wanted, atol=1e-7)


def test_autocast_computes_in_float32():
    logits = random(5, 4).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z = gradthru.sample(logits, "reinmax", key=KEY)
        assert z.onehot.dtype == torch.float32
        assert gradthru.sample_binary(logits, "st", key=KEY).dtype == torch.float32
    assert torch.equal(z.index, gradthru.sample(logits.float(), "reinmax", key=KEY).index)


@pytest.mark.parametrize("key", [None, KEY])
def test_activation_checkpointing_gives_equal_gradients(key):
    logits = random(5, 4)

    def block(x: torch.Tensor) -> torch.Tensor:
        z = gradthru.sample(x * 2, "gumbel_softmax(0.7)", key=key)
        return (z.onehot**2 * WEIGHTS).sum()

    torch.manual_seed(7)
    plain = gradient(block, logits)
    torch.manual_seed(7)
    again = gradient(lambda x: checkpoint(block, x, use_reentrant=False), logits)
    assert torch.equal(plain, again) and plain.abs().sum() > 0


def test_second_order_is_refused():
    x = random(5, 4).requires_grad_()
    (g,) = torch.autograd.grad(loss(x, "reinmax"), x, create_graph=True)
    with pytest.raises(RuntimeError, match="second order is refused"):
        g.sum().backward()


def test_deterministic_mode_is_no_obstacle():
    torch.use_deterministic_algorithms(True)
    try:
        assert gradient(lambda x: loss(x, "reinmax"), random(5, 4)).isfinite().all()
    finally:
        torch.use_deterministic_algorithms(False)


def test_estimators_are_values():
    e = gradthru.gumbel_rao(samples=100, tau=0.5)
    assert pickle.loads(pickle.dumps(e)) == e == copy.deepcopy(e)
    assert {e: 1}[gradthru.parse_estimator("gumbel_rao(100, tau=0.5)")] == 1
    assert gradthru.parse_estimator("st(tau=linear(1,0.5))").at(1) == gradthru.st(0.5)
    assert gradthru.traits(e).exact == "none" and "Paulus" in gradthru.cite(e)


WORKER = """
import sys, torch, torch.distributed as dist, gradthru
rank, world, store = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
torch.manual_seed(0)
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, 4))
images = torch.randn(8, 3)
part = 8 // world
x = images[rank * part:(rank + 1) * part]
z = gradthru.sample(model(x), "reinmax", key=gradthru.Key(5, 0, row0=rank * part))
(z.onehot * torch.arange(4.0)).sum(-1).square().mean().backward()
with torch.no_grad():
    for p in model.parameters():
        p -= 0.1 * p.grad
print([i for i in z.index.tolist()], [round(v, 6) for p in model.parameters() for v in p.flatten().tolist()], sep="|")
dist.destroy_process_group()
"""


def run_workers(world: int, folder: pathlib.Path) -> list[tuple[list[int], list[float]]]:
    store = folder / f"store{world}"
    processes = [subprocess.Popen([sys.executable, "-c", WORKER, str(rank), str(world), str(store)],
                                  stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
                 for rank in range(world)]
    results = []
    for process in processes:
        text, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        index, parameters = text.strip().split("\n")[-1].split("|")
        results.append((eval(index), eval(parameters)))  # noqa: S307: our own output
    return results


def test_two_processes_draw_what_one_draws(tmp_path):
    (whole,) = run_workers(1, tmp_path)
    parts = run_workers(2, tmp_path)
    assert parts[0][0] + parts[1][0] == whole[0]
    for _, parameters in parts:
        assert parameters == pytest.approx(whole[1], abs=2e-6)


def test_every_public_name_is_documented():
    public = {name: getattr(gradthru, name) for name in gradthru.__all__}
    public |= {name: getattr(gradthru, name) for name in gradthru.estimators()}
    missing = [name for name, value in public.items()
               if (inspect.isclass(value) or inspect.isfunction(value)) and not inspect.getdoc(value)]
    assert missing == []
