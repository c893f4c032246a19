"""`gradthru fidelity --plot`: a page that needs nothing else, with the measured figures in charts."""

import json
import re

import pytest

from pages import Document, drawn, has_triangles, in_a_browser, layers, marks, rows
from test_network import KNOWN
from tiny_data import MISTAKE, assert_done, assert_refused, gradthru

METHODS = "exact;st;reinmax;gumbel_softmax"
PAIRS = "st;reinmax;gumbel_softmax"  # they take two temperatures
INTERVALS = {"relative_bias", "cosine"}
ONE_KEY = ["--sweep", "tau=0.5:1.5:3"]
TWO_KEYS = ["--sweep", "tau_f=0.5,1,2;tau_b=0.5,1"]
NAMES = ["--methods", "gst", "--sweep", "detach=true,false"]
KINDS = {"at once": [], "one key": ONE_KEY, "two keys": TWO_KEYS}


@pytest.fixture
def page(gradthru, tmp_path):
    """page(arguments): the document and the results of --json."""

    def run(*arguments):
        out, figures = tmp_path / "page.html", tmp_path / "figures.json"
        result = gradthru("fidelity", *arguments, "--plot", out, "--json", figures)
        if "scripts that draw charts" in result.stderr:
            pytest.skip("the program was built without charts")
        assert_done(result)
        document = Document(out.read_text())
        document.path = out
        return document, json.loads(figures.read_text())["results"]

    return run


def measured(page, kind, methods=None, problem="quadratic"):
    methods = methods or (PAIRS if kind == "two keys" else METHODS)
    return page("--problem", problem, "--methods", methods, "--samples", 128, *KINDS[kind])


def assert_figures(row, result):
    """What a row says is what --json says."""
    assert row["method"] == result["method"]
    for key in ("tau_f", "relative_bias", "cosine", "relative_std", "variance"):
        assert row[key] == result[key]
    for key in INTERVALS:
        assert [row[f"{key}_low"], row[f"{key}_high"]] == result[f"{key}_95"]


@pytest.mark.parametrize("kind", KINDS)
def test_page_asks_for_nothing(page, kind):
    document, _ = measured(page, kind)
    for tag, attributes in document.tags:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "video", "audio"}
        assert not attributes.keys() & {"src", "href", "srcset", "action", "data", "background"}
    policies = [a["content"] for _, a in document.tags if "http-equiv" in a]
    assert len(policies) == 1 and policies[0].startswith("default-src 'none'; ")
    assert "http" not in policies[0] and "self" not in policies[0]
    style = "".join(document.named("style"))
    assert "@import" not in style and "url(" not in style
    assert "http" not in json.dumps(document.specs)
    assert not any("sourceMappingURL" in script for script in document.scripts)


def test_notices_travel_with_the_scripts(page):
    document, _ = measured(page, "at once")
    assert [s.split()[1] for s in document.scripts[:3]] == ["vega", "vega-lite", "vega-embed"]
    for script in document.scripts[:3]:
        assert "Redistributions in binary form must reproduce" in script[:3000]
    assert "ISC licence" in document.path.read_text()


def test_charts_hold_the_figures(page):
    document, results = measured(page, "at once")
    once, errors, cosines = document.specs
    for row, result in zip(rows(once), results, strict=True):
        assert_figures(row, result)
        assert row["series"] == result["method"]
    by_samples = [(r["method"], at) for r in results for at in r["by_samples"]]
    for row, (method, at) in zip(rows(errors), by_samples, strict=True):
        assert row == {"series": method, **at}
    # Only what was sampled has a cosine at M.
    assert {row["series"] for row in rows(cosines)} == {"gumbel_softmax"}
    assert has_triangles(once) and has_triangles(errors)  # the exact gradient's zeros


def test_curves_over_one_key(page):
    document, results = measured(page, "one key")
    assert len(document.specs) == 4
    for spec in document.specs:
        assert [row["tau"] for row in rows(spec)] == [0.5, 1, 1.5] * 4
        names = [row["series"] for row in rows(spec)]
        assert names == [name for name in METHODS.split(";") for _ in range(3)]
        for row, result in zip(rows(spec), results, strict=True):
            assert_figures(row, result)
    drawn = [spec["layer"][-1]["encoding"]["y"]["title"] for spec in document.specs]
    assert drawn == ["relative bias", "cosine", "relative std", "variance"]


def test_maps_over_two_keys(page):
    document, results = measured(page, "two keys")
    assert len(document.specs) == 3
    for spec in document.specs:
        points = [(row["tau_f"], row["tau_b"]) for row in rows(spec)]
        assert points == [(f, b) for f in (0.5, 1, 2) for b in (0.5, 1)] * 3
        for row, result in zip(rows(spec), results, strict=True):
            assert_figures(row, result)
        assert spec["facet"]["sort"] == PAIRS.split(";")
        x, y = (layers(spec)[0]["encoding"][axis] for axis in "xy")
        assert (x["field"], x["sort"]) == ("tau_f", [0.5, 1, 2])
        assert (y["field"], y["sort"]) == ("tau_b", [1, 0.5])  # upwards
    drawn = [layers(spec)[0]["encoding"]["color"]["title"] for spec in document.specs]
    assert drawn == ["relative bias", "cosine", "relative std"]


def test_zeros_stand_on_the_floor(page):
    """ReinMax has no bias on a quadratic at the temperature of the law: no logarithm shows that."""
    document, results = measured(page, "one key", "st;reinmax")
    bias = document.specs[0]
    least = min(r["relative_bias"] for r in results if r["relative_bias"] > 1e-10)
    low, _ = bias["layer"][-1]["encoding"]["y"]["scale"]["domain"]
    assert least / 10 < low <= least
    assert has_triangles(bias) and f"{low:g}" in json.dumps(bias["transform"])
    assert "Triangles: a relative bias of zero" in document.named("figcaption")[0]
    # Without a zero there is no triangle.
    assert not has_triangles(measured(page, "one key", "st")[0].specs[0])


def test_table_is_that_of_the_terminal(page):
    document, results = measured(page, "at once")
    assert document.named("th")[:4] == ["method", "tau_f", "how", "relative bias"]
    cells = document.named("td")
    assert [cell for cell in cells if cell in METHODS.split(";")] == METHODS.split(";")
    assert f"{results[1]['relative_bias']:.4g}" in cells


def problem_file(path, **f):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({
        "format": "gradthru-problem", "version": 1, "logits": [[0.5, -1, 0.2], [0, 0.3, -0.4]], "f": f,
    }))
    return path


def flat(tmp_path):
    """Its gradient is zero: every ratio to it means nothing."""
    return problem_file(tmp_path / "flat.json", kind="linear", b=[0] * 6)


@pytest.mark.parametrize("kind", KINDS)
def test_ratios_to_a_zero_gradient(page, tmp_path, kind):
    document, _ = measured(page, kind, "st;gumbel_softmax", flat(tmp_path))
    for row in rows(document.specs[0]):
        assert row["relative_bias"] is None and row["cosine"] is None
    assert "Missing: a relative bias that would be a ratio to zero" in document.named("figcaption")[0]


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_text(page, tmp_path, kind):
    name = "a</script><b>&<!--'\"é.json"
    file = problem_file(tmp_path / name, kind="linear", b=[1, 2, 3, 4, 5, 6])
    document, _ = measured(page, kind, problem=file)
    assert "b" not in {tag for tag, _ in document.tags}
    assert document.named("h1")[0].endswith(name)
    assert len(document.scripts) == 4


def test_values_that_are_no_numbers(page):
    """They stand on the axis as texts, in the order given."""
    document, _ = page("--problem", "quadratic", *NAMES)
    spec = document.specs[0]
    assert [row["detach"] for row in rows(spec)] == ["true", "false"]
    assert spec["layer"][-1]["encoding"]["x"]["type"] == "ordinal"


def test_three_keys_are_too_many(gradthru):
    arguments = ["--problem", "no/such", "--sweep", "tau_f=1,2;tau_b=1,2;S=1,2", "--plot", "x.html"]
    assert_refused(gradthru("fidelity", *arguments), MISTAKE, "--plot draws a sweep over one key or two, got 3")
    assert list(gradthru.folder.iterdir()) == []


def test_unwritable_path_fails_as_for_json(page, gradthru):
    page("--problem", "linear", "--methods", "st")  # or skips
    errors = []
    for option in ("--plot", "--json"):
        result = gradthru("fidelity", "--problem", "linear", "--methods", "st", option, "no/such/file")
        errors.append((result.returncode, result.stderr))
    assert errors[0] == errors[1]
    assert errors[0][0] != 0 and "no/such/file" in errors[0][1]


def test_without_charts_says_so_before_it_measures(gradthru):
    result = gradthru("fidelity", "--problem", "no/such", "--plot", "x.html")
    if "no/such" in result.stderr:
        pytest.skip("the program was built with charts")
    assert_refused(result, MISTAKE, "--plot needs the scripts that draw charts")


# --- drawing -------------------------------------------------------------------------------------


def drawable(page, tmp_path):
    """Pages of every kind, with zeros, with nulls and with names."""
    for kind in KINDS:
        yield kind, measured(page, kind)[0]
        yield f"{kind}, flat", measured(page, kind, problem=flat(tmp_path))[0]
    yield "names", page("--problem", "quadratic", *NAMES)[0]
    many = ";".join(f"st({tau / 10})" for tau in range(5, 17))
    yield "many", measured(page, "at once", many)[0]


def test_charts_draw_without_a_complaint(page, tmp_path):
    for name, document in drawable(page, tmp_path):
        result = drawn(document, tmp_path)
        assert result["complaints"] == [], name
        assert result["embeds"] == "function"
        assert len(result["svgs"]) == len(document.specs)
        for svg in result["svgs"]:
            assert svg.startswith("<svg") and "NaN" not in svg and "undefined" not in svg, name


def test_every_value_has_its_mark(page, tmp_path):
    """Cells, frames and triangles, counted in what is drawn."""
    document, results = measured(page, "two keys")
    bias = drawn(document, tmp_path)["svgs"][0]
    zeros = sum(r["relative_bias"] < 1e-10 for r in results)
    frames = 2 * len(PAIRS.split(";"))  # (0.5, 0.5) and (1, 1)
    assert marks(bias, "rect mark") == len(results) + frames
    assert marks(bias, "point") == zeros > 0


def test_page_opens_in_a_browser(page, tmp_path):
    for kind in KINDS:
        document, _ = measured(page, kind)
        opened = in_a_browser(document.path, tmp_path)
        assert 'data-charts="drawn"' in opened
        assert len(re.findall(r'<svg[^>]*class="marks"', opened)) == len(document.specs) > 0


def test_network_has_error_and_cosine_of_each_layer(page, tmp_path):
    net = tmp_path / "net.json"
    net.write_text(json.dumps(KNOWN))
    document, results = page("--network", net, "--methods", "psa;arm;ap1", "--samples", 200)
    assert document.named("h2")[:3] == ["Layer 1", "Last hidden layer, 2", "Head"]
    assert len(document.specs) == 6
    for l, (error, cosine) in enumerate(zip(document.specs[::2], document.specs[1::2])):
        for result in results:
            errors = [row for row in rows(error) if row["method"] == result["method"]]
            cosines = [row for row in rows(cosine) if row["method"] == result["method"]]
            curve = result["layers"][l]["by_samples"]
            assert [row["relative_rmse"] for row in errors] == [at["relative_rmse"] for at in curve]
            if result["method"] == "ap1":
                continue
            known = [at for at in curve if at["cosine"] is not None]
            assert [row["cosine"] for row in cosines] == [at["cosine"] for at in known]
            assert max(row["M"] for row in cosines) == 100
        axes = layers(error)[-1]["encoding"]
        assert axes["x"]["scale"]["type"] == axes["y"]["scale"]["type"] == "log"
        assert layers(cosine)[-1]["encoding"]["y"].get("scale", {}).get("type") != "log"
    pictures = drawn(document, tmp_path)
    assert pictures["complaints"] == [] and len(pictures["svgs"]) == 6
