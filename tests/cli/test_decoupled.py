"""`gradthru run decoupled` on tiny data: temperatures do what they say, runs repeat and resume."""

import pathlib
import signal
import sys

import pytest

from tiny_data import (
    MISTAKE,
    PROGRAM,
    RUN_FILES,
    assert_done,
    assert_nothing_left,
    assert_refused,
    blobs,
    files_below,
    gradthru,
    idx_bytes,
    metrics,
    settings,
    start,
    summary,
    values_text,
    wait_until,
    write_gzip,
)

ROOT = pathlib.Path(__file__).resolve().parents[2]
SWEEPS = ROOT / "experiments" / "decoupled" / "sweeps"
sys.path.insert(0, str(ROOT / "python"))

from gradthru_sweep import comparison_file  # noqa: E402
from gradthru_sweep.points import known_points  # noqa: E402
from gradthru_sweep.program import Program  # noqa: E402
from gradthru_sweep.study_file import load  # noqa: E402

TRAIN, VALID, TEST = 500, 100, 200
MODES = ["tau_f", "one", "argmax"]
WIDTHS = {
    "cat-ae": "[16]",
    "binary-ae": "[4, 8]",
    "vae-8x4": "[32, 16]",
    "vae-16x12": "[32, 16]",
    "sbn": "[12, 10]",
}
EXTRA = {"vae-8x4": ["recon"], "vae-16x12": ["recon"], "sbn": ["acc1"]}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with a tiny mnist and a tiny fashion-mnist: the class is the half of a dot."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("mnist", "fashion-mnist"):
        for i, (part, count) in enumerate([("train", TRAIN + VALID), ("t10k", TEST)]):
            images = blobs(count, 28, seed=i)
            labels = (images.reshape(count, -1).argmax(1) >= 14 * 28).astype("uint8")
            write_gzip(folder / name / f"{part}-images-idx3-ubyte.gz", idx_bytes(0x803, images))
            write_gzip(folder / name / f"{part}-labels-idx1-ubyte.gz", idx_bytes(0x801, labels))
    return folder


def tiny(root, task="cat-ae", **keys):
    small = {
        "task": task,
        "data__dir": root,
        "data__verify": False,
        "model__hidden": WIDTHS.get(task, "[16]"),
        "batch_size": 25,
        "steps_per_epoch": 20,
        "epochs": 2,
        "optimiser__lr": 0.01,
        "run__checkpoint_seconds": 10,
    }
    return ["run", "decoupled", "--threads", "1", *settings(**(small | keys))]


@pytest.fixture
def run(gradthru, root):
    """run("out", "st", task="sbn", epochs=3, …) trains and returns the folder of the run."""

    def train(out, methods="st", *arguments, seeds="0", **keys):
        folder = gradthru.folder / out
        command = [*tiny(root, **keys), "--methods", methods, "--seeds", seeds, "--out", folder]
        assert_done(gradthru(*command, *arguments))
        return folder

    return train


def final(folder, split="valid"):
    start = f"{split}_"
    values = summary(folder)["final"]
    return {key.removeprefix(start): v for key, v in values.items() if key.startswith(start)}


# --- what a run writes ---------------------------------------------------------------------------


@pytest.mark.parametrize("task", WIDTHS)
def test_every_task_learns_and_tells_three_evaluations(run, task):
    folder = run("out", "st(tau_f=0.7,tau_b=1.5)", task=task, epochs=3)
    assert files_below(folder) == RUN_FILES
    lines = metrics(folder)
    assert [(line["kind"], line["split"], line["step"], line["n"]) for line in lines] == [
        (kind, split, 20 * epoch, n)
        for epoch in (1, 2, 3)
        for kind, split, n in (
            ("train", "train", 500), ("eval", "valid", VALID), ("eval", "test", TEST)
        )
    ]
    names = [f"{name}_{mode}" for name in ["loss", *EXTRA.get(task, [])] for mode in MODES]
    for line in lines:
        wanted = ["loss"] if line["kind"] == "train" else ["loss", *names]
        assert list(line["values"]) == wanted
        assert line["kind"] == "train" or line["values"]["loss"] == line["values"]["loss_tau_f"]
    losses = [line["values"]["loss"] for line in lines if line["split"] == "train"]
    assert losses[2] < 0.97 * losses[0]
    # The same model on unseen images of the same kind.
    assert final(folder)["loss"] < 1.1 * losses[2]
    assert final(folder, "test")["loss"] == pytest.approx(final(folder)["loss"], rel=0.2)


@pytest.mark.parametrize("task", ["cat-ae", "binary-ae", "sbn"])
def test_every_pathwise_method_can_be_run(run, task):
    methods = ["identity", "gumbel_softmax(0.5)", "reinmax(1.3)", "gst(1)",
               "gumbel_softmax(tau_f=0.5,tau_b=2)", "gumbel_softmax(0.5,hard=false)"]
    folder = run("out", ";".join(methods), task=task, epochs=1, steps_per_epoch=2)
    told = [summary(path.parent) for path in folder.glob("*/summary.json")]
    assert [s["status"] for s in told] == ["complete"] * len(methods)


def test_selected_evaluation_is_the_loss_and_picks_the_best(run):
    for mode in MODES:
        folder = run(mode, "st(tau_f=2)", select=mode, epochs=4)
        values = [line["values"] for line in metrics(folder) if line["split"] == "valid"]
        assert [v["loss"] for v in values] == [v[f"loss_{mode}"] for v in values]
        assert summary(folder)["best"]["valid_loss"] == min(v[f"loss_{mode}"] for v in values)


def test_vae_has_the_bound_of_its_parts_and_the_kl_at_the_asked_temperature(run):
    kls = {}
    for kl_tau in ("1", "tau_f"):
        # So small a rate that the models stay equal.
        folder = run(kl_tau, "st(tau_f=0.05)", task="vae-8x4", kl_tau=kl_tau, optimiser__lr=1e-12)
        parts = [final(folder)[f"loss_{m}"] - final(folder)[f"recon_{m}"] for m in MODES]
        assert parts == pytest.approx([parts[0]] * 3, rel=1e-3, abs=1e-3)
        kls[kl_tau] = parts[0]
    assert kls["tau_f"] > 10 * kls["1"]  # the colder law is further from the uniform one


# --- temperatures --------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["st(tau_f={},tau_b=1)", "gumbel_softmax(tau_f={},tau_b=1)"])
@pytest.mark.parametrize("task", ["cat-ae", "sbn"])
def test_forward_temperature_changes_what_is_sampled(run, task, method):
    keys = {"task": task, "steps_per_epoch": 60, "optimiser__lr": 0.003}
    keys["model__hidden"] = "[64]" if task == "cat-ae" else "[12, 10]"
    trained = {tau: final(run(f"{tau}", method.format(tau), **keys)) for tau in (1e-4, 1, 5)}
    # Frozen, all samples are the likeliest values; at 1 two evaluations are one; hot ones are worse.
    assert trained[1e-4]["loss_tau_f"] == pytest.approx(trained[1e-4]["loss_argmax"], rel=1e-5)
    assert trained[1]["loss_tau_f"] == trained[1]["loss_one"] != trained[1]["loss_argmax"]
    assert trained[5]["loss_tau_f"] > trained[5]["loss_one"]
    assert len({trained[tau]["loss_argmax"] for tau in trained}) == 3


@pytest.mark.parametrize("task", ["vae-8x4", "sbn"])
def test_training_draws_at_the_forward_temperature(run, task):
    def trained_loss(out, method):
        # So small a rate that the model stays as it is: the loss is that of the samples alone.
        folder = run(out, method, task=task, optimiser__lr=1e-12, epochs=1)
        return summary(folder)["final"]["train_loss"]

    frozen = trained_loss("frozen", "st(tau_f=0)")
    noisy = trained_loss("noisy", "gumbel_softmax(tau_f=1e-5,tau_b=1)")
    assert noisy == pytest.approx(frozen, rel=1e-5)
    for method in ("st", "gumbel_softmax(tau_f=1,tau_b=1e-5)"):
        assert trained_loss(method[:3], method) != pytest.approx(frozen, rel=1e-5)


def test_backward_temperature_changes_the_training_alone(run):
    def train_losses(out, tau, **keys):
        lines = metrics(run(out, f"st(tau_f=1,tau_b={tau})", **keys))
        return [line["values"]["loss"] for line in lines if line["split"] == "train"]

    # The loss of the first update is that of the same samples.
    first = [train_losses(f"first-{tau}", tau, epochs=1, steps_per_epoch=1) for tau in (0.3, 3)]
    assert first[0] == first[1]
    assert train_losses("cold", 0.3) != train_losses("hot", 3)


def test_noise_that_makes_tau_f_inert_is_evaluated_at_one(run):
    values = final(run("out", "gumbel_softmax(tau=0.5)"))
    assert values["loss_tau_f"] == values["loss_one"]


def test_encoder_learns_at_its_own_rate(run):
    def trained(out, **keys):
        return values_text(run(out, optimiser__name="sgd", **keys))

    usual = trained("usual")
    assert trained("one", encoder_lr_scale=1.0) == usual
    assert trained("half", encoder_lr_scale=0.5) != usual
    # Where the encoder stands still, its gradient does not matter.
    still = run("still", optimiser__name="sgd", encoder_lr_scale=1e-30)
    other = run("other", "st(tau_f=1,tau_b=0.3)", optimiser__name="sgd", encoder_lr_scale=1e-30)
    assert values_text(still) == values_text(other)


# --- the gradient gap ----------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["cat-ae", "binary-ae", "vae-8x4"])
def test_gap_is_measured_at_the_epochs_asked_for_and_changes_nothing(run, task):
    plain = run("plain", "st(tau_f=1,tau_b=2)", task=task, epochs=3)
    keys = {"gap": True, "gap_epochs": "[0, 1]", "gap_images": 20, "gap_draws": 3}
    folder = run("gap", "st(tau_f=1,tau_b=2)", task=task, epochs=3, **keys)
    probes = [line for line in metrics(folder) if line["kind"] == "probe"]
    assert [line["step"] for line in probes] == [0, 20, 60]  # and after the last one
    for line in probes:
        assert list(line["values"]) == list(line["std"]) == ["gap", "relative_gap"]
        assert line["values"]["gap"] > 0 and 0 < line["values"]["relative_gap"] < 3
        assert line["n"] == 20
    without = [value for place, value in values_text(folder) if place["kind"] != "probe"]
    assert without == [value for _, value in values_text(plain)]


def test_gap_of_a_frozen_sample_is_small(run):
    """Where both temperatures are cold, the relaxed sample is the hard one."""
    keys = {"gap": True, "gap_images": 20, "epochs": 1}

    def gap(tau):
        folder = run(f"{tau}", f"gumbel_softmax(tau_f={tau},tau_b={tau})", **keys)
        return [x for x in metrics(folder) if x["kind"] == "probe"][-1]["values"]["relative_gap"]

    assert gap(0.02) < 0.5 * gap(1)


# --- resuming ------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["cat-ae", "binary-ae", "sbn"])
def test_interrupted_run_goes_on_to_the_same_numbers(run, gradthru, start, root, task):
    keys = {"task": task, "epochs": 4, "encoder_lr_scale": 0.5, "steps_per_epoch": 40}
    keys["run__checkpoint_seconds"] = 0.1
    if task != "sbn":
        keys |= {"gap": True, "gap_images": 5, "gap_draws": 2}
    method = "gumbel_softmax(tau_f=linear(2,0.5),tau_b=1)"
    undisturbed = run("undisturbed", method, **keys)
    folder = gradthru.folder / "out"
    command = [*tiny(root, **keys), "--methods", method, "--out", folder]
    process = start(*command)
    path = folder / "metrics.jsonl"
    wait_until(lambda: path.exists() and b"valid" in path.read_bytes(), process, "an epoch")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) in (0, 130)
    assert_done(gradthru(*command, "--resume"))
    assert values_text(folder) == values_text(undisturbed)
    assert summary(folder)["best"] == summary(undisturbed)["best"]


def test_config_of_a_run_repeats_it(run, gradthru):
    first = run("first", "st(tau_f=0.5,tau_b=2)", task="sbn")
    again = gradthru.folder / "again"
    command = ["run", "decoupled", "--threads", "1", "--config", first / "config.toml"]
    assert_done(gradthru(*command, "--out", again))
    assert values_text(again) == values_text(first)


# --- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method, keys, message",
    [
        ("st", {"task": "cat"}, "task wants a text out of cat-ae, binary-ae, vae-8x4"),
        ("st", {"select": "tau_b"}, "select wants a text out of tau_f, one, argmax, got 'tau_b'"),
        ("st", {"kl_tau": "2"}, "kl_tau wants a text out of 1, tau_f, got '2'"),
        ("st", {"kl_tau": "tau_f"}, "kl_tau=tau_f is for the VAEs, got task cat-ae"),
        ("st(tau_f=0)", {"kl_tau": "tau_f", "task": "vae-8x4"}, "kl_tau=tau_f wants tau_f > 0"),
        ("st", {"encoder_lr_scale": 0}, "encoder_lr_scale wants a number > 0, got 0"),
        ("st", {"task": "binary-ae", "model__hidden": "[8]"}, "binary-ae wants 2 widths, got 1"),
        ("st", {"model__hidden": "[]"}, "cat-ae wants 1 to 16 widths, got 0"),
        ("st(tau_f=-1)", {}, "st: tau_f must be finite and >= 0, got -1"),
        ("rloo(2)", {}, "takes the gradient at the sample"),
        ("psa", {"task": "sbn"}, "takes the gradient at the sample"),
        ("mve_scalar(values=0;1)", {}, "values"),
        ("st", {"gap": True, "task": "sbn"}, "gap: wanted a task with one layer of variables"),
        ("reinmax", {"gap": True}, "gap: wanted st, gst or gumbel_softmax, got reinmax"),
        ("st", {"gap_draws": 1}, "gap_draws wants an integer >= 2, got 1"),
    ],
)
def test_mistake_is_told_in_a_line(gradthru, root, method, keys, message):
    command = [*tiny(root, **keys), "--methods", method, "--out", "out"]
    assert_refused(gradthru(*command), MISTAKE, message)
    assert_nothing_left(gradthru.folder)


# --- presets and studies -------------------------------------------------------------------------


@pytest.mark.parametrize("preset, runs", [("smoke", 5), ("short", 50), ("paper", 5 * 81 * 3)])
def test_presets_are_whole(gradthru, preset, runs):
    told = assert_done(gradthru("run", "decoupled", "--preset", preset, "--dry-run"))
    assert len(told.stdout.splitlines()) == runs


def off_diagonal(found):
    """How many trials of a study that can be run there are, and how many with two temperatures."""
    points = known_points(found)
    Program(PROGRAM, found).check(points)
    methods = [next(a for a in found.assignments(p) if a.startswith("methods")) for p in points]
    taus = [m.split("tau_f=")[1].rstrip(')"]').split(",tau_b=") for m in methods]
    return len(points), sum(float(f) != float(b) for f, b in taus)


def test_the_grid_can_be_run():
    assert off_diagonal(load(SWEEPS / "grid.toml")) == (25, 20)


def test_the_comparison_can_be_run():
    found = comparison_file.load(SWEEPS / "compare.toml", None, None)
    counts = {name: off_diagonal(arm.search) for name, arm in found.arms.items()}
    assert counts == {
        "diagonal": (36, 0),
        "decoupled": (36, 36),
        "noisy_diagonal": (36, 0),
        "noisy_decoupled": (36, 36),
    }
    assert found.pairs == [("decoupled", "diagonal"), ("noisy_decoupled", "noisy_diagonal")]
