"""`gradthru sweep` with arms: temperatures compared with one budget, fresh seeds and a control."""

import csv
import json
import math
import pathlib
import signal
import subprocess
import sys

import pytest

from tiny_data import (
    MISTAKE,
    PROGRAM,
    assert_refused,
    clean_environment,
    files_below,
    gradthru,
    wait_until,
)

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))

from gradthru_sweep import comparison_file  # noqa: E402
from gradthru_sweep.differences import Winner, paired  # noqa: E402

INTERRUPTED = 130
ARMS = """
diagonal = "st(tau_f={tau},tau_b={tau})"
decoupled = "st(tau_f={tau_f},tau_b={tau_b})"
identity = "identity"
"""


def comparison(folder, head="", arms=ARMS, space="c = [0.3, 0.4, 0.45]", fixed=""):
    """A comparison on `poly`, which needs no data."""
    path = folder / "two.toml"
    path.write_text(f"""
experiment = "poly"
objective = "train_exact_loss"
report = ["train_exact_loss", "best.train_exact_loss"]
temperatures = [0.5, 1.0, 2.0]
trials = 5
fresh_seeds = "1..3"
control = "optimiser.lr"
workers = 2
{head}
[set]
epochs = 3
steps_per_epoch = 60
{fixed}
[space]
{space}
[arms]
{arms}
""")
    return path


def trials(folder):
    with open(folder / "trials.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A comparison that was interrupted in its second arm and gone on with."""
    folder = tmp_path_factory.mktemp("compared")
    comparison(folder)
    command = [PROGRAM, "sweep", "two.toml", "--out", "out"]
    process = subprocess.Popen(
        command, env=clean_environment(folder), cwd=folder, text=True, stdout=subprocess.PIPE
    )
    try:
        second = folder / "out" / "arms" / "decoupled"
        wait_until(lambda: [*second.glob("trials/*/metrics.jsonl")], process, "an arm ran", 90)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == INTERRUPTED
    done = subprocess.run(
        command, env=clean_environment(folder), cwd=folder, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "going on: 5 of 5 trials are over" in done.stdout
    return folder / "out", done.stdout


def test_every_arm_has_the_same_budget(compared):
    folder, _ = compared
    found = {name: trials(folder / "arms" / name) for name in ("diagonal", "decoupled")}
    assert {name: len(rows) for name, rows in found.items()} == {"diagonal": 5, "decoupled": 5}
    assert all(row["tau_f"] != row["tau_b"] for row in found["decoupled"])
    assert len(trials(folder / "arms" / "identity")) == 3  # all there are


def test_winners_are_the_best_by_the_objective_and_run_with_fresh_seeds(compared):
    folder, _ = compared
    for name, keys in (("diagonal", ["tau", "c"]), ("decoupled", ["tau_f", "tau_b", "c"])):
        best = min(trials(folder / "arms" / name), key=lambda row: float(row["value"]))
        again = trials(folder / "winners" / name)
        assert [row["seed"] for row in again] == ["1", "2", "3"]
        assert all([row[k] for k in keys] == [best[k] for k in keys] for row in again)


def test_the_control_has_the_learning_rate_that_tau_b_would_give(compared):
    folder, _ = compared
    best = trials(folder / "winners" / "diagonal")[0]
    tau_b = float(trials(folder / "winners" / "decoupled")[0]["tau_b"])
    for row in trials(folder / "controls" / "diagonal-for-decoupled"):
        assert (row["tau"], row["c"]) == (best["tau"], best["c"])
        assert float(row["optimiser.lr"]) == float(best["tau"]) / tau_b
    config = (folder / "controls/diagonal-for-decoupled/trials/0000/config.toml").read_text()
    assert f"lr = {float(best['tau']) / tau_b:g}"[:8] in config


def test_differences_are_those_of_equal_seeds(compared):
    folder, said = compared
    one, two = (trials(folder / "winners" / name) for name in ("diagonal", "decoupled"))
    each = [float(b["value"]) - float(a["value"]) for a, b in zip(one, two, strict=True)]
    record = json.loads((folder / "comparison.json").read_text())
    [pair] = record["pairs"]
    assert (pair["first"], pair["second"]) == ("decoupled", "diagonal")
    told = pair["differences"]["train_exact_loss"]["plain"]
    assert told["mean"] == pytest.approx(sum(each) / 3, rel=1e-12)
    spread = math.sqrt(sum((d - sum(each) / 3) ** 2 for d in each) / 2)
    half = 4.302652729911275 * spread / math.sqrt(3)  # Student's, two degrees of freedom
    assert told["high"] - told["low"] == pytest.approx(2 * half, rel=1e-9)
    [sentence] = record["sentences"]
    assert f"{told['mean']:+.4g}" in sentence and sentence in said
    at_end = [r["c"] in ("0.3", "0.45") for r in (one[0], two[0])]
    assert ("c of diagonal" in sentence, "c of decoupled" in sentence) == tuple(at_end)
    assert sentence in (folder / "comparison.md").read_text()


def test_the_map_has_the_diagonal_of_the_other_arm(compared):
    folder, _ = compared
    text = (folder / "heatmap-decoupled.svg").read_text()
    for row in trials(folder / "arms" / "diagonal"):
        state = f"tau_f {float(row['tau']):g}, tau_b {float(row['tau']):g}: "
        assert state in text and f"{state}not asked for" not in text
    assert (folder / "lines-decoupled.svg").exists()


def test_going_on_with_what_is_done_runs_nothing(compared):
    folder, _ = compared
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("summary.json")}
    done = subprocess.run(
        [PROGRAM, "sweep", "two.toml", "--out", "out"],
        env=clean_environment(folder.parent),
        cwd=folder.parent,
        capture_output=True,
    )
    assert done.returncode == 0
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("summary.json")} == before


# --- statistics and sentences --------------------------------------------------------------------


def winner(*values, lost=0):
    return Winner({"tau": 1.0}, {seed: {"m": v} for seed, v in enumerate(values)}, lost)


def test_an_interval_is_students():
    difference = paired(winner(2.0, 4.0, 6.0), winner(1.0, 2.0, 3.0), "m")
    half = 4.302652729911275 / math.sqrt(3)
    assert (difference.mean, difference.seeds) == (2.0, 3)
    assert (difference.low, difference.high) == pytest.approx((2 - half, 2 + half))
    assert difference.verdict(minimises=True) == 0


def test_who_is_better_depends_on_the_direction():
    difference = paired(winner(1.0, 1.1, 0.9), winner(2.0, 2.1, 1.95), "m")
    assert difference.high < 0
    assert difference.verdict(minimises=True) == 1
    assert difference.verdict(minimises=False) == -1


def test_one_seed_tells_nothing():
    difference = paired(winner(1.0), winner(2.0, 3.0), "m")
    assert (difference.mean, difference.low, difference.seeds) == (-1.0, None, 1)
    assert difference.verdict(minimises=True) == 0
    assert paired(winner(), winner(2.0), "m") is None


# --- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given, fragment",
    [
        ({"arms": ""}, "arms: wants at least one"),
        ({"arms": 'a = "st({tau_b})"'}, "wants {tau}, or {tau_f} and {tau_b}, in 'st({tau_b})'"),
        ({"arms": 'a = "st(tau_g={tau})"'}, "tau_g"),
        ({"arms": 'a = "st({tau})"\n[arms.b]\nc = 1'}, "got 'b'"),
        ({"arms": 'a = "st({tau})"\nb = "stt({tau})"'}, "unknown estimator 'stt'"),
        ({"head": 'pairs = [["decoupled", "diagonl"]]'}, "did you mean 'diagonal'?"),
        ({"head": "seeds = 2"}, "fresh_seeds: 2 is among seeds"),
        ({"head": "trial = 3"}, "unknown key 'trial'; did you mean 'trials'?"),
        ({"space": "tau = [1.0]"}, "space: 'tau' is for temperatures"),
        ({"fixed": 'method = "st"'}, "'method' belongs to [arms]"),
        ({"fixed": "optimiser.lr = 0.1"}, "control: 'optimiser.lr' is in [set] too"),
        ({"fixed": "epoch = 3"}, "epoch"),
    ],
    ids=lambda given: "-".join(given) if isinstance(given, dict) else "",
)
def test_a_wrong_comparison_is_refused_before_any_work(gradthru, given, fragment):
    path = comparison(gradthru.folder, **given)
    assert_refused(gradthru("sweep", path.name), MISTAKE, "two.toml: ", fragment)
    assert files_below(gradthru.folder) == ["two.toml"]


@pytest.mark.parametrize(
    "old, new, fragment",
    [
        ('"train_exact_loss", ', '"train_exakt_loss", ', "did you mean 'train_exact_loss'?"),
        ("[0.5, 1.0, 2.0]", "[0.5]", "temperatures wants a list of at least two"),
        ('control = "optimiser.lr"', 'control = "optimizer.lr"', "optimizer.lr"),
        ("trials = 5", "", "trials is missing"),
    ],
)
def test_wrong_values_are_refused_before_any_work(gradthru, old, new, fragment):
    path = comparison(gradthru.folder)
    path.write_text(path.read_text().replace(old, new))
    assert_refused(gradthru("sweep", path.name), MISTAKE, "two.toml: ", fragment)
    assert files_below(gradthru.folder) == ["two.toml"]


def test_pairs_are_those_of_the_same_method(tmp_path):
    arms = ARMS + 'noisy = "gumbel_softmax(tau_f={tau_f},tau_b={tau_b})"\n'
    found = comparison_file.load(comparison(tmp_path, arms=arms), None, None)
    assert found.pairs == [("decoupled", "diagonal")]
    asked = comparison(tmp_path, arms=arms, head='pairs = [["noisy", "identity"]]')
    assert comparison_file.load(asked, None, None).pairs == [("noisy", "identity")]
