"""`gradthru sweep`: studies that are killed, interrupted, pruned, gone on with, refused."""

import csv
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from tiny_data import (
    FAILURE,
    MISTAKE,
    PROGRAM,
    RUN_FILES,
    assert_done,
    assert_refused,
    clean_environment,
    files_below,
    gradthru,
    start,
    summary,
    values_text,
    wait_until,
)

from made_studies import ENGINE, program_that, result, study, sweep

from gradthru_sweep import command, comparison_file
from gradthru_sweep.points import known_points, sample_points
from gradthru_sweep.program import Program
from gradthru_sweep.study_file import load

METHODS = {  # as the program writes them
    (0.5, 1.0): "st(tau_f=0.5)",
    (0.5, 0.5): "st(tau_f=0.5,tau_b=0.5)",
    (1.0, 1.0): "st",
    (1.0, 0.5): "st(0.5)",
    (2.0, 1.0): "st(tau_f=2)",
    (2.0, 0.5): "st(tau_f=2,tau_b=0.5)",
}


def rows(folder):
    with open(folder / "trials.csv", newline="") as file:
        return list(csv.DictReader(file))


def at_work(folder):
    """The trials that have written metrics and are not over."""
    return [
        p.parent
        for p in folder.glob("trials/*/metrics.jsonl")
        if p.stat().st_size and not (p.parent / "summary.json").exists()
    ]


def processes_of(folder):
    """What runs with the folder, or one in it, among its arguments: process by process id."""
    found = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if any(word.startswith(str(folder)) for word in words):
            found[int(path.parent.name)] = words
    return found


# --- a grid, two workers, one of them killed -----------------------------------------------------


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The folder of a study of six trials, one worker of which was killed at its work."""
    folder = tmp_path_factory.mktemp("killed")
    study(folder, head="workers = 2", epochs=24)
    process = subprocess.Popen(
        [PROGRAM, "sweep", "study.toml", "--out", folder / "out"],
        env=clean_environment(folder),
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        wait_until(lambda: at_work(folder / "out"), process, "a trial was at work", 60)
        run, *_ = processes_of(at_work(folder / "out")[0])
        stat = pathlib.Path(f"/proc/{run}/stat").read_text()
        os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)  # the parent: its worker
        out, errors = process.communicate(timeout=90)
    finally:
        process.kill()
    logs = "".join(p.read_text() for p in sorted((folder / "out" / "logs").glob("worker-*")))
    return folder / "out", process.returncode, out + errors + logs


def test_the_trial_of_a_killed_worker_is_retried(killed):
    folder, code, said = killed
    assert code == 0, said
    assert "killed by SIGKILL" in said
    found = rows(folder)
    assert [row["state"] for row in found] == ["complete"] * 6
    # One attempt each, and one more for the trial that lost its worker.
    assert sorted(int(row["attempts"]) for row in found) == [1, 1, 1, 1, 1, 2], said
    assert len(re.findall(r"^trial \d complete", said, re.MULTILINE)) == 6
    assert list((folder / "workers").iterdir()) == []
    assert processes_of(folder) == {}


def test_a_trial_is_what_an_ordinary_run_is(killed, gradthru):
    folder, _, _ = killed
    (retried,) = (row for row in rows(folder) if row["attempts"] == "2")
    assert_done(
        gradthru(
            "run",
            "poly",
            "--methods",
            f"st(tau_f={retried['tau_f']},tau_b={retried['tau_b']})",
            "--set",
            "epochs=24",
            "--set",
            "steps_per_epoch=100",
            "--threads",
            "1",
            "--out",
            "plain",
        )
    )
    plain, trial = gradthru.folder / "plain", folder / retried["folder"]
    assert files_below(trial) == files_below(plain)
    assert values_text(trial) == values_text(plain)
    assert (trial / "config.toml").read_text() == (plain / "config.toml").read_text()
    assert summary(trial)["final"] == summary(plain)["final"]
    assert float(retried["value"]) == summary(plain)["final"]["train_exact_loss"]


def test_tables_say_what_the_runs_say(killed):
    folder, _, _ = killed
    told = result(folder)
    assert told["counts"] == {
        "complete": 6,
        "diverged": 0,
        "pruned": 0,
        "failed": 0,
        "running": 0,
        "waiting": 0,
    }
    pairs = [(f, b) for f in (0.5, 1.0, 2.0) for b in (1.0, 0.5)]
    assert [(t["params"]["tau_f"], t["params"]["tau_b"]) for t in told["trials"]] == pairs
    for row, trial in zip(rows(folder), told["trials"], strict=True):
        run = summary(folder / trial["folder"])
        assert run["method"] == METHODS[trial["params"]["tau_f"], trial["params"]["tau_b"]]
        assert trial["value"] == run["final"]["train_exact_loss"] == float(row["value"])
        assert trial["final"] == run["final"] and trial["values"] == {"0": trial["value"]}
        assert float(row["final.train_pi_0"]) == run["final"]["train_pi_0"]
    best = min(told["trials"], key=lambda t: t["value"])
    assert told["best"]["trial"] == best["trial"] and told["best"]["value"] == best["value"]


def marks(path, kind):
    """The labels of the marks of a chart."""
    found = ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}path")
    return [p.get("aria-label", "") for p in found if p.get("aria-roledescription") == kind]


def test_the_heatmap_has_a_cell_for_each_point_and_marks_the_diagonal(killed):
    folder, _, _ = killed
    labels = marks(folder / "heatmap.svg", "rect mark")
    told = result(folder)
    values = {(t["params"]["tau_f"], t["params"]["tau_b"]): t["value"] for t in told["trials"]}
    cells = [f"tau_f {f:g}, tau_b {b:g}: {value}" for (f, b), value in values.items()]
    diagonal = ["diagonal"] * 2  # 0.5 and 1; tau_b is never 2
    assert sorted(labels) == sorted(cells + diagonal)
    on, off = told["heatmap"]["best_on_diagonal"], told["heatmap"]["best_off_diagonal"]
    assert on["value"] == min(v for (f, b), v in values.items() if f == b)
    assert off["value"] == min(v for (f, b), v in values.items() if f != b)
    assert len(marks(folder / "lines.svg", "line mark")) == 3


def test_the_same_command_again_finds_nothing_to_do(killed, gradthru):
    folder, _, _ = killed
    before = {
        name: (folder / name).stat().st_mtime_ns
        for name in files_below(folder / "trials")
        if (folder / name).exists()
    }
    again = assert_done(gradthru("sweep", folder.parent / "study.toml", "--out", folder))
    assert "6 of 6 trials are over" in again.stdout and "6 complete" in again.stdout
    assert result(folder)["counts"]["complete"] == 6
    assert before == {name: (folder / name).stat().st_mtime_ns for name in before}


def test_a_folder_of_another_study_is_refused(killed, gradthru):
    folder, _, _ = killed
    before = (folder / "study.toml").read_text()
    other = study(gradthru.folder, "other", head='study = "study"\nseeds = 1', epochs=25)
    refused = gradthru("sweep", other, "--out", folder)
    assert_refused(refused, MISTAKE, "belongs to another study; these keys differ: seeds, set;")
    assert (folder / "study.toml").read_text() == before
    run_folder = folder / "trials" / "0000"
    assert_refused(
        gradthru("sweep", other, "--out", run_folder), MISTAKE, "holds files", "but no study"
    )


# --- interrupted, joined -------------------------------------------------------------------------


def test_an_interrupted_study_goes_on_and_others_may_join(start, gradthru):
    folder = gradthru.folder
    path = study(
        folder, head="workers = 1", space="tau_f = [1.0]\ntau_b = [0.5, 1.0, 2.0]", epochs=40
    )
    command = ["sweep", path, "--out", folder / "out"]
    first = start(*command)
    wait_until(lambda: at_work(folder / "out"), first, "a trial was at work", 60)
    (trial,) = at_work(folder / "out")
    first.send_signal(signal.SIGINT)
    out, errors = first.communicate(timeout=30)
    assert first.returncode == 130, out + errors
    assert "go on with the same command" in out
    # It was stopped, not killed: the run is saved, and no process is left.
    assert summary(trial)["status"] == "interrupted" and summary(trial)["steps"] > 0
    assert processes_of(folder / "out") == {}
    assert result(folder / "out")["counts"]["waiting"] == 3
    second, third = start(*command), start(*command, "--join")
    for process in (second, third):
        out, errors = process.communicate(timeout=90)
        assert process.returncode == 0, out + errors
    found = rows(folder / "out")
    assert [(row["state"], row["attempts"]) for row in found] == [
        ("complete", "2"),
        ("complete", "1"),
        ("complete", "1"),
    ]
    journal = (folder / "out" / "journal.log").read_text()
    assert len(set(re.findall(r'"worker":"([^"]+)"', journal))) == 3


# --- pruning, divergence, failure ----------------------------------------------------------------


def test_hopeless_trials_are_pruned_and_their_folders_stay_valid(gradthru):
    # The last one stands where the others fall, and is so slow that it is seen before its end.
    path = study(
        gradthru.folder,
        head="workers = 1",
        fixed='"optimiser.lr" = 0.01',
        epochs=100,
        steps=10,
        space='method = ["exact", "reinmax", "gumbel_rao(100)"]',
        tail="[pruning]\nstartup_trials = 2\nwarmup_epochs = 2",
    )
    assert_done(gradthru("sweep", path, "--out", "out"))
    folder = gradthru.folder / "out"
    good, also_good, hopeless = result(folder)["trials"]
    assert [good["state"], also_good["state"], hopeless["state"]] == [
        "complete",
        "complete",
        "pruned",
    ]
    assert hopeless["value"] is None and hopeless["attempts"] == 1
    assert 2 <= hopeless["pruned_after_epoch"] < 100
    run = folder / hopeless["folder"]
    assert files_below(run) == RUN_FILES
    assert summary(run)["status"] == "interrupted" and 20 <= summary(run)["steps"] < 1000
    assert (
        hopeless["folder"] in assert_done(gradthru("report", "out/trials")).stdout
    )  # as unfinished


def test_a_diverged_trial_is_told_apart_and_seeds_are_averaged(gradthru):
    path = study(
        gradthru.folder,
        head='workers = 1\nseeds = "3..4"',
        fixed='method = "st"',
        epochs=1,
        space='"optimiser.lr" = [1e-3, 1e300]\np = [2.0, 3.0]',
        steps=20,
        tail="""
[heatmap]
x = "p"
y = "optimiser.lr"
""",
    )
    assert_done(gradthru("sweep", path, "--out", "out"))
    folder = gradthru.folder / "out"
    trials = result(folder)["trials"]
    assert [t["state"] for t in trials] == ["complete", "complete", "diverged", "diverged"]
    assert trials[2]["value"] is None
    values = [
        summary(folder / "trials" / "0000" / f"st-s{seed}")["final"]["train_exact_loss"]
        for seed in (3, 4)
    ]
    assert values[0] != values[1]
    assert list(trials[0]["values"].values()) == values
    assert trials[0]["value"] == pytest.approx(sum(values) / 2, rel=1e-12)
    assert trials[0]["sd"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5, rel=1e-9)
    # Cells without a value are there all the same.
    labels = marks(folder / "heatmap.svg", "rect mark")
    assert len(labels) == 4 and sum(label.endswith(": diverged") for label in labels) == 2


def test_a_run_that_always_dies_fails_its_trial_only(gradthru, tmp_path):
    program = program_that(
        tmp_path,
        f"""
  case "$*" in
    *"tau_f=1.0,"*) [ -e {tmp_path}/healed ] || kill -9 $$ ;;
  esac""",
    )
    path = study(
        tmp_path,
        head="workers = 1\nretries = 1",
        epochs=1,
        steps=20,
        space="tau_f = [0.5, 1.0]\ntau_b = [1.0]",
    )

    failed = sweep(tmp_path, program, path)
    assert failed.returncode == FAILURE and "1 of 2 trials failed" in failed.stderr
    good, bad = result(tmp_path / "out")["trials"]
    assert (good["state"], good["attempts"]) == ("complete", 1)
    assert (bad["state"], bad["attempts"], bad["why"]) == ("failed", 2, "killed by SIGKILL")
    (tmp_path / "healed").touch()
    assert_done(sweep(tmp_path, program, path, "--retry-failed"))
    assert [t["state"] for t in result(tmp_path / "out")["trials"]] == ["complete"] * 2


# --- plans ---------------------------------------------------------------------------------------


def test_the_plan_tells_trials_and_time_and_makes_nothing(gradthru):
    head = 'sampler = "random"\ntrials = 3\nworkers = 2\nunequal = [["tau_f", "tau_b"]]'
    path = study(gradthru.folder, head=head)
    plan = assert_done(gradthru("sweep", path, "--plan")).stdout
    trials = re.findall(r"trial \d: tau_f=(\S+) tau_b=(\S+)", plan)
    assert len(trials) == len(set(trials)) == 3
    assert all(float(tau_f) != float(tau_b) for tau_f, tau_b in trials)
    assert set(trials) <= {(f, b) for f in ("0.5", "1", "2") for b in ("0.5", "1")}
    measured = re.search(
        r"start ([\d.]+) s, 800 updates of ([\d.]+) ms, 8 evaluations of ([\d.]+) ms: ([\d.]+) s",
        plan,
    )
    start, update, evaluation, total = map(float, measured.groups())
    assert total == pytest.approx(start + 0.8 * update + 0.008 * evaluation, abs=0.6)
    assert re.search(r"3 trials, 2 workers: about [\d.]+ s", plan)
    assert files_below(gradthru.folder) == ["study.toml"]
    typed = shlex.split(re.search(r"^trial 0 is: gradthru (.*)", plan, re.MULTILINE)[1])
    run = json.loads(assert_done(gradthru(*typed, "--dry-run")).stdout)
    tau_f, tau_b = map(float, trials[0])
    assert run["method"] == METHODS[tau_f, tau_b]


def test_random_points_follow_from_the_seed(tmp_path):
    def points(seed):
        head = f'sampler = "random"\ntrials = 4\nseed = {seed}'
        space = "tau_f = {low = 0.1, high = 3.0, log = true}\ntau_b = [0.5, 1.0]\n"
        space += "p = {low = 2, high = 4}"
        return known_points(load(study(tmp_path, head=head, space=space)))

    assert points(0) == points(0) != points(1)
    assert all(0.1 <= p["tau_f"] <= 3 and p["p"] in (2, 3, 4) for p in points(0))
    assert len({p["tau_f"] for p in points(0)}) == 4


def test_points_are_taken_as_they_are(tmp_path):
    path = study(
        tmp_path,
        head='sampler = "points"\npoints = [{tau_f = 1.0, tau_b = 2.0, p = 3}, '
        "{p = 2, tau_f = 0.5, tau_b = 2.0}]",
    )
    path.write_text(path.read_text().partition("[space]")[0])
    read = load(path)
    assert known_points(read) == [
        {"tau_f": 1.0, "tau_b": 2.0, "p": 3},
        {"tau_f": 0.5, "tau_b": 2.0, "p": 2},
    ]
    assert read.assignments(known_points(read)[1]) == [
        'methods=["st(tau_f=0.5,tau_b=2.0)"]',
        "epochs=8",
        "steps_per_epoch=100",
        "p=2",
        'seeds="0"',
    ]


def test_the_studies_of_the_docs_can_be_run(tmp_path):
    text = (ENGINE.parent / "docs" / "sweeps.md").read_text()
    blocks = re.findall(r"^    experiment = .*\n(?:    .*\n|\n(?=    ))*", text, re.MULTILINE)
    assert len(blocks) >= 3
    for block in blocks:
        path = tmp_path / "docs.toml"
        path.write_text(re.sub("^    ", "", block, flags=re.MULTILINE))
        if comparison_file.is_comparison(path):
            arms = comparison_file.load(path, None, None).arms.values()
            studies = [arm.search for arm in arms]
        else:
            studies = [load(path)]
        for read in studies:
            assert can_be_run(read)


def can_be_run(read):
    points = [p for p in known_points(read) if p is not None] or sample_points(read)
    return len(Program(PROGRAM, read).check(points)) == len(points)


def test_a_dry_run_tells_the_run_and_makes_nothing(gradthru):
    settings = ["--methods", "st(0.5)", "--set", "epochs=3", "--set", "steps_per_epoch=5"]
    told = gradthru("run", "poly", *settings, "--dry-run=time", "--out", "out")
    run = json.loads(assert_done(told).stdout)
    assert (run["method"], run["seed"], run["folder"]) == ("st(0.5)", 0, "out")
    assert (run["epochs"], run["steps"]) == (3, 15)
    assert all(0 < run[key] < 10 for key in ("start_s", "step_s", "epoch_end_s"))
    assert files_below(gradthru.folder) == []
    assert_done(gradthru("run", "poly", *settings, "--out", "out"))
    done = summary(gradthru.folder / "out")
    assert run["config_sha256"] == done["config_sha256"] and run["values"] == list(done["final"])
    again = gradthru("run", "poly", *settings, "--dry-run", "--out", "out")
    assert_refused(again, MISTAKE, "exists and is not empty")
    assert_refused(gradthru("run", "poly", "--dry-run=x"), MISTAKE, "batch, time or last, got 'x'")


# --- mistakes ------------------------------------------------------------------------------------


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """refused(path, fragments): the engine, which need not be started for this, wants another file,
    and has made nothing."""
    monkeypatch.chdir(tmp_path)

    def run(path, *fragments):
        code = command.main([path.name, "--program", PROGRAM])
        said = capsys.readouterr()
        assert_refused(
            subprocess.CompletedProcess([], code, said.out, said.err), MISTAKE, *fragments
        )
        assert files_below(tmp_path) == [path.name]

    return run


@pytest.mark.parametrize(
    "given, fragments",
    [
        ({"space": "tau = []"}, ["space: tau", "at least one value"]),
        ({"space": ""}, ["[space] is empty or missing"]),
        ({"space": "p = {low = 1.0, high = 2.0}"}, ["p is a range", "list"]),
        ({"space": "p = [2.0, 2]"}, ["2 is there twice"]),
        ({"space": "p = 2.0"}, ["wants a list of values or {low"]),
        ({"space": "seeds = [1, 2]"}, ["'seeds' would give a trial several runs"]),
        ({"fixed": 'method = "st({tau})"'}, ["a template uses {tau}"]),
        ({"head": "smapler = 1"}, ["unknown key 'smapler'", "did you mean 'sampler'"]),
        ({"head": 'sampler = "tpe"'}, ["trials is missing"]),
        (
            {"head": 'sampler = "grit"'},
            ["sampler wants grid or points or random or tpe, got 'grit'"],
        ),
        ({"head": "trials = 3"}, ["trials is for random and tpe"]),
        ({"head": "workers = 0"}, ["workers wants an integer >= 1, got 0"]),
        ({"head": 'seeds = "4..2"'}, ["seeds wants 0..4 or 0,2,5"]),
        ({"head": 'sampler = "points"'}, ["points = [{key = value, …}, …]", "go together"]),
        ({"head": 'unequal = [["p", "q"]]'}, ["unequal: 'q' is not in the space"]),
        ({"tail": '[heatmap]\nx = "p"\ny = "q"'}, ["heatmap: 'q' is not in the space"]),
        ({"tail": '[pruning]\nmethod = "meadian"'}, ["pruning: method wants median or asha"]),
        ({"tail": "[space]"}, ["study.toml: "]),  # twice: no TOML
        # What only the program knows.
        ({"space": "optimizer.lr = [0.1]"}, ["unknown key 'optimizer.lr'", "'optimiser.lr'"]),
        ({"space": "p = [2.0, 0.5]"}, ["p=0.5", "p wants a number >= 1"]),
        ({"space": "batch_size = [1.5]"}, ["batch_size wants an integer"]),
        ({"fixed": 'method = "stt"'}, ["unknown estimator 'stt'"]),
        ({"fixed": ""}, ["3: the preset has the methods exact, reinmax, st; give one"]),
        ({"head": 'preset = "short"', "space": "c = [0.4]"}, ["3: the preset has a [grid]"]),
        ({"head": 'sampler = "random"\ntrials = 2'}, ["trials is 2, but the space has 1 point"]),
    ],
    ids=lambda given: "-".join(given) if isinstance(given, dict) else "",
)
def test_a_wrong_study_is_refused_before_any_work(refused, tmp_path, given, fragments):
    path = study(tmp_path, **({"fixed": 'method = "st"', "space": "p = [2.0]"} | given))
    refused(path, "study.toml: ", *fragments)


def test_an_unknown_objective_is_refused_with_the_nearest(refused, tmp_path):
    path = study(tmp_path, fixed='method = "st"', space="p = [2.0]", epochs=2, steps=10)
    path.write_text(path.read_text().replace("train_exact_loss", "train_exakt_loss"))
    refused(path, "has no 'train_exakt_loss'", "'train_exact_loss'?")
    path.write_text(path.read_text().replace("train_exakt_loss", "worst.train_loss"))
    refused(path, "best.test_nelbo, got 'worst.train_loss'")


def test_what_is_missing_is_told(gradthru, tmp_path):
    assert_refused(gradthru("sweep", "none.toml"), MISTAKE, "cannot read 'none.toml': No such file")
    path = study(gradthru.folder)
    assert_refused(gradthru("sweep", path, "--join"), MISTAKE, "no study in runs/sweep-study yet")
    no_python = gradthru("sweep", path, GRADTHRU_PYTHON="/nonexistent/python")
    assert_refused(
        no_python, MISTAKE, "cannot start Python as '/nonexistent/python'", "GRADTHRU_PYTHON"
    )
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # without its packages
    bare.chmod(0o755)
    no_optuna = gradthru("sweep", path, GRADTHRU_PYTHON=str(bare))
    assert_refused(no_optuna, MISTAKE, "sweep needs Optuna", "-m pip install optuna==")
    assert files_below(gradthru.folder) == ["study.toml"]
