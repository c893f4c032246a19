"""The page of `gradthru report --out` as a file: it asks for nothing, draws everything, stays small."""

import os
import re

import pytest

from made_runs import add_figures, name_of, png, remake, report, runs, template
from pages import drawn, in_a_browser
from tiny_data import assert_done, data, gradthru

GIVEN = "GRADTHRU_REPORT_RUNS"  # folders of runs, separated as in PATH


def test_page_asks_for_nothing(report, runs):
    add_figures(runs / name_of("st(1.3)", 0), [("a.png", png(7, 5, 90), "Some digits.")])
    document = report()
    for tag, attributes in document.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base", "video", "audio"}
        assert attributes.get("src", "data:").startswith("data:")
        assert attributes.get("href", "#").startswith("#")
    policy, = [a["content"] for _, a in document.tags if "http-equiv" in a]
    assert policy.startswith("default-src 'none'; ") and "http" not in policy
    assert "url(" not in "".join(document.named("style"))


def test_links_lead_somewhere(report, runs):
    document = report()
    ids = [a["id"] for _, a in document.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for tag, a in document.tags if tag == "a"} <= set(ids)


def test_charts_draw_without_a_complaint(gradthru, report, runs, tmp_path):
    assert_done(gradthru("run", "poly", "--seeds", "0..1", "--set", "epochs=3", "--set",
                         "steps_per_epoch=20", "--out", "runs/poly"))
    assert_done(gradthru("run", "sbn-accuracy", "--set", "samples=200", "--out", "runs/sbn"))
    document = report()
    result = drawn(document, tmp_path)
    assert result["complaints"] == []
    assert len(result["svgs"]) == len(document.specs) >= 4
    for svg in result["svgs"]:
        assert svg.startswith("<svg") and "NaN" not in svg and "undefined" not in svg


def test_page_opens_in_a_browser(gradthru, report, runs, tmp_path):
    assert_done(gradthru("run", "poly", "--seeds", "0..1", "--set", "epochs=3", "--set",
                         "steps_per_epoch=20", "--out", "runs/poly"))
    document = report()
    opened = in_a_browser(document.path, tmp_path, screenshot=tmp_path / "report.png")
    assert 'data-charts="drawn"' in opened
    assert len(re.findall(r'<svg[^>]*class="marks"', opened)) == len(document.specs) >= 2
    picture = (tmp_path / "report.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 20_000


@pytest.mark.skipif(GIVEN not in os.environ, reason=f"{GIVEN} names no folders of runs")
def test_report_of_given_runs_opens_in_a_browser(gradthru, report, tmp_path):
    document = report(of=os.environ[GIVEN].split(os.pathsep))
    assert drawn(document, tmp_path)["complaints"] == []
    opened = in_a_browser(document.path, tmp_path, screenshot=tmp_path / "report.png")
    assert 'data-charts="drawn"' in opened
    assert len(re.findall(r'<svg[^>]*class="marks"', opened)) == len(document.specs) >= 1


def test_hundreds_of_long_runs_make_a_page_of_a_few_megabytes(gradthru, report, template):
    """Three settings of six methods, each with ten seeds, 160 epochs."""
    for latent in ("4x2", "4x3", "4x4"):
        for k, method in enumerate(["st", "reinmax", "gst", "zgr", "darn", "gumbel_softmax"]):
            for seed in range(10):
                values = {"test_nelbo": [100 + k + seed / 7 + 60 / e for e in range(1, 161)],
                          "train_nelbo": [99 + k + seed / 7 + 60 / e for e in range(1, 161)]}
                remake(template, gradthru.folder / "runs" / f"{latent}-{method}-{seed}", method, seed,
                       values, settings={"latent": f'"{latent}"'})
    document = report()
    scripts = sum(map(len, document.scripts))
    assert document.path.stat().st_size - scripts < 2_000_000
