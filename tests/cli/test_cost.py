"""`gradthru run cost` on steps that take microseconds. No time is held to a bound."""

import json
import pathlib

import pytest

from tiny_data import (
    MISTAKE,
    assert_done,
    assert_refused,
    checkpoint_step,
    files_below,
    gradthru,
    metrics,
    settings,
    start,
    summary,
    wait_until,
    RUN_FILES,
)

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "experiments" / "cost"
PRESETS = sorted(file.stem for file in (FOLDER / "presets").glob("*.toml"))
TINY = {
    "warm_ups": 1,
    "repetitions": 3,
    "seconds": 0,
    "shape": "200x10",
    "vae__hidden": "[8]",
    "sbn__hidden": "[6, 4]",
    "listops__width": 6,
    "listops__tokens": 5,
}
TIMES = ["step_ms", "fwd_ms", "bwd_ms"]
MEMORY = ["peak_mib", "saved_mib"]
MIB = 2**20


@pytest.fixture
def run(gradthru):
    """run("out", "st", workload="vae", …) measures and returns the folder of the run."""

    def measure(out, method, *arguments, **keys):
        command = ["run", "cost", "--threads", "1", *settings(**(TINY | keys))]
        assert_done(gradthru(*command, "--methods", method, "--out", out, *arguments))
        return gradthru.folder / out

    return measure


def final(folder):
    return {k.removeprefix("train_"): v for k, v in summary(folder)["final"].items()}


def baselines(folder):
    return {line["note"]: line["values"] for line in metrics(folder) if line["kind"] == "probe"}


# --- what a run tells ----------------------------------------------------------------------------


def test_a_line_of_the_estimator_and_one_of_each_baseline(run):
    folder = run("out", "reinmax")
    assert files_below(folder) == RUN_FILES
    lines = metrics(folder)
    assert [(line["kind"], line["split"], line["step"], line["n"]) for line in lines] == [
        ("train", "train", 3, 3), *[("probe", "train", 3, 3)] * 3
    ]
    ratios = ["ratio_none", "ratio_st", "ratio_torch"]
    assert [name for name in lines[0]["values"] if name.startswith("ratio")] == [
        name + end for name in ratios for end in ("", "_interval")
    ]
    assert "threads: 1" in lines[0]["note"]
    for line in lines:
        values = line["values"]
        own = [name for name in values if not name.startswith("ratio")]
        assert own == [*TIMES, *MEMORY, "step_ms_band"]
        low, high = values["step_ms_band"]
        assert 0 < low <= values["step_ms"] <= high
    for name in ratios:
        low, high = lines[0]["values"][name + "_interval"]
        assert 0 < low <= lines[0]["values"][name] <= high
    assert list(baselines(folder))[:2] == ["none", "st"]
    assert list(baselines(folder))[2].startswith("plain ")
    numbers = {k: v for k, v in lines[0]["values"].items() if isinstance(v, float)}
    assert final(folder) == numbers and set(numbers) == {*ratios, *TIMES, *MEMORY}


def test_saved_bytes_are_a_tensor_and_an_index(run):
    for method in ("reinmax", "st", "gumbel_rao(3)"):
        folder = run(method.replace("(", "-").strip(")"), method, shape="300x7")
        saved = final(folder)["saved_mib"] * MIB
        if method != "gumbel_rao(3)":
            assert saved == 300 * 7 * 4 + 300 * 8
        assert baselines(folder)["none"]["saved_mib"] * MIB == 300 * 7 * 4


def test_memory_repeats_and_times_are_new(run):
    first, second = final(run("a", "gumbel_softmax")), final(run("b", "gumbel_softmax"))
    for name in MEMORY:
        assert first[name] == second[name]
    assert any(first[name] != second[name] for name in TIMES)


def test_st_is_no_baseline_of_itself_and_zgr_has_no_plain_form(run):
    assert set(baselines(run("st", "st"))) in ({"none", "plain 1"}, {"none", "plain 2"})
    assert set(baselines(run("zgr", "zgr"))) == {"none", "st"}
    assert set(baselines(run("no", "reinmax", plain=False))) == {"none", "st"}


@pytest.mark.parametrize(
    "workload, method, wanted",
    [
        ("poly", "reinmax", {"none", "st", "exact"}),
        ("poly", "rloo(3)", {"none", "st", "exact"}),
        ("poly", "exact", {"none", "st"}),
        ("vae", "gst(1)", {"none", "st", "exact"}),
        ("vae", "reinforce", {"none", "st", "exact"}),
        ("vae", "exact", {"none", "st"}),
        ("sbn-train", "psa", {"none", "st"}),
        ("sbn-train", "st", {"none"}),
        ("sbn-train", "ap1", {"none", "st"}),
        ("listops", "reinmax", {"none", "st"}),
    ],
)
def test_every_step_has_its_baselines(run, workload, method, wanted):
    latent = {"latent": "2x3"} if workload in ("poly", "vae") else {}
    folder = run("out", method, workload=workload, batch_size=4, **latent)
    plain = {name for name in baselines(folder) if " " in name}
    assert set(baselines(folder)) - plain == wanted
    assert bool(plain) == (method in ("reinmax", "gst(1)", "st"))
    for name in wanted | ({"torch"} if plain else set()):
        assert final(folder)[f"ratio_{name}"] > 0


def test_a_large_cell_of_the_vae_has_no_exact(run):
    folder = run("out", "st", workload="vae", latent="10x30", batch_size=2)
    assert "ratio_exact" not in final(folder)


def test_more_time_is_more_calls(run):
    folder = run("out", "reinmax", repetitions=2, seconds=0.2, plain=False)
    # Two candidates besides the method, 0.2 s for each.
    assert summary(folder)["wall_s"] > 0.5


# --- presets, resumption, mistakes ---------------------------------------------------------------


def test_smoke_times_five_estimators_at_two_shapes(gradthru):
    lines = assert_done(gradthru("run", "cost", "--dry-run")).stdout.splitlines()
    runs = [json.loads(line)["name"] for line in lines]
    assert len(runs) == len(set(runs)) == 10
    assert {name.split("-")[1] for name in runs} == {"6000x10", "8192x1024"}


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_be_run(gradthru, preset):
    lines = assert_done(gradthru("run", "cost", "--preset", preset, "--dry-run")).stdout.splitlines()
    assert len({json.loads(line)["name"] for line in lines}) == len(lines) > 0


def test_killed_and_resumed_has_all_repetitions(gradthru, start):
    out = gradthru.folder / "out"
    keys = settings(**(TINY | {"repetitions": 3000}))
    command = ["run", "cost", *keys, "--methods", "reinmax", "--out", out]
    process = start(*command, "--set", "run.checkpoint_seconds=0")
    last = out / "checkpoint" / "last.pt"
    wait_until(lambda: last.exists() and checkpoint_step(last) > 3, process, "a checkpoint")
    process.kill()
    process.communicate()
    assert not (out / "summary.json").exists()
    assert_done(gradthru(*command, "--resume"))
    lines = metrics(out)
    assert [line["kind"] for line in lines] == ["train", "probe", "probe", "probe"]
    assert {line["n"] for line in lines} == {3000} and {line["step"] for line in lines} == {3000}
    assert summary(out)["status"] == "complete"


@pytest.mark.parametrize(
    "method, keys, fragment",
    [
        ("st", {"shape": "6000"}, "shape must be <rows>x<categories>, such as 6000x10"),
        ("st", {"shape": "5x1"}, "shape must be"),
        ("st", {"shape": "100000x100000"}, "at most 200000000 logits"),
        ("st", {"workload": "vea"}, "workload wants a text out of kernel, poly, vae"),
        ("st", {"workload": "vae", "latent": "8"}, "latent must be <categories>x<variables>"),
        ("st", {"warm_ups": 0}, "warm_ups"),
        ("st", {"repetitions": 1}, "repetitions"),
        ("reinforce", {}, "takes values of a function, which workload=kernel does not have"),
        ("exact", {}, "exact wants a step whose states can be enumerated"),
        ("exact", {"workload": "vae", "latent": "10x30"}, "states can be enumerated"),
        ("exact", {"workload": "sbn-train"}, "states can be enumerated"),
        ("psa", {"workload": "vae"}, "wanted workload=sbn-train"),
        ("arm", {"workload": "vae", "latent": "3x2"}, "arm"),
        ("rloo(2)", {"workload": "listops"}, "workload=listops wants an estimator"),
        ("st(exp(1,0.1,50%))", {}, "constant temperatures"),
        ("st", {"workload": "sbn-train", "sbn__net": "cifar_s1", "sbn__width": 0.3}, "width"),
        ("st", {"workload": "vae", "vae__hidden": "[]"}, "at least one layer"),
    ],
)
def test_mistakes(gradthru, method, keys, fragment):
    result = gradthru("run", "cost", *settings(**(TINY | keys)), "--methods", method, "--out", "out")
    assert_refused(result, MISTAKE, fragment)
    assert not (gradthru.folder / "out").exists()
