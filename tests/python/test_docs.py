"""Every Python example of README and docs runs as written."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"(?:^(?: {4}.*)?\n)+", re.MULTILINE)
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])


def examples() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for block in BLOCK.findall(page.read_text()):
            code = "\n".join(line[4:] for line in block.split("\n"))
            if re.search(r"^(import|from) gradthru", code, re.MULTILINE):
                found.append((f"{page.relative_to(ROOT)}:{len(found)}", code))
    return found


def test_there_are_examples():
    assert any(name.startswith("docs/python.md") for name, _ in examples())


@pytest.mark.parametrize("name, code", examples(), ids=lambda value: value.split("\n")[0])
def test_example_runs(name, code):
    exec(compile(code, name, "exec"), {})  # noqa: S102: it is ours
