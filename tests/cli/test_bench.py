"""gradthru bench, and the side-by-side script: tiny shapes, and never a word about how fast."""

import json
import math
import os
import pathlib
import re
import subprocess
import sys

import pytest

from tiny_data import MISTAKE, assert_done, assert_refused, gradthru

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
QUICK = ["--shapes", "6x3", "--repetitions", "2"]


def cells(result):
    return json.loads(assert_done(result).stdout)["cells"]


def test_the_table_has_a_row_for_each_cell(gradthru):
    result = gradthru("bench", "--shapes", "6x3,40x5", "--estimators", "st;gst", "--repetitions", "2")
    assert_done(result)
    rows = re.findall(r"^(6x3|40x5) +(st|gst) +(\S+ \S+) ", result.stdout, re.MULTILINE)
    assert [row[:2] for row in rows] == [("6x3", "st"), ("6x3", "gst"), ("40x5", "st"), ("40x5", "gst")]
    assert all(re.fullmatch(r"[\d.e+]+ (s|ms|µs)", row[2]) for row in rows)
    heading = next(line for line in result.stdout.splitlines() if line.startswith("shape"))
    for title in ("usual ÷ ours", "gumbel_softmax ÷ ours", "ours ÷ floor", "memory", "n"):
        assert title in heading
    assert "side_by_side.py" in result.stdout


def test_columns_stand_below_each_other(gradthru):
    lines = assert_done(gradthru("bench", *QUICK)).stdout.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("shape"))
    # The last column is one number: it begins in the same place in every row.
    starts = {line.rindex(" ") for line in lines[first : first + 6]}
    assert len(starts) == 1


def test_json_has_times_and_paired_ratios(gradthru):
    found = cells(gradthru("bench", *QUICK, "--estimators", "st", "--json"))
    assert len(found) == 1
    cell = found[0]
    assert cell["shape"] == "6x3" and cell["estimator"] == "st" and cell["failures"] == {}
    assert set(cell["seconds"]) == {"ours", "usual", "eager", "floor", "clones"}
    assert set(cell["ratios"]) == {"usual", "eager", "floor", "clones"}
    for name, times in cell["seconds"].items():
        assert len(times) == 2 and all(time > 0 for time in times)
    for name, spread in cell["ratios"].items():
        assert 0 < spread["low"] <= spread["median"] <= spread["high"]
    pairs = zip(cell["seconds"]["usual"], cell["seconds"]["ours"])
    expected = sorted(usual / ours for usual, ours in pairs)
    assert math.isclose(cell["ratios"]["usual"]["median"], sum(expected) / 2, rel_tol=1e-9)


def test_every_estimator_can_be_measured(gradthru):
    names = re.findall(r"^GRADTHRU_ESTIMATOR\((\w+),",
                       (ROOT / "include/gradthru/estimators.def").read_text(), re.MULTILINE)
    names[names.index("mve_scalar")] = "mve_scalar(values=0:1:2:3)"
    more = ["gumbel_softmax(1,hard=false)", "gst(p)", "st(tau_f=0)", "gumbel_rao(2,tau_f=2,tau_b=1)"]
    found = cells(gradthru("bench", "--shapes", "50x4", "--repetitions", "1", "--json",
                           "--estimators", ";".join(names + more)))
    assert len(found) == len(names) + len(more)
    for cell in found:
        assert cell["failures"] == {} and "ours" in cell["seconds"], cell["estimator"]
    with_usual = {cell["estimator"] for cell in found if "usual" in cell["seconds"]}
    assert with_usual == {"st", "reinmax", "gst", "gumbel_softmax", "gumbel_rao"}


def test_two_threads_are_compared_with_one(gradthru):
    found = cells(gradthru("bench", *QUICK, "--estimators", "st", "--threads", "2", "--json"))
    assert "ours, 1 thread" in found[0]["ratios"]


def test_one_category_is_a_shape(gradthru):
    assert cells(gradthru("bench", "--shapes", "5x1", "--repetitions", "1", "--json"))


def test_peak_memory_counts_in_sizes_of_the_logits(gradthru):
    found = cells(gradthru("bench", "--shapes", "70000x8", "--repetitions", "1", "--estimators", "st",
                           "--json"))
    memory = found[0]["memory"]
    if not memory:
        pytest.skip("this kernel does not let a process reset its peak")
    # Sample, gradient and index; and a clone and a sum.
    assert 1.5 < memory["ours"] < 4 and 1.5 < memory["floor"] < 3


def test_list_measures_nothing(gradthru):
    result = assert_done(gradthru("bench", "--list"))
    assert "1000000x16" in result.stdout and "reinmax(1.3)" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--shapes", "3x"], "a shape must be <rows>x<categories>, such as 3000x10, got '3x'"),
        (["--shapes", ""], "got ''"),
        (["--shapes", "3x4,"], "got ''"),
        (["--shapes", "0x4"], "got '0x4'"),
        (["--shapes", "-3x4"], "got '-3x4'"),
        (["--shapes", "3x4x5"], "got '3x4x5'"),
        (["--shapes", "1x99999999999999999999"], "got '1x99999999999999999999'"),
        (["--shapes", "99999999x99999"], "a shape must have at most"),
        (["--estimators", "rainmax"], "unknown estimator 'rainmax'; did you mean 'reinmax'?"),
        (["--estimators", ""], "wanted at least one estimator"),
        (["--estimators", "st(exp(1,0.5,50%))"], "must be a number, not a schedule"),
        (["--threads", "0"], "--threads"),
        (["--threads", "many"], "--threads"),
        (["--repetitions", "0"], "--repetitions"),
        (["--sapes", "3x4"], "unknown option '--sapes'; did you mean '--shapes'?"),
        (["3x4"], "3x4"),
    ],
)
def test_bad_values_are_refused(gradthru, arguments, message):
    assert_refused(gradthru("bench", *arguments), MISTAKE, message)


def test_help_has_an_example_that_works(gradthru):
    text = assert_done(gradthru("bench", "--help")).stdout
    assert re.search(r"Example:\s+gradthru bench ", text)
    for flag in ("shapes", "estimators", "threads", "repetitions", "json", "list"):
        assert re.search(rf"^  --{flag}\b.*\S", text, re.MULTILINE)


# --- bench/side_by_side.py -------------------------------------------------------------------------

LIBRARY = os.environ.get("GRADTHRU_LIBRARY", "")
needs_library = pytest.mark.skipif(not LIBRARY, reason="no library that this interpreter can load")


def side_by_side(*arguments):
    command = [sys.executable, str(ROOT / "bench/side_by_side.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=180)


@needs_library
def test_side_by_side_validates_and_measures(tmp_path):
    out = tmp_path / "out.json"
    result = side_by_side("--library", LIBRARY, "--shapes", "40x4", "--threads", 1, "--no-compile",
                          "--no-huge-pages", "--repetitions", 2, "--seconds", 1, "--markdown",
                          "--json", out)
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(re.findall(r"^\| 40x4 \|", result.stdout, re.MULTILINE)) == 5
    (setting,) = json.loads(out.read_text())
    assert setting["threads"] == 1 and setting["huge_pages"] is False
    for cell in setting["cells"]:
        assert cell["failures"] == {}
        assert set(cell["ratios"]) == {"usual", "eager", "floor", "clones"}


VALIDATION = f"""
import sys
sys.path.insert(0, {str(ROOT / "bench")!r})
import torch, ours, specs, validation
ours.load(sys.argv[1])
generator = torch.Generator().manual_seed(17)
logits, g = (torch.randn(2000, 6, generator=generator) for _ in range(2))
claimed, computed = map(specs.parse_spec, sys.argv[2:4])
factor = float(sys.argv[4])
sample = ours.sampler(computed)
try:
    validation.check_ours(claimed, lambda x, i=None: sample(factor * x, i), logits, g, generator)
except validation.Invalid as error:
    print(error)
"""


@needs_library
@pytest.mark.parametrize(
    "claimed, computed, factor, message",
    [
        ("st", "st", 1, ""),
        ("gumbel_rao(10)", "gumbel_rao(10)", 1, ""),
        ("st", "st(1.001)", 1, "the gradient is off"),
        ("reinmax(1.3)", "reinmax(1.301)", 1, "the gradient is off"),
        ("gst(1)", "gst(1.01)", 1, "the gradient is off"),
        ("gumbel_softmax", "gumbel_softmax(0.8)", 1, "the gradient's mean"),
        ("gumbel_rao(10)", "gumbel_rao(4)", 1, "the gradient's mean square"),
        ("gumbel_softmax", "gumbel_softmax", 1.2, "chi-square"),
    ],
)
def test_validation_refuses_what_is_wrong(claimed, computed, factor, message):
    result = subprocess.run(
        [sys.executable, "-c", VALIDATION, LIBRARY, claimed, computed, str(factor)],
        capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert message in result.stdout if message else result.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [["--shapes", "3x"], ["--estimators", "darn"], ["--estimators", "st(0)"], ["--threads", "0"],
     ["--dtype", "int8"], ["--library", "nowhere.so"]],
    ids=" ".join,
)
def test_side_by_side_refuses_bad_values(arguments):
    result = side_by_side(*arguments)
    assert result.returncode == 2 and result.stdout == ""
    assert "Traceback" not in result.stderr
