"""`gradthru run poly`: fixed points of estimators on polynomial programming."""

import pytest

from tiny_data import (
    assert_done,
    assert_refused,
    checkpoint_tensors,
    gradthru,
    metrics,
    settings,
    start,
    summary,
    values_text,
    wait_until,
)

SMALL = {"latent": "2x16", "epochs": 3, "steps_per_epoch": 40, "optimiser__lr": 0.01}


@pytest.fixture
def run(gradthru):
    """run("out", "st", p=3, …) trains and returns the folder of the run."""

    def train(out, methods, *arguments, **keys):
        command = ["run", "poly", *settings(**(SMALL | keys)), "--methods", methods]
        train.result = assert_done(gradthru(*command, "--out", out, *arguments))
        return gradthru.folder / out

    return train


def final(folder):
    return summary(folder)["final"]


def test_smoke_shows_where_straight_through_stops(gradthru):
    assert_done(gradthru("run", "poly", "--out", "out"))
    by_method = {m: final(gradthru.folder / "out" / f"{m}-s0") for m in ("exact", "st", "reinmax")}
    assert by_method["st"]["train_exact_loss"] == pytest.approx(0.2475, rel=0.01)
    assert by_method["st"]["train_pi_0"] == pytest.approx(0.45, abs=0.01)
    # c^2 = 0.2025 is the floor; ten epochs are not enough to reach it.
    assert 0.2025 < by_method["exact"]["train_exact_loss"] < 0.2100
    assert 0.2025 < by_method["reinmax"]["train_exact_loss"] < 0.2200
    assert_done(gradthru("report", "out", "--check"))


def test_metrics_and_summary(run):
    folder = run("out", "reinmax", p=3)
    lines = metrics(folder)
    assert [(line["kind"], line["split"], line["step"]) for line in lines] == [
        ("train", "train", 40 * epoch) for epoch in (1, 2, 3)
    ]
    for line in lines:
        assert list(line["values"]) == ["loss", "exact_loss", "pi_0", "logit_gap"]
        assert line["n"] == 40 * 64
    assert final(folder) == {f"train_{k}": v for k, v in lines[-1]["values"].items()}


def test_exact_value_is_known_at_the_start(run):
    # Logits in +-0.01 and a step too small to move them: pi_0 = 1/2.
    for p, start in ((1.5, 0.35488), (2, 0.25250), (3, 0.12875)):
        keys = {"latent": "2x512", "p": p, "epochs": 1, "steps_per_epoch": 1}
        got = final(run(f"p{p}", "exact", optimiser__lr=1e-9, **keys))
        assert got["train_exact_loss"] == pytest.approx(start, abs=2e-5)
        assert got["train_loss"] == pytest.approx(got["train_exact_loss"], abs=1e-6)


@pytest.mark.parametrize(
    "latent, p, start",
    [
        ("4x16", 1.5, 0.212616),
        ("4x16", 2, 0.141389),
        ("4x16", 3, 0.0673148),
        ("8x16", 1.5, 0.173459),
        ("8x16", 2, 0.109643),
        ("8x16", 3, 0.0473324),
    ],
)
def test_start_with_more_categories(run, latent, p, start):
    keys = {"latent": latent, "p": p, "epochs": 1, "steps_per_epoch": 1, "optimiser__lr": 1e-9}
    assert final(run("out", "st", **keys))["train_exact_loss"] == pytest.approx(start, rel=2e-3)


@pytest.mark.parametrize(
    "latent, floor", [("4x16", 0.0136111), ("8x16", 4.59184e-4), ("2x16", 0.2025)]
)
def test_exact_descends_to_the_floor(run, latent, floor):
    got = final(run("out", "exact", latent=latent, epochs=20, steps_per_epoch=100,
                    optimiser__lr=0.1))
    assert floor <= got["train_exact_loss"] < floor * 1.02


def test_zgr_is_reinmax_draw_for_draw(run):
    ours = [line["values"]["loss"] for line in metrics(run("a", "zgr"))]
    theirs = [line["values"]["loss"] for line in metrics(run("b", "reinmax"))]
    assert ours == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize(
    "method",
    ["reinforce", "reinforce(baseline=moving)", "rloo(4)", "indecater", "arm", "disarm",
     "gumbel_rao(3)", "gst(p)", "reinmax_cv", "mve", "st(exp(1,0.3,50%))"],
)
def test_every_family_descends(run, method):
    folder = run("out", method, latent="2x4", epochs=4, steps_per_epoch=100)
    losses = [line["values"]["exact_loss"] for line in metrics(folder)]
    assert losses[-1] < 0.2515  # 0.2525 at the start


@pytest.mark.parametrize("method", ["reinforce(baseline=moving)", "gumbel_softmax"])
def test_killed_and_resumed_is_undisturbed(run, start, gradthru, method):
    long = {"epochs": 6, "steps_per_epoch": 400}
    whole = run("whole", method, **long)
    out = gradthru.folder / "out"
    command = ["run", "poly", *settings(**(SMALL | long)), "--methods", method, "--out", out]
    process = start(*command, "--set", "run.checkpoint_seconds=0")
    wait_until(lambda: (out / "metrics.jsonl").exists()
               and (out / "metrics.jsonl").read_text().count("\n") >= 2, process, "an epoch")
    process.kill()
    process.communicate()
    assert not (out / "summary.json").exists()
    assert_done(gradthru(*command, "--resume"))
    assert values_text(out) == values_text(whole)
    assert checkpoint_tensors(out / "checkpoint" / "last.pt") == checkpoint_tensors(
        whole / "checkpoint" / "last.pt"
    )


@pytest.mark.parametrize(
    "method, keys, fragment",
    [
        ("arm", {"latent": "3x4"}, "arm: is for variables of 2 categories, got 3"),
        ("st", {"p": 0.5}, "p wants a number >= 1, got 0.5"),
        ("st", {"latent": "2"}, "latent must be <categories>x<variables>"),
        ("st", {"batch_size": 0}, "batch_size"),
    ],
)
def test_mistakes(gradthru, method, keys, fragment):
    result = gradthru("run", "poly", *settings(**keys), "--methods", method, "--out", "out")
    assert_refused(result, 2, fragment)
    assert not (gradthru.folder / "out").exists()
