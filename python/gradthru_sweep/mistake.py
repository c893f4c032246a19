"""A user's mistake: one line, exit code 2."""

import difflib
from collections.abc import Iterable


class Mistake(Exception):
    """What was given, and what is wanted."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or the known names if none is near."""
    names = list(known)
    near = difflib.get_close_matches(name, names, 1)
    return f"; did you mean '{near[0]}'?" if near else f" (known: {', '.join(names)})"
