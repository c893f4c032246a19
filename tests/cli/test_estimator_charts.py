"""tools/estimator_charts.py: the charts of the estimators' pages from the commands that they show."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from pages import node
from tiny_data import assert_done

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ["GRADTHRU_PROGRAM"]).parents[1]


def drawn(*arguments):
    return subprocess.run([sys.executable, ROOT / "tools" / "estimator_charts.py", "--build", BUILD,
                           *arguments], capture_output=True, text=True, timeout=120)


def words(svg):
    """What is written on it, and how many points each line has."""
    lines = re.findall(r'<path d="(M[^"]*L[^"]*)"', svg)
    return re.findall(r">([^<>]+)</text>", svg), [line.count("L") for line in lines]


# One of each kind: over a temperature, over evaluations, over samples in layers, side by side.
@pytest.mark.parametrize("chart", ["zgr", "reinforce", "psa", "exact"])
def test_chart_is_that_of_the_page(chart, tmp_path):
    if not (BUILD / "page_scripts" / "vega.js").exists():
        pytest.skip("the program was built without charts")
    node()
    assert_done(drawn("--out", tmp_path, chart))
    committed = (ROOT / "docs" / "charts" / f"{chart}.svg").read_text()
    assert words((tmp_path / f"{chart}.svg").read_text()) == words(committed)


def test_a_chart_that_no_page_has_is_refused(tmp_path):
    result = drawn("--out", tmp_path, "stt")
    assert result.returncode == 2 and "no page has a chart 'stt'" in result.stderr
