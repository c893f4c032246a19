#!/usr/bin/env python3
"""Checks that every include points down the layers. Each failure: file, line and a sentence."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')
REGISTRY = "gradthru/estimators.def"

# What an include path belongs to, first match wins.
KINDS = [
    (re.compile(r"^gradthru/"), "public"),
    (re.compile(r"^(math/|row_functions\.h$)"), "math"),
    (re.compile(r"^cpu/"), "cpu"),
    (re.compile(r"^cuda/"), "cuda"),
    (re.compile(r"^ops/"), "ops"),
    (re.compile(r"^api/"), "api"),
    (re.compile(r"^data/"), "data"),
    (re.compile(r"^train/"), "train"),
    (re.compile(r"^lab/"), "lab"),
    (re.compile(r"^report/"), "report"),
    (re.compile(r"^experiments/"), "experiments"),
    (re.compile(r"^bench/"), "bench"),
    (re.compile(r"^cli/"), "cli"),
    (re.compile(r"^reference/"), "reference"),
    (re.compile(r"^support/"), "support"),
    (re.compile(r"^hwy/"), "simd"),
    (re.compile(r"^torch/library\.h$"), "torch library"),
    (re.compile(r"^torch/csrc/autograd/"), "autograd"),
    (re.compile(r"^torch/torch\.h$"), "torch.h"),
    (re.compile(r"^(torch|caffe2)/"), "torch"),
    (re.compile(r"^(ATen|c10)/cuda/"), "aten cuda"),
    (re.compile(r"^(ATen|c10)/"), "aten"),
    (re.compile(r"^(cuda|cub|cooperative_groups)"), "cuda toolkit"),
    (re.compile(r"^[a-z_0-9]+$"), "std"),
]

PROGRAM = {"public", "aten", "torch", "torch library", "autograd", "std", "other"}

# Folder (longest prefix wins) -> what it may include, and the rule in words.
RULES = [
    ("include/gradthru/nn", {"public", "aten", "torch", "torch.h", "std"},
     "a module header may include std, ATen, Torch's modules and public headers"),
    ("include/gradthru", {"public", "aten", "std"},
     "a public header may include std, ATen and c10 core types and public headers"),
    ("src/math", {"math", "std"}, "formulas may include std and src/math: nothing of Torch"),
    ("src/cpu", {"cpu", "math", "simd", "aten", "torch library", "std"},
     "a CPU driver may include src/math, the SIMD library, ATen and torch/library.h"),
    ("src/cuda", {"cuda", "math", "cuda toolkit", "aten cuda", "std"},
     "a CUDA file may include src/math and CUDA"),
    ("src/ops", {"ops", "public", "aten", "torch library", "autograd", "std"},
     "an op may include public headers, ATen, torch/library.h and autograd"),
    ("src/api", {"api"} | PROGRAM, "the API may include public headers and Torch, no src/{math,cpu,ops}"),
    ("data", {"data"} | PROGRAM, "data may include public headers and itself"),
    ("train", {"train"} | PROGRAM, "train may include public headers and itself"),
    ("lab", {"lab"} | PROGRAM, "lab may include public headers and itself"),
    ("report", {"report"} | PROGRAM, "report may include public headers and itself"),
    ("experiments", {"experiments", "lab", "data", "train"} | PROGRAM,
     "an experiment may include public headers, lab, data, train and experiments"),
    ("experiments/cost", {"experiments", "bench", "lab", "data", "train"} | PROGRAM,
     "the experiment on cost may also include the baselines of bench"),
    ("cli", {"cli", "bench", "experiments", "report", "lab", "data", "train"} | PROGRAM,
     "the command line may include everything but src"),
    ("bench", {"bench", "experiments", "lab", "data", "train"} | PROGRAM,
     "a benchmark may include public headers and what stands on them"),
    ("tests/reference", {"reference", "aten", "std"},
     "an oracle may include std, ATen and other oracles: nothing of ours"),
    ("tests/simd", {"support", "cpu", "math", "simd", "std"},
     "what is compiled for each instruction set may include src/cpu/simd and src/math"),
    ("tests", {"reference", "support", "data", "train", "lab", "report", "experiments", "math",
               "cuda"} | PROGRAM,
     "a test may include everything but src/{cpu,ops,api}"),
]


def kind_of(path: str) -> str:
    for pattern, kind in KINDS:
        if pattern.match(path):
            return kind
    return "other"


def rule_for(file: str):
    matches = [rule for rule in RULES if file.startswith(rule[0] + "/")]
    return max(matches, key=lambda rule: len(rule[0])) if matches else None


def check(file: pathlib.Path) -> list[str]:
    name = file.relative_to(ROOT).as_posix()
    rule = rule_for(name)
    if rule is None:
        return []
    failures = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        found = INCLUDE.match(line)
        if not found or found[1] == REGISTRY:
            continue
        if kind_of(found[1]) not in rule[1]:
            failures.append(f"{name}:{number}: includes {found[1]}, but {rule[2]}")
    return failures


def main() -> int:
    failures = []
    for folder in sorted({rule[0].split("/")[0] for rule in RULES}):
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix in {".h", ".cpp", ".cu", ".cuh"}:
                failures += check(file)
    print("\n".join(failures) if failures else "layers: every include points down")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
