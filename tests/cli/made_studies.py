"""Studies on `poly`, which needs no data, and the engine of `gradthru sweep` without the program."""

import json
import pathlib
import subprocess
import sys

from tiny_data import PROGRAM, clean_environment

ENGINE = pathlib.Path(__file__).resolve().parents[2] / "python"
sys.path.insert(0, str(ENGINE))

METHOD = 'method = "st(tau_f={tau_f},tau_b={tau_b})"'
GRID = "tau_f = [0.5, 1.0, 2.0]\ntau_b = [1.0, 0.5]"


def study(folder, name="study", head="", fixed=METHOD, space=GRID, epochs=8, steps=100, tail=""):
    """A study file."""
    path = folder / f"{name}.toml"
    path.write_text(f"""
experiment = "poly"
objective = "train_exact_loss"
{head}
[set]
{fixed}
epochs = {epochs}
steps_per_epoch = {steps}
[space]
{space}
{tail}
""")
    return path


def result(folder):
    return json.loads((folder / "results.json").read_text())


def engine_environment(home):
    return clean_environment(home) | {"PYTHONPATH": str(ENGINE)}


def program_that(folder, runs):
    """The program, but what trains goes through these lines of a shell first."""
    path = folder / "gradthru"
    path.write_text(f"""#!/bin/sh
case "$*" in
  *--dry-run*|*--version*) ;;
  *)
{runs}
  ;;
esac
exec {PROGRAM} "$@"
""")
    path.chmod(0o755)
    return path


def sweep(folder, program, path, *flags):
    """`gradthru sweep` of the study in `path` into `folder`/out, its runs by that program."""
    words = [path, "--program", program, "--out", folder / "out", *flags]
    return subprocess.run(
        [sys.executable, "-m", "gradthru_sweep", *words],
        capture_output=True,
        text=True,
        timeout=60,
        env=engine_environment(folder),
    )
