#!/usr/bin/env python3
"""Ours, eager PyTorch, PyTorch compiled by Inductor and the usual Python of each estimator, side by
side: interleaved in one process, every candidate validated before it is timed, ratios with their
spread, for several numbers of threads, with and without huge pages, and the peak memory.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

import specs
import tables

DEFAULT_LIBRARY = "build/release/lib/libgradthru.so"
TUNABLE = "glibc.malloc.hugetlb=1"
DTYPES = ("float32", "bfloat16", "float16")


def comma_separated(parse):
    def read(text: str) -> list:
        try:
            return [parse(part) for part in text.split(",") if part.strip()]
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
    return read


def checked_shape(text: str) -> str:
    specs.parse_shape(text)
    return text.strip()


def checked_estimators(text: str) -> list[str]:
    try:
        return [specs.parse_spec(part).text for part in text.split(";") if part.strip()]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError("must be >= 1")
    return value


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", default=DEFAULT_LIBRARY, help="libgradthru.so")
    parser.add_argument("--shapes", type=comma_separated(checked_shape),
                        help="ROWSxCATEGORIES separated by ','; default: " + ",".join(specs.SHAPES))
    parser.add_argument("--estimators", type=checked_estimators,
                        help="separated by ';'; default: " + ";".join(specs.ESTIMATORS)
                        + ", and gumbel_rao(100) at 3000x10")
    parser.add_argument("--threads", type=comma_separated(count), default=[1, 2],
                        help="numbers of threads separated by ','; default 1,2")
    parser.add_argument("--huge-pages", action=argparse.BooleanOptionalAction, default=None,
                        help="only with, or only without, huge pages; default: both")
    parser.add_argument("--repetitions", type=count, default=15, help="at most, per cell")
    parser.add_argument("--seconds", type=float, default=8,
                        help="after which a cell ends, at three repetitions at the earliest")
    parser.add_argument("--dtype", choices=DTYPES, default="float32",
                        help="other than float32: ours against ours in float32")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True,
                        help="measure Inductor too; the first compilation of a shape takes a while")
    parser.add_argument("--compile-usual", action="store_true",
                        help="also the usual Python compiled by Inductor")
    parser.add_argument("--json", metavar="FILE", help="all times and ratios")
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown")
    parser.add_argument("--worker", metavar="JOB", help=argparse.SUPPRESS)
    return parser.parse_args()


def cells(args: argparse.Namespace) -> list:
    """[shape, estimators] in the order of measuring."""
    shapes = args.shapes or specs.SHAPES
    estimators = args.estimators or specs.ESTIMATORS
    extra = [] if args.estimators else specs.EXTRA
    return [[shape, estimators + [e for at, e in extra if at == shape]] for shape in shapes]


def environment(huge_pages: bool) -> dict:
    """The tunable is read when a process starts: hence a process for each setting."""
    kept = [part for part in os.environ.get("GLIBC_TUNABLES", "").split(":")
            if part and not part.startswith("glibc.malloc.hugetlb=")]
    return os.environ | {"GLIBC_TUNABLES": ":".join(kept + [TUNABLE] * huge_pages)}


def run_worker(job: dict) -> list[dict]:
    """Each cell is one line of the worker's output, as soon as it is measured."""
    command = [sys.executable, __file__, "--worker", json.dumps(job)]
    total = sum(len(estimators) for _, estimators in job["cells"])
    done = []
    with subprocess.Popen(command, env=environment(job["huge_pages"]), stdout=subprocess.PIPE,
                          text=True) as process:
        for line in process.stdout:
            done.append(json.loads(line))
            print(f"  {len(done)}/{total} {done[-1]['shape']} {done[-1]['estimator']}",
                  file=sys.stderr)
    if process.returncode != 0:
        raise SystemExit(f"side_by_side: a process ended with {process.returncode}")
    return done


def work(job: dict) -> int:
    # What libraries print must not get between the lines of JSON.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import worker  # noqa: PLC0415: it loads PyTorch, which the parent does without

    def emit(cell: dict) -> None:
        print(json.dumps(cell), file=out, flush=True)

    worker.measure(job, emit)
    return 0


def huge_page_settings(args: argparse.Namespace) -> list[bool]:
    if args.huge_pages is not None:
        return [args.huge_pages]
    return [False, True]


def warn_of_no_huge_pages() -> None:
    switch = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not switch.exists() or "[never]" in switch.read_text():
        print("note: this system gives no transparent huge pages; expect no difference",
              file=sys.stderr)


def measure(args: argparse.Namespace) -> list[dict]:
    results = []
    for huge_pages in huge_page_settings(args):
        if huge_pages:
            warn_of_no_huge_pages()
        for threads in args.threads:
            job = {"library": str(pathlib.Path(args.library).resolve()), "threads": threads,
                   "huge_pages": huge_pages, "dtype": args.dtype, "cells": cells(args),
                   "repetitions": args.repetitions, "seconds": args.seconds,
                   "compile": args.compile, "compile_usual": args.compile_usual}
            done = run_worker(job)
            heading = ("### " if args.markdown else "") + tables.setting(job)
            print(f"\n{heading}\n\n"
                  f"{tables.render(done, args.markdown, args.dtype != 'float32')}\n")
            print("\n".join(tables.notes(done)), flush=True)
            results.append({key: job[key] for key in ("threads", "huge_pages", "dtype")}
                           | {"cells": done})
    return results


def main() -> int:
    args = arguments()
    if args.worker:
        return work(json.loads(args.worker))
    if not pathlib.Path(args.library).is_file():
        print(f"side_by_side: no library {args.library}; ./dev build makes it, --library names "
              "another", file=sys.stderr)
        return 2
    print(tables.LEGEND)
    results = measure(args)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(results, indent=1) + "\n")
    failed = any(cell["failures"] for result in results for cell in result["cells"])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
