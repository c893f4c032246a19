"""`gradthru run sbn-accuracy`: gradients of small binary networks beside the exact one."""

import json
import pathlib

import pytest

from tiny_data import (
    MISTAKE,
    assert_done,
    assert_refused,
    gradthru,
    metrics,
    settings,
    start,
    values_text,
    wait_until,
)

TINY = ["--preset", "short"] + settings(hidden="[2,3]", points=12, samples=64)


@pytest.fixture
def run(gradthru):
    """run("out", "psa;arm", …) runs the experiment and returns the folder."""

    def measure(out, methods, *arguments):
        command = ["run", "sbn-accuracy", "--methods", methods, "--out", out, *arguments]
        measure.result = assert_done(gradthru(*command))
        return gradthru.folder / out

    return measure


def measured(folder):
    return [line for line in metrics(folder) if line["kind"] == "eval"]


def test_known_network(run, gradthru):
    folder = run("out", "psa;st;arm;concrete(0.5)", "--set", "samples=200")
    (psa,), (st,), (arm,), (concrete,) = (
        measured(folder / f"{name}-s0") for name in ("psa", "st", "arm", "concrete-0.5")
    )
    assert psa["values"]["expected_loss"] == pytest.approx(0.8152459404514978, abs=1e-14)
    assert psa["values"]["rel_bias"] == pytest.approx([0.0533711822, 0, 0], abs=1e-9)
    assert st["values"]["rel_bias"] == pytest.approx([0.1191168160, 0.2438210803, 0], abs=1e-9)
    assert psa["values"]["rel_bias_1"] == psa["values"]["rel_bias"][0]
    assert [line["note"] for line in (psa, st, arm, concrete)] == ["enumerated"] * 2 + ["sampled"] * 2
    assert concrete["values"]["concrete_tau"] == 0.5 and concrete["values"]["tanh_temperature"] == 1
    for line in (psa, arm):
        values = line["values"]
        assert values["curve_2_rmse"][0] == values["rel_rmse"][1]
        below = sum(M <= 100 for M in values["curve_2_m"])  # half of the draws
        assert all(cosine is not None for cosine in values["curve_2_cos"][:below])
    # The table and the report have a line for each method, and the report holds them to what is known.
    for text in (run.result.stdout, gradthru("report", folder, "--check").stdout):
        assert "train_rel_bias_1" in text
        assert [line.split()[0] for line in text.splitlines() if line.startswith("psa ")]


def test_training_is_the_same_for_all_methods_and_can_be_saved(run, gradthru):
    ours = run("a", "psa", *TINY, "--set", "epochs=[1,3]", "--set", "save=nets")
    theirs = run("b", "arm", *TINY, "--set", "epochs=[1,3]")
    losses = [
        [line["values"]["loss"] for line in metrics(folder) if line["kind"] == "train"]
        for folder in (ours, theirs)
    ]
    assert losses[0] == losses[1] and len(losses[0]) == 3
    assert [line["epoch"] for line in measured(ours)] == [1, 3]
    assert [len(line["values"]["rel_bias"]) for line in measured(ours)] == [3, 3]
    told = gradthru("fidelity", "--network", "nets/epoch-3.json", "--methods", "psa", "--json", "o.json")
    assert_done(told)
    (result,) = json.loads((gradthru.folder / "o.json").read_text())["results"]
    biases = [layer["relative_bias"] for layer in result["layers"]]
    assert biases == pytest.approx(measured(ours)[1]["values"]["rel_bias"], rel=1e-9, abs=1e-12)


def test_a_file_is_measured_as_it_is(run, gradthru):
    run("a", "psa", *TINY, "--set", "epochs=[1]", "--set", "save=nets")
    net = gradthru.folder / "nets" / "epoch-1.json"
    (line,) = measured(run("b", "psa", "--set", f"net={net}", "--set", "samples=64"))
    assert line["values"]["rel_bias"] == measured(gradthru.folder / "a")[0]["values"]["rel_bias"]


def test_killed_and_resumed_is_undisturbed(run, start, gradthru):
    whole = run("whole", "psa", *TINY, "--set", "epochs=[2,400]")
    out = gradthru.folder / "out"
    command = ["run", "sbn-accuracy", "--methods", "psa", "--out", out, *TINY]
    command += ["--set", "epochs=[2,400]"]
    process = start(*command)
    wait_until(
        lambda: (out / "metrics.jsonl").exists() and "curve" in (out / "metrics.jsonl").read_text(),
        process,
        "the first measurement",
    )
    process.kill()
    process.communicate()
    assert_done(gradthru(*command, "--resume"))
    assert values_text(out) == values_text(whole)


@pytest.mark.parametrize(
    "arguments, fragment",
    [
        (["--set", "net=none.json"], "cannot read the file 'none.json'"),
        (["--set", "nett=x.json"], "did you mean 'net'"),
        (["--methods", "disarm"], "disarm has no form for networks"),
        (["--methods", "st(exp(1,0.5,50%))"], "a number, not a schedule"),
        (["--set", "hidden=[13]"], "hidden"),
        (["--set", "hidden=[]"], "hidden: wanted 1 to 6 layers, got 0"),
        (["--set", "epochs=[]"], "epochs: wanted at least one"),
        (["--set", "train.method=stt"], "did you mean"),
        (["--set", "samples=10"], "samples"),
    ],
)
def test_mistakes(gradthru, arguments, fragment):
    result = gradthru("run", "sbn-accuracy", "--preset", "short", "--out", "out", *arguments)
    assert_refused(result, MISTAKE, fragment)
    assert not (gradthru.folder / "out").exists()


# The biases of every layer after one epoch of the recipe.
FIRST_EPOCH = [
    [-0.206658464046, -0.0991196997041, 0.340166911353, 0.124571532808, -0.303385688456],
    [1.99038707362, -0.907239752124, 0.108027851053, -0.811907673475, 0.369090676985],
    [-0.904103635457, 0.527804301499, 0.606810148881, 0.126827553728, -2.14614799157],
    [-0.648675262785],
]


def test_the_shipped_network_is_of_the_recipe(run, gradthru):
    """The points are those of the shipped file. Its training is chaotic: the last bits of a product,
    which differ between processors, decide draws, so that only its beginning can be repeated."""
    run("a", "exact", "--preset", "short", "--set", "epochs=[1]", "--set", "save=nets")
    shipped = pathlib.Path(__file__).parents[2] / "experiments" / "sbn-accuracy" / "toy.json"
    wanted, got = (
        json.loads(path.read_text()) for path in (shipped, gradthru.folder / "nets" / "epoch-1.json")
    )
    assert got["data"] == wanted["data"]
    for a, b, biases in zip(wanted["layers"], got["layers"], FIRST_EPOCH, strict=True):
        assert [len(row) for row in a["W"]] == [len(row) for row in b["W"]]
        assert len(a["b"]) == len(b["b"])
        assert b["b"] == pytest.approx(biases, rel=1e-9)
