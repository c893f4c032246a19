"""The smoke preset on the real MNIST: the first thing that a user runs must show learning."""

import json
import re

import pytest

from http_fixture import real_data_folder
from tiny_data import assert_done, gradthru

DATA = real_data_folder()
MEAN_IMAGE = 206.0  # nats of the best network that ignores its latents
FLOOR = 100.0  # far below what two epochs can reach

pytestmark = pytest.mark.skipif(DATA is None, reason="GRADTHRU_DATA_DIR with MNIST is not set")


def test_smoke_learns_and_ends_with_the_table(gradthru):
    result = assert_done(
        gradthru("run", "vae", "--preset", "smoke", timeout=240, GRADTHRU_DATA_DIR=DATA)
    )
    runs = gradthru.folder / "runs" / "vae"
    methods = ["reinmax(1.3)", "st(1.3)"]
    assert sorted(p.name for p in runs.iterdir()) == ["smoke-reinmax-1.3-s0", "smoke-st-1.3-s0"]
    for method in methods:
        folder = runs / f"smoke-{method[:-1].replace('(', '-')}-s0"
        told = json.loads((folder / "summary.json").read_text())
        assert told["status"] == "complete" and told["steps"] == 1200
        assert FLOOR < told["final"]["test_nelbo"] < MEAN_IMAGE
        assert FLOOR < told["final"]["test_nll"] <= told["final"]["test_nelbo_exact"]
        # 10,000 images, one sample each: the mean of the samples is close to its expectation.
        assert told["final"]["test_nelbo_exact"] == pytest.approx(
            told["final"]["test_nelbo"], rel=0.005
        )
        assert len(told["data"]) == 4
        row = re.search(rf"^{re.escape(method)} +1 +.*$", result.stdout, re.MULTILINE)[0]
        assert f"{told['final']['test_nelbo']:.2f}" in row.split()
    assert result.stdout.endswith("\nruns: runs/vae\n")
