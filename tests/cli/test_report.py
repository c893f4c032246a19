"""`gradthru report`: tables of runs, and --check against expected.json."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tiny_data import assert_done, assert_refused, gradthru, settings, summary

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The folder of poly's smoke runs; tests work on copies of it."""
    from tiny_data import PROGRAM, clean_environment
    import subprocess

    folder = tmp_path_factory.mktemp("smoke")
    subprocess.run(
        [PROGRAM, "run", "poly", "--seeds", "0..1", "--out", "runs"],
        cwd=folder, env=clean_environment(folder), check=True, capture_output=True, timeout=120,
    )
    return folder / "runs"


@pytest.fixture
def runs(gradthru, smoke):
    shutil.copytree(smoke, gradthru.folder / "runs")
    return gradthru.folder / "runs"


def rewrite(run, metric, value):
    path = run / "summary.json"
    held = json.loads(path.read_text())
    held["final"][metric] = value
    path.write_text(json.dumps(held))


def lines_about(result, metric):
    return [line for line in result.stdout.splitlines() if f" {metric}@" in line]


def test_table_has_mean_and_deviation(gradthru, runs):
    text = assert_done(gradthru("report", "runs")).stdout
    assert text.startswith("poly, smoke:\n")
    row = re.search(r"^st +2 +(\S+) ± (\S+)", text, re.MULTILINE)
    values = [summary(runs / f"st-s{s}")["final"]["train_loss"] for s in (0, 1)]
    assert float(row[1]) == pytest.approx(sum(values) / 2, rel=1e-3)
    assert float(row[2]) == pytest.approx(abs(values[0] - values[1]) / 2**0.5, rel=0.05)
    assert "ok " not in text and "FAIL" not in text  # only on request


def test_check_passes_and_says_what_was_checked(gradthru, runs):
    result = assert_done(gradthru("report", "runs", "--check"))
    line, = lines_about(result, "train_exact_loss[st]-exact_loss[reinmax]")
    assert line.startswith("ok ") and "2 of 2 runs" in line and "derived" in line


def test_check_fails_on_a_figure_outside(gradthru, runs):
    rewrite(runs / "st-s1", "train_exact_loss", 0.2)
    result = gradthru("report", "runs", "--check")
    assert result.returncode == 1 and result.stderr == ""
    line, = lines_about(result, "train_exact_loss[st]-exact_loss[reinmax]")
    assert line.startswith("FAIL ") and "1 of 2 runs" in line
    assert str(runs / "st-s1") in result.stdout


def test_check_fails_on_a_missing_figure(gradthru, runs):
    path = runs / "st-s1" / "summary.json"
    held = json.loads(path.read_text())
    del held["final"]["train_exact_loss"]
    path.write_text(json.dumps(held))
    result = gradthru("report", "runs", "--check")
    assert result.returncode == 1 and "st-s1 has nothing" in result.stdout


def test_other_settings_are_not_held_to_it(gradthru):
    # A learning rate of one's own: nothing is expected of such runs.
    keys = settings(optimiser__lr=0.002, epochs=1)
    assert_done(gradthru("run", "poly", *keys, "--methods", "st;reinmax", "--out", "runs"))
    result = assert_done(gradthru("report", "runs", "--check"))
    assert lines_about(result, "train_exact_loss[st]-exact_loss[reinmax]") == []
    assert "expected" not in summary(gradthru.folder / "runs" / "st-s0")


def test_summary_tells_what_was_expected_of_the_run(runs):
    entry, = summary(runs / "st-s0")["expected"]
    assert entry["metric"] == "train_loss@final" and entry["ok"] is True
    assert entry["low"] <= entry["value"] <= entry["high"]


def test_points_of_a_grid_are_lines_of_their_own(gradthru):
    keys = settings(**{"epochs": 1, "steps_per_epoch": 2, "grid.p": "[2.0,3.0]"})
    assert_done(gradthru("run", "poly", *keys, "--methods", "st", "--out", "runs"))
    text = assert_done(gradthru("report", "runs")).stdout
    assert re.search(r"^p=2.0 +st +1 ", text, re.MULTILINE)
    assert re.search(r"^p=3.0 +st +1 ", text, re.MULTILINE)


def test_unfinished_runs_are_listed_not_averaged(gradthru, runs):
    (runs / "st-s1" / "summary.json").unlink()
    text = assert_done(gradthru("report", "runs")).stdout
    assert f"unfinished: {runs / 'st-s1'}" in text
    assert re.search(r"^st +1 ", text, re.MULTILINE)


def test_a_folder_given_twice_counts_once(gradthru, runs):
    text = assert_done(gradthru("report", "runs", "runs", runs / "st-s0")).stdout
    assert text == assert_done(gradthru("report", "runs")).stdout


@pytest.mark.parametrize(
    "folder, fragment", [("none", "there is no folder 'none'"), (".", "no run in '.'")]
)
def test_folders_without_runs(gradthru, folder, fragment):
    assert_refused(gradthru("report", folder), 2, fragment)


def assert_broken(gradthru, *fragments):
    """The run st-s0 is told to be broken, the others have their table, and no check passes."""
    text = assert_done(gradthru("report", "runs")).stdout
    line, = [line for line in text.splitlines() if line.startswith("broken: ")]
    assert all(fragment in line for fragment in ("st-s0", *fragments))
    assert re.search(r"^st +1 ", text, re.MULTILINE)
    checked = gradthru("report", "runs", "--check")
    assert checked.returncode == 1 and "FAIL  " in checked.stdout and "st-s0" in checked.stdout


def test_a_broken_summary_is_named(gradthru, runs):
    (runs / "st-s0" / "summary.json").write_text("{")
    assert_broken(gradthru, "summary.json")


def test_a_folder_of_another_program_is_named(gradthru, runs):
    path = runs / "st-s0" / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"experiment": "poli"}))
    assert_broken(gradthru, "unknown experiment 'poli'", "did you mean")


def test_check_fails_on_a_run_that_diverged(gradthru, runs):
    path = runs / "st-s1" / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "diverged"}))
    result = gradthru("report", "runs", "--check")
    assert result.returncode == 1 and "st-s1 has nothing" in result.stdout


@pytest.mark.parametrize("path", sorted(ROOT.glob("experiments/*/expected.json")), ids=str)
def test_every_entry_names_its_source_and_why(path):
    for entry in json.loads(path.read_text()):
        assert entry["source"] in ("derived", "own", "code", "public")
        assert entry["note"] and ("low" in entry or "high" in entry)
