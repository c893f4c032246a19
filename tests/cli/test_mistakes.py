"""What goes wrong is told in one line, with the exit code that says whose fault it is."""

import json
import shutil
import signal
import subprocess

import numpy as np
import pytest

from tiny_data import (
    FAILURE,
    MISTAKE,
    PROGRAM,
    TRAIN,
    assert_done,
    assert_nothing_left,
    assert_refused,
    checkpoint_tensors,
    clean_environment,
    data,
    files_below,
    gradthru,
    metrics,
    refused,
    start,
    summary,
    tiny_vae,
    wait_until,
)


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, unknown, nearest",
    [
        (["rnu", "vae"], "command 'rnu'", "run"),
        (["lsit"], "command 'lsit'", "list"),
        (["list", "estimatrs"], "command 'estimatrs'", "estimators"),
        (["run", "vae", "--prest", "smoke"], "option '--prest'", "--preset"),
        (["run", "vae", "--method=st"], "option '--method=st'", "--methods"),
        (["--versoin"], "option '--versoin'", "--version"),
        (["run", "vea"], "experiment 'vea'", "vae"),
        (["run", "vae", "--preset", "smok"], "preset 'smok'", "smoke"),
        (["run", "vae", "--methods", "rainmax"], "estimator 'rainmax'", "reinmax"),
        (["run", "vae", "--methods", "st;gumble_rao(3)"], "estimator 'gumble_rao'", "gumbel_rao"),
        (["run", "vae", "--methods", "st(tua=1)"], "parameter 'tua'", "tau"),
        (["run", "vae", "--methods", "gst(gpa=1)"], "parameter 'gpa'", "gap"),
        (["run", "vae", "--set", "latnt=4x2"], "key 'latnt'", "latent"),
        (["run", "vae", "--set", "optimizer.lr=1"], "key 'optimizer.lr'", "optimiser.lr"),
        (["run", "vae", "--set", "lr=1"], "key 'lr'", "optimiser.lr"),
        (["run", "vae", "--set", "grid.latnt=[]"], "key 'latnt'", "latent"),
        (["run", "vae", "--set", 'methods=["reinmx"]'], "estimator 'reinmx'", "reinmax"),
    ],
)
def test_unknown_name_is_told_with_the_nearest(gradthru, arguments, unknown, nearest):
    result = gradthru(*arguments)
    assert_refused(result, MISTAKE, f"unknown {unknown}", f"did you mean '{nearest}'?")
    assert_nothing_left(gradthru.folder)


@pytest.mark.parametrize(
    "arguments, known",
    [
        (["run", "xyzzy"], "known: poly, vae, vae-probe, vae-gst, vae-iw, sbn-accuracy, "),
        (["run", "poly", "--preset", "xyzzy"], "known: smoke, short, paper"),
        (["run", "vae", "--methods", "xyzzy"], "known: st, identity, darn, zgr"),
        (["run", "vae", "--methods", "darn(xyzzy=1)"], "known: tau_f, tau"),
        (["run", "vae", "--set", "xyzzy=1"], "known keys: methods, seeds, latent"),
    ],
)
def test_name_like_no_other_is_told_with_the_known_ones(gradthru, arguments, known):
    result = gradthru(*arguments)
    assert_refused(result, MISTAKE, "unknown ", known)
    assert "did you mean" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["list"],
        ["run", "vae", "extra"],
        ["run", "vae", "--out"],
        ["run", "vae", "--methods", "st", "--methods", "gst"],
        ["run", "vae", "--resume=first"],
        ["run", "vae", "--threads", "0"],
        ["run", "vae", "--threads", "two"],
        ["run", "vae", "--methods", ""],
        ["run", "vae", "--seeds", ""],
        ["run", "vae", "--config", ""],
        ["run", "vae", "--preset", ""],
        ["run", "vae", "--out", ""],
    ],
    ids=" ".join,
)
def test_bad_usage_is_refused(gradthru, arguments):
    assert_refused(gradthru(*arguments), MISTAKE)
    assert_nothing_left(gradthru.folder)


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "v\nx"],
        ["run", "vae", "--methods", "st\nx"],
        ["run", "vae", "--set", "latent=4\nx2"],
        ["run", "vae", "--seeds", "0\n1"],
        ["run", "vae", "--no\nflag"],
    ],
)
def test_a_line_break_in_what_was_given_makes_no_second_line(gradthru, arguments):
    result = gradthru(*arguments)
    assert_refused(result, MISTAKE)
    assert result.stderr[:-1].isprintable()


# --- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method, message",
    [
        ("st(0)", "st: tau_b must be finite and > 0, got 0"),
        ("st(-0.5)", "st: tau_b must be finite and > 0, got -0.5"),
        ("st(nan)", "st: tau_b must be finite and > 0, got nan"),
        ("reinmax(tau_f=0)", "reinmax: tau_f must be finite and > 0, got 0"),
        ("st(tau_f=-1)", "st: tau_f must be finite and >= 0, got -1"),
        ("gumbel_softmax(tau=exp(1,0))", "gumbel_softmax: tau_b must be finite and > 0, got 0"),
        ("st(exp(1,0.5,0%))", "the share of a schedule must be in (0, 1], got 0"),
        ("st(exp(1,0.5,200%))", "the share of a schedule must be in (0, 1], got 2"),
        ("st(warm)", "st: tau must be a number, got 'warm'"),
        ("gst(-0.5)", "gst: gap must be finite and >= 0, or 'p', got -0.5"),
        ("gst(nan)", "gst: gap must be finite and >= 0, or 'p', got nan"),
        ("gumbel_rao(0)", "gumbel_rao: samples must be >= 1, got 0"),
        ("st_zgr(3)", "st_zgr: alpha must be in [0, 2], got 3"),
        ("gumbel_softmax(hard=false,tau_f=1,tau_b=0.5)", "hard=false needs tau_f = tau_b"),
        ("st(tau=1,tau_f=1)", "st: tau is the single-temperature form and excludes tau_f"),
        ("darn(1)", "darn: wanted key=value, got '1'"),
        ("st(1", "'st(1': missing ')'"),
        ("st)", "'st)': ')' without '('"),
        ("rloo(4)", "wanted an estimator that takes the gradient at the sample"),
        ("rloo(1)", "rloo: samples must be >= 2, got 1"),
        ("reinforce(baseline=mean)", "reinforce: baseline must be a number, got 'mean'"),
        ("st;st", "run st-s0 is asked for twice"),
        (";", "wanted at least one estimator"),
    ],
)
def test_bad_method_is_refused_with_the_bound(refused, method, message):
    refused(["--methods", method], message)


@pytest.mark.parametrize(
    "assignment, message",
    [
        ("epochs=0", "epochs wants an integer >= 1, got 0"),
        ("epochs=two", "epochs wants an integer >= 1, got 'two'"),
        ("optimiser.lr=0", "optimiser.lr wants a number > 0, got 0"),
        ("optimiser.lr=-1", "optimiser.lr wants a number > 0, got -1"),
        ("optimiser.lr=nan", "optimiser.lr wants a number > 0, got nan"),
        ("optimiser.name=adm", "optimiser.name wants a text out of adam, radam, sgd, got 'adm'"),
        ("data.name=minst", "data.name wants a text out of mnist, fashion-mnist, digits"),
        ("data.verify=perhaps", "data.verify wants true or false, got 'perhaps'"),
        ("data.train_limit=-1", "data.train_limit wants an integer >= 0, got -1"),
        ("model.hidden=[16, 0]", "model.hidden wants a list of integers >= 1"),
        ("latent=4", "latent must be <categories>x<variables>, such as 8x4, got '4'"),
        ("latent=1x4", "latent must be <categories>x<variables>"),
        ("latent=4x0", "latent must be <categories>x<variables>"),
        ("latent=4x2x2", "latent must be <categories>x<variables>"),
        ("methods=[]", "methods: wanted at least one estimator"),
        ("epochs", "--set epochs: wants key=value"),
        ("=3", "--set =3: wants key=value"),
        ("grid.epochs=3", "grid: epochs wants a list of values, got 3"),
        ("grid.epochs=[1, 0]", "epochs wants an integer >= 1"),
        ('grid.latent=["4x2", "1x2"]', "latent must be <categories>x<variables>"),
        ('grid.latent=["4x2", "4x2"]', "asked for twice"),
        ('grid.seeds=["0", "1"]', "grid: seeds"),
        ('grid.methods=["st", "gst"]', "grid: methods"),
    ],
)
def test_bad_setting_is_refused_with_what_is_wanted(refused, assignment, message):
    refused(["--set", assignment], message)


@pytest.mark.parametrize(
    "seeds",
    ["x", "-1", "1.5", "2..1", "0..", "1,,2", "1,", "0..99999999", "18446744073709551616"],
)
def test_nonsense_for_seeds_is_refused(refused, seeds):
    refused([f"--seeds={seeds}"], f"seeds must be like 0..4 or 0,2,5, got '{seeds}'")


def test_seed_that_comes_twice_is_refused(refused):
    refused(["--methods", "st", "--seeds", "0,1,0"], "run st-s0 is asked for twice")


def test_the_largest_seeds_work(gradthru, data):
    last = 2**64 - 1
    arguments = ["--methods", "st", "--seeds", f"{last - 1}..{last}", "--out", "out"]
    assert_done(gradthru(*tiny_vae(data, epochs=1), *arguments, timeout=20))
    assert sorted(p.name for p in (gradthru.folder / "out").iterdir()) == [
        f"st-s{last - 1}",
        f"st-s{last}",
    ]


# --- configuration files -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, message",
    [
        ("epoks = 3\n", "mine.toml, line 1: unknown key 'epoks'; did you mean 'epochs'?"),
        ("epochs = 3\n[data]\nnme = 'x'\n", "mine.toml, line 3: unknown key 'data.nme'"),
        ("epochs = \n", "mine.toml, line 1: "),
        ("epochs = 3\nepochs = 4\n", "mine.toml, line 2: "),
        ("epochs = 'three'\n", "mine.toml, line 1: epochs wants an integer >= 1, got 'three'"),
        ("[grid]\nlatnt = ['4x2']\n", "mine.toml, line 2, grid: unknown key 'latnt'"),
        ("methods = ['sst']\n", "unknown estimator 'sst'; did you mean 'st'?"),
        ("\x00\x01", "mine.toml, line 1: "),
    ],
)
def test_bad_config_file_is_told_with_its_line(gradthru, data, tmp_path, text, message):
    (tmp_path / "mine.toml").write_text(text)
    result = gradthru(*tiny_vae(data), "--config", tmp_path / "mine.toml", "--out", "out")
    assert_refused(result, MISTAKE, message)
    assert_nothing_left(gradthru.folder)


def test_config_that_is_no_file_is_refused(refused, tmp_path):
    refused(["--config", tmp_path / "none.toml"], f"cannot read '{tmp_path}/none.toml'")
    refused(["--config", tmp_path], f"cannot read '{tmp_path}'")


def test_config_that_is_empty_says_nothing(gradthru, data, tmp_path):
    (tmp_path / "mine.toml").touch()
    arguments = ["--methods", "st", "--config", tmp_path / "mine.toml", "--out", "out"]
    assert_done(gradthru(*tiny_vae(data, epochs=1), *arguments))


# --- the run's folder ----------------------------------------------------------------------------


def test_folder_that_is_not_empty_is_refused_and_kept(gradthru, data):
    out = gradthru.folder / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    for methods in ("st", "st;gst"):
        command = [*tiny_vae(data), "--methods", methods, "--out", out]
        assert_refused(gradthru(*command), MISTAKE, f"{out} exists and is not empty", "--resume")
    resumed = gradthru(*tiny_vae(data), "--methods", "st", "--out", out, "--resume")
    assert_refused(resumed, MISTAKE, f"{out} holds files, but no run to resume")
    assert files_below(gradthru.folder) == ["out/notes.txt"]


def test_finished_run_is_not_overwritten(gradthru, data):
    command = [*tiny_vae(data, epochs=1), "--methods", "st", "--out", "out"]
    assert_done(gradthru(*command))
    before = {name: (gradthru.folder / name).read_bytes() for name in files_below(gradthru.folder)}
    assert_refused(gradthru(*command), MISTAKE, "out exists and is not empty")
    assert before == {
        name: (gradthru.folder / name).read_bytes() for name in files_below(gradthru.folder)
    }


@pytest.mark.parametrize("methods", ["st", "st;gst"])
def test_out_that_is_a_file_is_refused(gradthru, data, tmp_path, methods):
    (tmp_path / "file").write_text("mine")
    result = gradthru(*tiny_vae(data), "--methods", methods, "--out", tmp_path / "file")
    assert_refused(result, MISTAKE, f"{tmp_path}/file is not a folder")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("methods", ["st", "st;gst"])
def test_out_below_a_file_cannot_be_written(gradthru, data, tmp_path, methods):
    (tmp_path / "file").write_text("mine")
    out = tmp_path / "file" / "out"
    result = gradthru(*tiny_vae(data), "--methods", methods, "--out", out)
    assert_refused(result, FAILURE, f"cannot write {out}", "Not a directory")
    assert (tmp_path / "file").read_text() == "mine"
    assert_nothing_left(gradthru.folder)


def assert_stopped_by_the_disc(stderr, out):
    """The progress line, if there is one, and the error."""
    *progress, error = stderr.splitlines()
    assert error.startswith(f"gradthru: cannot write {out}/")
    assert all(line.startswith("1/1 st s0 ") for line in progress)


def assert_lines_are_whole(out):
    text = (out / "metrics.jsonl").read_text()
    assert text.endswith("\n") or text == ""
    return [json.loads(line) for line in text.splitlines()]


def test_file_that_grows_too_large_is_a_failure(data, tmp_path):
    # The limit lets the small files pass and stops the checkpoint.
    out = tmp_path / "out"
    arguments = [*tiny_vae(data, model__hidden="[64]"), "--methods", "st", "--out", out]
    result = subprocess.run(
        ["bash", "-c", 'ulimit -f 100; trap "" XFSZ; exec "$0" "$@"', PROGRAM]
        + [str(argument) for argument in arguments],
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == FAILURE
    assert_stopped_by_the_disc(result.stderr, out)
    assert "checkpoint/" in result.stderr and "File too large" in result.stderr
    assert len(assert_lines_are_whole(out)) == 2
    assert files_below(out) == ["config.toml", "log.txt", "metrics.jsonl"]  # nothing half-written


@pytest.fixture
def small_disc(tmp_path):
    """A file system of 1 MiB."""
    disc = tmp_path / "disc"
    disc.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disc)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    yield disc
    subprocess.run(["umount", "-l", str(disc)], check=True)


def test_full_disc_stops_the_run_and_room_lets_it_go_on(
    small_disc, start, gradthru, data, tmp_path
):
    out = small_disc / "out"
    arguments = [*tiny_vae(data, model__hidden="[4]", epochs=2000), "--methods", "st"]
    arguments += ["--set", "run.checkpoint_seconds=0", "--out", out]
    process = start(*arguments)
    wait_until(lambda: (out / "checkpoint" / "best.pt").exists(), process, "an epoch")
    with (small_disc / "ballast").open("wb", buffering=0) as ballast:
        try:
            while ballast.write(bytes(4096)):
                pass
        except OSError:
            pass
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == FAILURE
    assert_stopped_by_the_disc(stderr, out)
    assert "No space left on device" in stderr
    assert not (out / "summary.json").exists()
    assert len(assert_lines_are_whole(out)) >= 2
    (small_disc / "ballast").unlink()
    process = start(*arguments, "--resume")
    before = (out / "checkpoint" / "last.pt").stat().st_mtime_ns
    wait_until(
        lambda: (out / "checkpoint" / "last.pt").stat().st_mtime_ns != before, process, "going on"
    )
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert_lines_are_whole(out)


# --- divergence ----------------------------------------------------------------------------------

DIVERGING = {"optimiser__lr": 1e30, "run__checkpoint_seconds": 0}


def test_loss_that_is_not_finite_stops_the_run(gradthru, data):
    command = [*tiny_vae(data, **DIVERGING), "--methods", "st(1.3)", "--out", "out"]
    result = gradthru(*command)
    out = gradthru.folder / "out"
    assert result.returncode == FAILURE
    told = summary(out)
    assert told["status"] == "diverged"
    step = told["steps"]
    assert 1 <= step < 12
    (event,) = metrics(out)
    assert (event["kind"], event["step"], event["split"], event["n"]) == ("event", step, "none", 0)
    assert event["values"] == {}
    for fragment in (f"step {step}", "not finite", "st(1.3)", "lr 1e+30"):
        assert fragment in event["note"]
        assert fragment in (out / "log.txt").read_text()
        assert fragment in result.stdout
    assert "(+1 diverged)" in result.stdout

    # The last good checkpoint is kept, and is one.
    last = out / "checkpoint" / "last.pt"
    tensors = checkpoint_tensors(last)
    weights = [bytes_ for name, bytes_ in tensors.items() if name.startswith("model.")]
    assert all(np.isfinite(np.frombuffer(bytes_, np.float32)).all() for bytes_ in weights)
    content = last.read_bytes()

    skipped = gradthru(*command, "--resume")
    assert skipped.returncode == FAILURE and "diverged already, skipped" in skipped.stdout
    assert last.read_bytes() == content

    (out / "summary.json").unlink()
    again = gradthru(*command, "--resume")
    assert again.returncode == FAILURE
    assert metrics(out)[-1]["note"] == event["note"]
    assert last.read_bytes() == content


def test_evaluation_that_is_not_finite_is_no_success(gradthru, data):
    # One step an epoch: the only update ruins the weights, and no later step is there to notice.
    command = tiny_vae(data, epochs=1, batch_size=TRAIN, **DIVERGING)
    result = gradthru(*command, "--methods", "st", "--out", "out")
    out = gradthru.folder / "out"
    assert result.returncode == FAILURE
    assert summary(out)["status"] == "diverged"
    train, test, event = metrics(out)
    assert (train["kind"], test["kind"], event["kind"]) == ("train", "eval", "event")
    assert test["values"]["nelbo"] is None and "nelbo" in test["nonfinite"]
    assert "step 1" in event["note"] and "not finite" in event["note"]
    assert not (out / "checkpoint" / "best.pt").exists()
    assert "nan" not in result.stdout.lower()


def test_other_runs_of_the_sweep_go_on(gradthru, data):
    command = [*tiny_vae(data), "--methods", "st", "--seeds", "0,1", "--out", "out"]
    result = gradthru(*command, "--set", "grid.optimiser.lr=[1e30, 0.003]")
    assert result.returncode == FAILURE
    statuses = {
        folder.name: summary(folder)["status"] for folder in (gradthru.folder / "out").iterdir()
    }
    assert statuses == {
        "optimiser.lr-1e+30-st-s0": "diverged",
        "optimiser.lr-1e+30-st-s1": "diverged",
        "optimiser.lr-0.003-st-s0": "complete",
        "optimiser.lr-0.003-st-s1": "complete",
    }
    rows = [line for line in result.stdout.splitlines() if line.startswith("optimiser.lr-")]
    bad, good = (line for line in rows if ": " not in line)
    assert "0 (+2 diverged)" in bad and "±" not in bad
    assert "diverged" not in good and "±" in good
