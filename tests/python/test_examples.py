"""The example scripts run as a user runs them, with few steps: the loss of each falls."""

import os
import pathlib
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
SCRIPTS = {
    "categorical_vae": ["--steps", "60"],
    "vq_images": ["--steps", "30"],
    "discrete_world_latents": ["--steps", "20"],
    "router": ["--steps", "60"],
}


def run(script, *options, data):
    environment = {**os.environ, "GRADTHRU_DATA_DIR": str(data)}
    return subprocess.run([sys.executable, str(EXAMPLES / f"{script}.py"), *options],
                          env=environment, capture_output=True, text=True, timeout=300)


def test_every_script_is_here():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*SCRIPTS, "images"}


@pytest.mark.parametrize("script", SCRIPTS)
def test_loss_falls_without_data_sets(script, tmp_path):
    result = run(script, *SCRIPTS[script], data=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "drawn patterns instead" in result.stdout and "the loss falls" in result.stdout


@pytest.mark.skipif(not os.environ.get("GRADTHRU_DATA_DIR"), reason="wants GRADTHRU_DATA_DIR")
@pytest.mark.parametrize("script", SCRIPTS)
def test_loss_falls_on_real_images(script):
    result = run(script, *SCRIPTS[script], data=os.environ["GRADTHRU_DATA_DIR"])
    assert result.returncode == 0, result.stderr
    assert "drawn patterns" not in result.stdout and "the loss falls" in result.stdout


def test_estimators_are_exchanged_by_a_word(tmp_path):
    result = run("vq_images", "--steps", "30", "--estimator", "reinmax", data=tmp_path)
    assert result.returncode == 0 and "the loss falls" in result.stdout, result.stderr


def test_a_loss_that_does_not_fall_is_an_error():
    sys.path.insert(0, str(EXAMPLES))
    try:
        from images import check_falls
    finally:
        sys.path.pop(0)
    with pytest.raises(AssertionError, match="did not fall"):
        check_falls([1.0] * 10 + [2.0] * 10, "loss")
