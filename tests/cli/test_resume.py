"""A run that is killed, interrupted or damaged, and gone on with, ends as an undisturbed one."""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from tiny_data import (
    PROGRAM,
    VAE_FILES,
    assert_done,
    assert_refused,
    checkpoint_step,
    checkpoint_tensors,
    clean_environment,
    data,
    files_below,
    gradthru,
    metrics,
    start,
    summary,
    tiny_vae,
    values_text,
    wait_until,
)

EPOCHS = 12
STEPS = 60  # per epoch: 600 images, 10 a batch
METHOD = "gumbel_softmax(exp(1,0.3,60%))"  # noise and schedule both depend on the step
OFTEN = ["--set", "run.checkpoint_seconds=0"]
SELDOM = ["--set", "run.checkpoint_seconds=1000"]  # only at the ends of epochs


def command(data, out, *arguments, methods=METHOD, **keys):
    small = {"epochs": EPOCHS, "batch_size": 10, "model__hidden": "[16]"}
    return [*tiny_vae(data, **(small | keys)), "--methods", methods, "--out", out, *arguments]


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    """The folder of the run that nobody disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    subprocess.run(
        [PROGRAM, *map(str, command(data, folder / "out"))],
        env=clean_environment(folder),
        check=True,
        capture_output=True,
        timeout=60,
    )
    return folder / "out"


def lines_in(folder):
    path = folder / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def kill_when(process, condition, what):
    wait_until(condition, process, what, 60)
    process.kill()
    process.communicate()


def assert_same_run(folder, reference):
    """Files, values and results of an undisturbed run; only times may differ."""
    assert files_below(folder) == VAE_FILES
    assert values_text(folder) == values_text(reference)
    ours, theirs = summary(folder), summary(reference)
    for key in ("status", "steps", "final", "best", "method", "seed", "config_sha256"):
        assert ours[key] == theirs[key], key
    for name in ("last.pt", "best.pt"):
        assert checkpoint_tensors(folder / "checkpoint" / name) == checkpoint_tensors(
            reference / "checkpoint" / name
        )


# --- killed --------------------------------------------------------------------------------------

POINTS = {
    "before the first checkpoint": (SELDOM, lambda f: (f / "config.toml").exists()),
    "in the first epoch": (OFTEN, lambda f: (f / "checkpoint" / "last.pt").exists()),
    "after an epoch": (OFTEN, lambda f: lines_in(f) >= 2),
    "past the last checkpoint": (SELDOM, lambda f: lines_in(f) >= 4),
    "late": (OFTEN, lambda f: lines_in(f) >= 2 * (EPOCHS - 1)),
}


@pytest.mark.parametrize("point", POINTS)
def test_killed_and_resumed_is_undisturbed(start, gradthru, data, undisturbed, tmp_path, point):
    arguments, condition = POINTS[point]
    out = tmp_path / "out"
    process = start(*command(data, out, *arguments))
    kill_when(process, lambda: condition(out), point)
    assert not (out / "summary.json").exists()
    assert_done(gradthru(*command(data, out, "--resume")))
    assert_same_run(out, undisturbed)


@pytest.mark.parametrize("optimiser", ["radam", "sgd"])
def test_every_optimiser_resumes(start, gradthru, data, tmp_path, optimiser):
    keys = {"optimiser__name": optimiser, "optimiser__lr": 0.001, "epochs": 3}
    assert_done(gradthru(*command(data, tmp_path / "whole", **keys)))
    out = tmp_path / "out"
    process = start(*command(data, out, *OFTEN, **keys))
    kill_when(process, lambda: lines_in(out) >= 2, "the first epoch")
    assert_done(gradthru(*command(data, out, "--resume", **keys)))
    assert_same_run(out, tmp_path / "whole")


def test_killed_again_and_again(start, gradthru, data, undisturbed, tmp_path):
    out = tmp_path / "out"
    last = out / "checkpoint" / "last.pt"
    resume, written = [], None
    for _ in range(4):
        process = start(*command(data, out, *OFTEN, *resume))
        # A checkpoint that this process has written: each of them gets somewhere.
        before = written
        kill_when(
            process,
            lambda: last.exists() and last.stat().st_mtime_ns != before,
            "a new checkpoint",
        )
        written = last.stat().st_mtime_ns
        resume = ["--resume"]
    assert_done(gradthru(*command(data, out, "--resume")))
    assert_same_run(out, undisturbed)


def test_killed_before_the_summary(gradthru, data, undisturbed, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out)
    (out / "summary.json").unlink()
    assert_done(gradthru(*command(data, out, "--resume")))
    assert_same_run(out, undisturbed)


def test_killed_before_anything_was_written(gradthru, data, undisturbed, tmp_path):
    out = tmp_path / "out"
    (out / "checkpoint").mkdir(parents=True)
    assert_done(gradthru(*command(data, out, "--resume")))
    assert_same_run(out, undisturbed)


def test_resume_of_nothing_starts_afresh(gradthru, data, undisturbed, tmp_path):
    assert_done(gradthru(*command(data, tmp_path / "out", "--resume")))
    assert_same_run(tmp_path / "out", undisturbed)


# --- interrupted ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_and_resumed_is_undisturbed(
    start, gradthru, data, undisturbed, tmp_path, number
):
    out = tmp_path / "out"
    process = start(*command(data, out, *SELDOM))
    wait_until(lambda: lines_in(out) >= 2, process, "the first epoch")
    time.sleep(0.02)  # into the second one, which takes longer
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"interrupted: saved in {out}" in stdout and "--resume" in stdout
    assert "interrupted: saving" in stderr
    told = summary(out)
    assert told["status"] == "interrupted"
    assert STEPS <= told["steps"] < EPOCHS * STEPS
    assert checkpoint_step(out / "checkpoint" / "last.pt") == told["steps"]
    assert lines_in(out) == told["steps"] // STEPS * 2
    assert_done(gradthru(*command(data, out, "--resume")))
    assert_same_run(out, undisturbed)


def test_hang_ups_in_a_bunch_are_one_interruption(start, data, tmp_path):
    # Of the death of a parent with several threads, the kernel tells once for each.
    out = tmp_path / "out"
    process = start(*command(data, out, *SELDOM, epochs=1000))
    wait_until(lambda: lines_in(out) >= 2, process, "the first epoch")
    while process.poll() is None and not (out / "summary.json").exists():
        process.send_signal(signal.SIGHUP)
    process.communicate(timeout=30)
    assert process.returncode in (130, -signal.SIGHUP)  # the last may come after everything
    assert summary(out)["status"] == "interrupted"


def test_interrupted_before_it_begins_it_has_made_nothing(start, data, tmp_path):
    # Its data come through a pipe, so that it can be met while it loads them.
    root = tmp_path / "data"
    shutil.copytree(data, root)
    images = root / "mnist" / "train-images-idx3-ubyte.gz"
    content = images.read_bytes()
    images.unlink()
    os.mkfifo(images)
    process = start(*command(root, tmp_path / "out"))
    with open(images, "wb") as pipe:
        process.send_signal(signal.SIGINT)
        assert "interrupted" in process.stderr.readline() + process.stderr.readline()
        pipe.write(content)
    assert "interrupted; go on with the same command" in process.communicate(timeout=30)[0]
    assert process.returncode == 130 and not (tmp_path / "out").exists()


def test_interrupted_sweep_stops_there(start, gradthru, data, tmp_path):
    out = tmp_path / "out"
    sweep = {"methods": "st;reinmax"}
    process = start(*command(data, out, *SELDOM, **sweep))
    wait_until(lambda: lines_in(out / "st-s0") >= 2, process, "the first epoch")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert [p.name for p in out.iterdir()] == ["st-s0"]
    result = assert_done(gradthru(*command(data, out, "--resume", **sweep)))
    assert "skipped" not in result.stdout
    assert [summary(out / f"{m}-s0")["status"] for m in ("st", "reinmax")] == ["complete"] * 2


def test_interrupted_during_the_last_evaluation_stops_the_sweep(start, gradthru, data, tmp_path):
    # Enumerating 16,384 codes takes long after the last step, which itself is quick.
    out = tmp_path / "out"
    keys = {"methods": "st;reinmax", "latent": "2x14", "epochs": 1, "model__hidden": "[256]"}
    process = start(*command(data, out, *OFTEN, **keys))
    first = out / "st-s0"

    def is_evaluating():
        last = first / "checkpoint" / "last.pt"
        return last.exists() and checkpoint_step(last) == STEPS - 1

    wait_until(is_evaluating, process, "the last step")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert not (out / "reinmax-s0").exists()
    result = assert_done(gradthru(*command(data, out, "--resume", **keys)))
    assert sorted(p.name for p in out.iterdir()) == ["reinmax-s0", "st-s0"]
    assert result.stdout.count("complete after 60 steps") >= 1


# --- what a crash leaves in the files ------------------------------------------------------------


@pytest.fixture
def killed(start, data, tmp_path):
    """The folder of a run killed after its second epoch."""
    out = tmp_path / "killed"
    process = start(*command(data, out, *OFTEN))
    kill_when(process, lambda: lines_in(out) >= 4, "the second epoch")
    assert 4 <= lines_in(out) < 2 * EPOCHS
    return out


def test_half_written_line_is_dropped(killed, gradthru, data, undisturbed):
    with (killed / "metrics.jsonl").open("a") as file:
        file.write('{"v":1,"kind":"train","step":180,"epo')
    assert_done(gradthru(*command(data, killed, "--resume")))
    assert_same_run(killed, undisturbed)


def test_lines_beyond_the_checkpoint_are_cut(killed, gradthru, data, undisturbed):
    reference = (undisturbed / "metrics.jsonl").read_text().splitlines(keepends=True)
    with (killed / "metrics.jsonl").open("a") as file:
        file.write(reference[lines_in(killed)])
        file.write(reference[-1][:50])
    assert_done(gradthru(*command(data, killed, "--resume")))
    assert_same_run(killed, undisturbed)


def test_remains_of_a_half_written_checkpoint_do_no_harm(killed, gradthru, data, undisturbed):
    (killed / "checkpoint" / "last.pt.tmp").write_bytes(b"half")
    assert_done(gradthru(*command(data, killed, "--resume")))
    assert_same_run(killed, undisturbed)


def test_best_checkpoint_is_there_when_its_epoch_is_saved(gradthru, data, tmp_path):
    # The disc takes no best.pt at the end of the only epoch: nothing may say that it is saved.
    out = tmp_path / "out"
    (out / "checkpoint" / "best.pt.tmp").mkdir(parents=True)
    result = gradthru(*command(data, out, "--resume", epochs=1))
    assert result.returncode == 1 and f"cannot write {out}/checkpoint/best.pt" in result.stderr
    (out / "checkpoint" / "best.pt.tmp").rmdir()
    assert_done(gradthru(*command(data, out, "--resume", epochs=1)))
    assert files_below(out) == VAE_FILES
    assert lines_in(out) == 2


DAMAGE = {
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "flipped": lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:],
    "foreign": lambda content: b"no checkpoint at all\n" * 100,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_corrupt_checkpoint_is_told_and_best_goes_on(killed, gradthru, data, undisturbed, damage):
    last = killed / "checkpoint" / "last.pt"
    last.write_bytes(DAMAGE[damage](last.read_bytes()))
    before = {name: (killed / name).read_bytes() for name in files_below(killed)}
    refused = gradthru(*command(data, killed, "--resume", *OFTEN))
    assert_refused(refused, 2, f"checkpoint {last}: ", "--resume=best")
    assert {name: (killed / name).read_bytes() for name in files_below(killed)} == before
    assert_done(gradthru(*command(data, killed, "--resume=best")))
    assert_same_run(killed, undisturbed)


def test_best_that_is_missing_is_told(killed, gradthru, data):
    (killed / "checkpoint" / "best.pt").unlink()
    result = gradthru(*command(data, killed, "--resume=best"))
    assert_refused(result, 2, f"checkpoint {killed}/checkpoint/best.pt: no such file")


def test_broken_metrics_are_told(killed, gradthru, data):
    lines = (killed / "metrics.jsonl").read_text().splitlines(keepends=True)
    (killed / "metrics.jsonl").write_text(lines[0] + "nonsense\n" + "".join(lines[1:]))
    result = gradthru(*command(data, killed, "--resume"))
    assert_refused(result, 2, f"{killed}/metrics.jsonl: line 2 ")


@pytest.mark.parametrize("name", ["summary.json", "config.toml"])
def test_broken_file_of_the_run_is_told(killed, gradthru, data, name):
    (killed / name).write_text('{"status": ')
    assert_refused(gradthru(*command(data, killed, "--resume")), 2, f"{killed}/{name}")


# --- refused or skipped --------------------------------------------------------------------------


def test_finished_run_is_skipped(gradthru, data, undisturbed, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out)
    before = {name: (out / name).read_bytes() for name in files_below(out)}
    result = assert_done(gradthru(*command(data, out, "--resume")))
    assert re.search(r"s0: complete already, skipped\n", result.stdout)
    assert f"{summary(out)['final']['test_nelbo']:.2f}" in result.stdout.split("skipped")[1]
    assert {name: (out / name).read_bytes() for name in files_below(out)} == before


@pytest.mark.parametrize(
    "key, value", [("optimiser.lr", "0.004"), ("epochs", "9"), ("latent", "2x2")]
)
@pytest.mark.parametrize("finished", [True, False])
def test_changed_key_is_refused(gradthru, data, undisturbed, tmp_path, key, value, finished):
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out)
    if not finished:
        (out / "summary.json").unlink()
    before = {name: (out / name).read_bytes() for name in files_below(out)}
    result = gradthru(*command(data, out, "--resume", "--set", f"{key}={value}"))
    assert_refused(result, 2, str(out))
    assert result.stderr.endswith(f"these keys differ: {key}\n")
    assert {name: (out / name).read_bytes() for name in files_below(out)} == before


def test_changed_method_and_seed_are_refused(gradthru, data, undisturbed, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out)
    result = gradthru(*command(data, out, "--resume", "--seeds", "1", methods="st"))
    assert_refused(result, 2, "these keys differ: methods, seeds")


def test_folder_and_speed_may_change(killed, gradthru, data, undisturbed, tmp_path):
    shutil.copytree(data, tmp_path / "moved")
    assert_done(gradthru(*command(tmp_path / "moved", killed, "--resume", *SELDOM)))
    assert_same_run(killed, undisturbed)


def test_second_process_in_the_folder_is_refused(start, gradthru, data, tmp_path):
    out = tmp_path / "out"
    process = start(*command(data, out, *OFTEN, epochs=1000))
    wait_until(lambda: (out / "checkpoint" / "last.pt").exists(), process, "a checkpoint")
    result = gradthru(*command(data, out, "--resume", epochs=1000))
    assert_refused(result, 2, f"{out} is in use by another process")
    assert_refused(gradthru(*command(data, out, epochs=1000)), 2, f"{out} exists and is not empty")
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130 and summary(out)["status"] == "interrupted"


# --- sweeps --------------------------------------------------------------------------------------


def test_sweep_killed_between_runs_does_the_rest(start, gradthru, data, tmp_path):
    sweep = {"methods": "st;reinmax", "epochs": 2}
    seeds = ["--seeds", "0..1"]
    assert_done(gradthru(*command(data, tmp_path / "whole", *seeds, **sweep)))
    out = tmp_path / "out"
    process = start(*command(data, out, *seeds, *OFTEN, **sweep))
    kill_when(process, lambda: (out / "st-s1" / "checkpoint" / "last.pt").exists(), "the second")
    assert (out / "st-s0" / "summary.json").exists()
    first = (out / "st-s0" / "summary.json").read_bytes()
    result = assert_done(gradthru(*command(data, out, *seeds, "--resume", **sweep)))
    assert "st-s0: complete already, skipped\n" in result.stdout
    assert (out / "st-s0" / "summary.json").read_bytes() == first
    for name in ("st-s0", "st-s1", "reinmax-s0", "reinmax-s1"):
        assert_same_run(out / name, tmp_path / "whole" / name)


def test_resume_from_best_starts_what_had_not_begun(gradthru, data, tmp_path):
    out = tmp_path / "out"
    both = {"methods": "st;reinmax", "epochs": 1}
    assert_done(gradthru(*command(data, out / "st-s0", methods="st", epochs=1)))
    result = assert_done(gradthru(*command(data, out, "--resume=best", **both)))
    assert "st-s0: complete already, skipped\n" in result.stdout
    assert files_below(out / "reinmax-s0") == VAE_FILES
    assert len(metrics(out / "reinmax-s0")) == 2
