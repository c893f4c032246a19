"""tools/check_layers.py: the tree passes, and a planted include is named."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def check(root):
    return subprocess.run(
        [sys.executable, str(root / "tools" / "check_layers.py")],
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def tree(tmp_path):
    for folder in ("include", "src", "train", "tools"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def test_the_tree_passes():
    result = check(ROOT)
    assert result.returncode == 0, result.stdout
    assert result.stdout == "layers: every include points down\n"


def test_a_copy_passes(tree):
    assert check(tree).returncode == 0


@pytest.mark.parametrize(
    "file, include, rule",
    [
        ("src/math/softmax.h", "<ATen/ATen.h>", "formulas may include std and src/math"),
        ("src/math/estimators/reinmax.h", '"gradthru/estimator.h"', "formulas may include std"),
        ("src/ops/categorical.cpp", '"math/softmax.h"', "an op may include public headers"),
        ("src/cpu/categorical_sample.cpp", '"ops/autograd.h"', "a CPU driver may include"),
        ("src/api/estimator.cpp", '"math/registry.h"', "the API may include public headers"),
        ("include/gradthru/estimator.h", "<torch/torch.h>", "a public header may include std"),
        ("train/session.h", '"experiments/experiment.h"', "train may include public headers"),
    ],
)
def test_a_bad_include_is_named_with_its_place(tree, file, include, rule):
    lines = (tree / file).read_text().splitlines(keepends=True)
    number = next(i for i, line in enumerate(lines, 1) if line.startswith("#include")) + 1
    lines.insert(number - 1, f"#include {include}\n")
    (tree / file).write_text("".join(lines))
    result = check(tree)
    assert result.returncode == 1
    assert result.stdout.count("\n") == 1
    sentence = f"{file}:{number}: includes {include[1:-1]}, but {rule}"
    assert re.match(re.escape(sentence), result.stdout)


def test_the_registry_may_be_expanded_everywhere(tree):
    file = tree / "src" / "math" / "softmax.h"
    file.write_text(file.read_text() + '#include "gradthru/estimators.def"\n')
    assert check(tree).returncode == 0
