"""Every estimator has a page of its own, with a chart that its command draws."""

import json
import pathlib
import re
import shlex

import pytest

import gradthru

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
SECTIONS = ["Maths", "Parameters", "What it costs and what it is exact for", "Limits",
            "Bias and variance", "Use", "Source"]
CHART = re.compile(r"^    gradthru (fidelity .*)\n\n!\[[^]]+\]\(\.\./charts/(\w+)\.svg\)\n\n\S",
                   re.MULTILINE)
MOST_BYTES = 30_000


def page(name: str) -> str:
    return (DOCS / "estimators" / f"{name}.md").read_text()


@pytest.mark.parametrize("name", gradthru.estimators())
def test_page_has_the_form_of_all(name):
    text = page(name)
    assert text.startswith(f"# {name}\n\n")
    headings = [h for h in re.findall(r"^## (.*)$", text, re.MULTILINE) if h in SECTIONS]
    assert headings == SECTIONS


@pytest.mark.parametrize("name", gradthru.estimators())
def test_page_is_in_the_navigation_and_in_the_index(name):
    assert f"- {name}: estimators/{name}.md\n" in (DOCS.parent / "mkdocs.yml").read_text()
    assert f"| [`{name}`](estimators/{name}.md) |" in (DOCS / "index.md").read_text()


@pytest.mark.parametrize("name", gradthru.estimators())
def test_page_has_its_chart_with_the_command(name):
    [(command, chart)] = CHART.findall(page(name))
    assert chart == name
    words = shlex.split(command)
    methods = words[words.index("--methods") + 1].split(";")
    named = {gradthru.parse_estimator(method).method for method in methods}
    # The exact gradient is what the others are measured against.
    assert name in named or name == "exact"
    svg = (DOCS / "charts" / f"{chart}.svg").read_text()
    assert len(svg.encode()) < MOST_BYTES
    # Its own background makes it legible on a dark page.
    assert svg.startswith("<svg") and 'fill="white"' in svg
    for method in methods:
        assert f">{method}</text>" in svg


def test_no_chart_and_no_page_is_left_over():
    names = set(gradthru.estimators())
    assert {path.stem for path in (DOCS / "estimators").glob("*.md")} == names
    assert {path.stem for path in (DOCS / "charts").glob("*.svg")} == names


def test_the_network_of_the_charts_is_the_one_that_is_shown():
    text = (DOCS / "fidelity.md").read_text()
    shown = text[text.index('{"format": "gradthru-sbn"'):]
    network, _ = json.JSONDecoder().raw_decode(shown)
    assert network == json.loads((DOCS / "net.json").read_text())
