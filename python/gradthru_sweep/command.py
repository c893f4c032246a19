"""The command line of the engine. `gradthru sweep` has checked the flags and shows the help."""

import argparse
import dataclasses
import pathlib
import sys
import warnings

from gradthru_sweep import comparison_file, study_file
from gradthru_sweep.mistake import Mistake

FAILURE, MISTAKE = 1, 2


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="gradthru sweep", add_help=False)
    parser.add_argument("path", type=pathlib.Path)  # of the study file; of the study for a worker
    parser.add_argument("--program", required=True)
    parser.add_argument("--work", metavar="NAME")
    parser.add_argument("--out")
    parser.add_argument("--workers", type=int)
    for flag in ("--plan", "--join", "--retry-failed"):
        parser.add_argument(flag, action="store_true")
    given = parser.parse_args(words)
    warnings.simplefilter("ignore")  # of Optuna, about what it calls experimental
    if given.work:
        from gradthru_sweep.worker import Worker

        return Worker(given.path, given.work, given.program).run()
    try:
        if comparison_file.is_comparison(given.path):
            return compare(given)
        study = study_file.load(given.path, given.out)
        if given.workers:
            study = dataclasses.replace(study, workers=given.workers)
        # Optuna takes most of a second: a mistake in the file is told before.
        from gradthru_sweep import coordinator, plan
        from gradthru_sweep.program import Program

        if given.plan:
            return plan.print_plan(study, Program(given.program, study))
        return coordinator.sweep(study, given.program, given.join, given.retry_failed)
    except Mistake as mistake:
        return complain(str(mistake), MISTAKE)
    except (OSError, RuntimeError) as failure:
        return complain(str(failure), FAILURE)


def compare(given: argparse.Namespace) -> int:
    """Errors: Mistake."""
    asked = comparison_file.load(given.path, given.out, given.workers)
    from gradthru_sweep import comparison

    if given.plan:
        return comparison.print_plan(asked, given.program)
    return comparison.compare(asked, given.program, given.join, given.retry_failed)


def complain(why: str, code: int) -> int:
    print(f"gradthru: {' '.join(why.split())}", file=sys.stderr)
    return code
