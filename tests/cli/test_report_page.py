"""`gradthru report --out`: a page that tells one who knows nothing what ran and who won."""

import base64
import html
import json
import math
import pathlib
import re
import shlex
import shutil
import statistics

import pytest

from made_runs import (
    EPOCHS, LAST, add_figures, course, csv_rows, findings, name_of, png, remake, report, runs, table_after,
    template, text_of,
)
from pages import rows
from tiny_data import MISTAKE, assert_done, assert_refused, data, gradthru, tiny_vae


ROOT = pathlib.Path(__file__).resolve().parents[2]


# --- which is better, and how sure that is -----------------------------------------------------------


# Quantiles of Student's t: 0.975 with four and with one degree of freedom.
T4, T1 = 2.7764451052, 12.7062047364


def test_paired_differences_are_those_of_a_calculation_by_hand(report, runs):
    document = report()
    rows = {row["method"]: row for row in csv_rows(document, "vae-smoke-figures.csv")
            if row["metric"] == "test_nelbo"}
    best = LAST["reinmax(1.3)"]
    for method, values in LAST.items():
        row = rows[method]
        assert float(row["mean"]) == pytest.approx(statistics.fmean(values), rel=1e-12)
        assert float(row["sd"]) == pytest.approx(statistics.stdev(values), rel=1e-9)
        error = statistics.stdev(values) / math.sqrt(5)
        assert float(row["standard_error"]) == pytest.approx(error, rel=1e-9)
        if values is best:
            assert (row["is_best"], row["behind_best"]) == ("1", "")
            continue
        difference = [b - a for a, b in zip(best, values, strict=True)]
        mean, error = statistics.fmean(difference), statistics.stdev(difference) / math.sqrt(5)
        assert float(row["behind_best"]) == pytest.approx(mean, rel=1e-9)
        assert float(row["behind_best_standard_error"]) == pytest.approx(error, rel=1e-9)
        assert float(row["interval_low"]) == pytest.approx(mean - T4 * error, rel=1e-6)
        assert float(row["interval_high"]) == pytest.approx(mean + T4 * error, rel=1e-6)
        assert row["paired_seeds"] == "5"


def test_sentence_tells_who_won_and_who_cannot_be_told_apart(report, runs):
    said = findings(report())[0]
    assert said.startswith("vae, preset smoke: reinmax(1.3) has the lowest negative ELBO")
    assert "The next is gst(tau=0.7)" in said or "The next is gst(1,tau=0.7)" in said
    assert "not significant" in said
    assert "Significantly behind: st(1.3)" in said


def test_no_bold_without_a_clear_lead(report, runs):
    assert "<strong>126" not in report().path.read_text()


@pytest.fixture
def two(gradthru, template):
    """two(seeds, gap): st ahead of reinmax by the gap, at each seed."""

    def make(best, other):
        for method, values in (("st(1.3)", best), ("reinmax(1.3)", other)):
            for seed, value in values.items():
                remake(template, gradthru.folder / "runs" / name_of(method, seed), method, seed,
                       course(value))

    return make


def test_the_lead_counts_by_seed_not_by_method(report, two):
    """Seeds that differ by much more than methods: only the pairs show the difference."""
    two({0: 100.0, 1: 120.0, 2: 140.0}, {0: 101.0, 1: 121.2, 2: 140.9})
    document = report()
    assert "significant. " in findings(document)[0] and "not significant" not in findings(document)[0]
    table = table_after(document, "verdict")
    assert [line[0] for line in table[1:]] == ["st(1.3)", "reinmax(1.3)"]
    assert table[2][-2] == "significantly worse"
    assert "<strong>st(1.3)</strong>" in document.path.read_text()


def test_pairs_are_of_the_same_seed(report, two):
    two({0: 100.0, 1: 120.0, 2: 140.0}, {1: 121.0, 2: 141.2, 7: 90.0})
    rows = {row["method"]: row for row in csv_rows(report(), "vae-smoke-figures.csv")
            if row["metric"] == "test_nelbo"}
    # The mean of reinmax is the smaller one, for its seed 7 alone.
    assert rows["reinmax(1.3)"]["is_best"] == "1"
    assert float(rows["st(1.3)"]["behind_best"]) == pytest.approx(-1.1)
    assert rows["st(1.3)"]["paired_seeds"] == "2"


def test_a_lead_by_seeds_that_the_other_lacks_is_told_as_it_is(report, two):
    two({0: 100.0, 1: 120.0, 2: 140.0}, {1: 121.0, 2: 141.2, 7: 90.0})
    sentence = findings(report())[0]
    assert "reinmax(1.3) has the lowest" in sentence
    assert "1.100 ahead on the seeds that both have" in sentence and "behind" not in sentence


def test_one_seed_allows_no_statement(report, two):
    two({0: 100.0}, {0: 110.0})
    document = report()
    said = findings(document)[0]
    assert "10.00 behind" in said and "nothing can be said" in said
    assert "significant. " not in said
    assert "<strong>" not in document.path.read_text()


def test_two_seeds_may_be_bold_and_yet_not_significant(report, two):
    """Twice the standard error is less than the interval of one degree of freedom."""
    two({0: 100.0, 1: 101.0}, {0: 103.0, 1: 105.0})
    document = report()
    row, = [row for row in csv_rows(document, "vae-smoke-figures.csv")
            if row["metric"] == "test_nelbo" and row["is_best"] == "0"]
    error = 0.5
    assert float(row["interval_low"]) == pytest.approx(3.5 - T1 * error, rel=1e-6)
    assert "not significant" in findings(document)[0]
    assert "<strong>st(1.3)</strong>" in document.path.read_text()


def test_same_figures_are_called_the_same(report, two):
    two({0: 100.0, 1: 101.0}, {0: 100.0, 1: 101.0})
    document = report()
    assert "with the same figures" in findings(document)[0]
    assert "<strong>" not in document.path.read_text()


def test_the_exact_gradient_does_not_compete(gradthru, report):
    assert_done(gradthru("run", "poly", "--methods", "exact;st;reinmax", "--seeds", "0..1", "--set",
                         "epochs=3", "--set", "steps_per_epoch=20", "--out", "runs"))
    document = report()
    assert findings(document)[0].startswith("poly, preset smoke: reinmax has the lowest") or \
        findings(document)[0].startswith("poly, preset smoke: st has the lowest")
    assert "The exact gradient, which no estimator has" in findings(document)[0]


# --- what is left out ------------------------------------------------------------------------------


def break_runs(runs):
    """One folder of each kind of damage: the words that the page must have about it."""
    names = [name_of("st(1.3)", seed) for seed in range(5)]
    (runs / names[0] / "summary.json").write_text('{"status": ')
    (runs / names[1] / "config.toml").write_text("epochs = = 3\n")
    (runs / names[2] / "metrics.jsonl").write_text('{"v":1}\nnonsense\n{"v":1}\n')
    (runs / names[3] / "summary.json").unlink()
    held = json.loads((runs / names[4] / "summary.json").read_text())
    (runs / names[4] / "summary.json").write_text(json.dumps(held | {"status": "diverged"}))
    names += ["other", "again", "foreign", "interrupted"]
    (runs / "other").mkdir()
    (runs / "other" / "metrics.jsonl").write_text("")
    first = runs / name_of("reinmax(1.3)", 0)
    shutil.copytree(first, runs / "zz-again")
    shutil.copytree(first, runs / "foreign")
    (runs / "foreign" / "summary.json").write_text(
        json.dumps(json.loads((first / "summary.json").read_text()) | {"experiment": "poli"}))
    shutil.copytree(first, runs / "interrupted")
    (runs / "interrupted" / "summary.json").write_text(
        json.dumps(json.loads((first / "summary.json").read_text()) | {"status": "interrupted"}))
    return {
        names[0]: ("broken", "summary"), names[1]: ("broken", "config.toml, line 1"), names[2]: ("broken", "line 1"),
        names[3]: ("unfinished", "step 200"), names[4]: ("diverged", ""),
        "other": ("broken", "config.toml is missing"), "zz-again": ("repeated", "the same method"),
        "foreign": ("broken", "unknown experiment 'poli'"), "interrupted": ("unfinished", "interrupted"),
    }


def test_broken_and_unfinished_folders_are_listed_and_break_nothing(report, runs):
    whole = {row["method"]: row for row in csv_rows(report(), "vae-smoke-figures.csv")
             if row["metric"] == "test_nelbo"}
    expected = break_runs(runs)
    document = report()
    told = {line[0].rsplit("/", 1)[-1]: line[1:] for line in table_after(document, "state")[1:]}
    assert told.keys() == expected.keys()
    for name, (state, why) in expected.items():
        assert told[name][0] == state and why in told[name][1], name
    after = {row["method"]: row for row in csv_rows(document, "vae-smoke-figures.csv")
             if row["metric"] == "test_nelbo"}
    for method in ("reinmax(1.3)", "gst(tau=0.7)"):
        assert after[method]["mean"] == whole[method]["mean"] and after[method]["seeds"] == "5"
    assert after["st(1.3)"]["seeds"] == "0" and after["st(1.3)"]["diverged"] == "1"


def test_nothing_but_broken_folders_is_a_page_too(report, gradthru):
    (gradthru.folder / "runs" / "one").mkdir(parents=True)
    (gradthru.folder / "runs" / "one" / "config.toml").write_text("")
    document = report()
    assert table_after(document, "state")[1][1] == "unfinished"


def test_check_goes_with_the_page(gradthru, report, runs):
    break_runs(runs)
    result = gradthru("report", "runs", "--out", "report", "--check")
    assert result.returncode in (0, 1) and result.stderr == ""
    assert (gradthru.folder / "report" / "report.html").exists()


def test_folders_without_runs_are_mistakes(gradthru):
    (gradthru.folder / "empty").mkdir()
    assert_refused(gradthru("report", "empty", "--out", "report"), MISTAKE, "no run in 'empty'")
    assert_refused(gradthru("report", "none", "--out", "report"), MISTAKE, "no folder 'none'")
    assert not (gradthru.folder / "report").exists()


def test_latex_needs_a_place(gradthru, runs):
    assert_refused(gradthru("report", "runs", "--latex"), MISTAKE, "--latex", "--out")


# --- what stands on the page -----------------------------------------------------------------------


def test_the_commands_make_the_same_runs(gradthru, report, data):
    arguments = [*tiny_vae(data, optimiser__lr=0.002), "--methods", "st(1.3);reinmax", "--seeds", "0,3",
                 "--set", 'grid.latent=["4x2","4x3"]', "--out", "runs"]
    assert_done(gradthru(*arguments, timeout=120))
    source = report().path.read_text()
    commands = html.unescape(re.search(r"<figcaption>Commands</figcaption>\n<pre>(.*?)</pre>", source,
                                       re.S)[1]).splitlines()
    planned = {}
    for command in commands:
        program, *words = shlex.split(command)
        assert program == "gradthru"
        result = assert_done(gradthru(*words, "--set", f"data.dir={data}", "--dry-run"))
        for line in result.stdout.splitlines():
            plan = json.loads(line)
            planned[plan["config_sha256"]] = (plan["method"], plan["seed"])
    made = {}
    for path in (gradthru.folder / "runs").glob("*/summary.json"):
        held = json.loads(path.read_text())
        made[held["config_sha256"]] = (held["method"], held["seed"])
    assert len(made) == 8 and set(made) == set(planned)


def test_settings_stand_apart_and_side_by_side(gradthru, report, template):
    for latent in ("4x2", "4x3"):
        for method in ("st(1.3)", "reinmax(1.3)"):
            remake(template, gradthru.folder / "runs" / f"{latent}-{method}", method, 0,
                   course(100.0 if method < "s" else 99.0), settings={"latent": f'"{latent}"'})
    document = report()
    assert [line[0] for line in table_after(document, "setting")[1:]] == ["latent=4x2", "latent=4x3"]
    assert len(findings(document)) == 4  # at a glance, and in each section
    assert len(document.specs) == 2


def test_two_settings_stand_beside_each_other_with_their_difference(gradthru, report, template):
    for latent, shift in (("4x2", 0.0), ("4x3", 5.0)):
        for seed in range(3):
            remake(template, gradthru.folder / "runs" / f"{latent}-{seed}", "st(1.3)", seed,
                   course(120.0 + seed + shift + 0.1 * seed * (shift > 0)),
                   settings={"latent": f'"{latent}"'})
    table = table_after(report(), "difference ± std. error")
    assert [line[0] for line in table] == ["method", "st(1.3)"]
    assert table[0][1:3] == ["latent=4x2", "latent=4x3"]
    assert table[1][3] == "5.100 ± 0.058" and table[1][-1] == "3"


def test_what_methods_have_of_their_own_is_said(gradthru, report, template):
    for method, rate in (("st(1.3)", "0.001"), ("reinmax(1.3)", "0.0005")):
        remake(template, gradthru.folder / "runs" / name_of(method, 0), method, 0, course(120.0),
               settings={"lr": rate})
    document = report()
    assert "st(1.3) (optimiser.lr=0.001) and reinmax(1.3) (optimiser.lr=5e-04)" in text_of(document)
    assert "everything else is equal" not in text_of(document)


def test_published_figures_stand_in_their_own_column(gradthru, report, template):
    remake(template, gradthru.folder / "runs" / "one", "reinmax(1.3)", 0, course(127.0),
           settings={"latent": '"8x4"', "epochs": "160"})
    document = report()
    table = table_after(document, "published")
    column = table[0].index("published")
    assert table[0][column - 1].startswith("negative ELBO")
    assert (table[1][0], table[1][column]) == ("reinmax(1.3)", "–")
    assert (table[2][0], table[2][column]) == ("ReinMax-CV (published)", "126.63 ± 0.75")
    assert len({len(line) for line in table}) == 1
    metrics = table_after(document, "negative ELBO in nats, train")
    column = metrics[0].index("published")
    assert metrics[0][column - 1] == "negative ELBO in nats, train"
    assert (metrics[-1][0], metrics[-1][column]) == ("ReinMax-CV (published)", "124.94 ± 0.81")
    assert len({len(line) for line in metrics}) == 1
    assert "danielwang0452/ReinMax_ASC" in text_of(document)
    assert "published" not in text_of(document).split("What ran")[0].lower()


def test_no_published_figures_beside_another_recipe(report, runs):
    assert "ReinMax-CV" not in text_of(report())


def test_curves_have_means_and_bands(report, runs):
    spec, = report().specs
    assert len(spec["concat"]) == 3  # test and train by epoch, test by time
    last = {(row["method"], row["panel"]): row for row in rows(spec)}
    values = LAST["reinmax(1.3)"]
    row = last["reinmax(1.3)", 0]
    assert row["epoch"] == EPOCHS
    assert row["value"] == pytest.approx(statistics.fmean(values), rel=1e-5)
    assert (row["low"], row["high"]) == (min(values), max(values))
    assert last["reinmax(1.3)", 2]["wall_s"] == 2 * EPOCHS
    assert "wall_s" not in row and "epoch" not in last["reinmax(1.3)", 2]


def test_every_chart_and_table_has_a_file(report, runs):
    document = report("--latex")
    names = {path.name for path in document.path.parent.iterdir()}
    assert {"report.html", "runs.csv", "vae-smoke-figures.csv", "vae-smoke-curves.csv",
            "vae-smoke-ranking.tex", "vae-smoke-metrics.tex"} <= names
    curves = csv_rows(document, "vae-smoke-curves.csv")
    assert len(curves) == 2 * 3 * EPOCHS
    assert list(curves[0]) == ["metric", "method", "step", "epoch", "wall_s", "value", "low", "high",
                               "seeds"]
    assert len(csv_rows(document, "runs.csv")) == 15


def test_latex_has_as_many_cells_in_each_line(report, runs):
    text = (report("--latex").path.parent / "vae-smoke-ranking.tex").read_text()
    columns = re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1]
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 4
    for line in lines:
        assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1
    assert r"$\pm$" in text and "±" not in text


def test_temperatures_that_fill_a_grid_make_a_map(gradthru, report, template):
    for f in (0.5, 1, 2):
        for b in (0.5, 1):
            method = f"st(tau_f={f},tau_b={b})"
            remake(template, gradthru.folder / "runs" / f"{f}-{b}", method, 0,
                   course(100 + (f - 1) ** 2 + b))
    document = report()
    spec, = [spec for spec in document.specs if "facet" in spec]
    points = {(row["tau_f"], row["tau_b"]): row["value"] for row in rows(spec)}
    assert len(points) == 6 and min(points, key=points.get) == (1, 0.5)
    assert "The best point is tau_f = 1.0, tau_b = 0.5, on the border" in text_of(document)


def test_many_methods_leave_a_chart_that_can_be_read(gradthru, report, template):
    for i in range(20):
        remake(template, gradthru.folder / "runs" / f"{i}", f"st({1 + i / 10})", 0, course(100.0 + i))
    document = report()
    drawn_names = {row["method"] for row in rows(document.specs[0])}
    assert len(drawn_names) == 12 and "st" in drawn_names and "st(2.9)" not in drawn_names
    assert "Only the best 12 of 20 methods are drawn" in text_of(document)
    assert len({row["method"] for row in csv_rows(document, "vae-smoke-curves.csv")}) == 20


def test_pictures_and_texts_are_inside_the_page(report, runs):
    folder = runs / name_of("st(1.3)", 0)
    tree = "[MAX 2\n  [MIN 3 <4>]]\n"
    add_figures(folder, [("a.png", png(7, 5, 90), "Some digits."),
                         ("tree.txt", tree.encode(), "A tree & its branches."),
                         ("b.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "A drawing.")])
    document = report()
    images = [a for tag, a in document.tags if tag == "img"]
    assert [image["src"].split(",")[0] for image in images] == ["data:image/png;base64",
                                                               "data:image/svg+xml;base64"]
    assert base64.b64decode(images[0]["src"].split(",")[1]) == png(7, 5, 90)
    assert images[0]["width"] == "14"  # twice its size
    assert images[0]["alt"] == "st(1.3), seed 0, epoch 3: Some digits."
    assert tree in document.named("pre")


@pytest.mark.parametrize("damage", ["index", "missing", "outside", "ending"])
def test_damaged_figures_are_said_to_be_so(report, runs, damage):
    folder = runs / name_of("st(1.3)", 0)
    add_figures(folder, [("a.png", png(7, 5, 90), "Some digits.")])
    index = folder / "figures" / "index.json"
    (folder / "secret.txt").write_text("not to be shown")
    if damage == "index":
        index.write_text("[")
    elif damage == "missing":
        (folder / "figures" / "a.png").unlink()
    else:
        file = {"outside": "../secret.txt", "ending": "a.html"}[damage]
        index.write_text(json.dumps([{"file": file, "caption": "x", "epoch": 1}]))
    text = text_of(report())
    assert "cannot be" in text and "not to be shown" not in text


def test_names_are_text(gradthru, report, template):
    name = "a<b>&'\"é"
    remake(template, gradthru.folder / "runs" / name, "st(1.3)", 0, course(100.0))
    document = report()
    assert "b" not in {tag for tag, _ in document.tags}
    assert name in text_of(document)


KNOWN = {
    "report.json": {"question", "main", "curves", "probes", "lists", "quantities", "lines"},
    "published.json": {"set", "method", "label", "metric", "value", "sd", "source", "from"},
}


@pytest.mark.parametrize("path", sorted(ROOT.glob("experiments/*/report.json"))
                         + sorted(ROOT.glob("experiments/*/published.json")), ids=str)
def test_what_lies_beside_experiments_has_known_keys(path):
    held = json.loads(path.read_text())
    for entry in [held] if isinstance(held, dict) else held:
        assert entry.keys() <= KNOWN[path.name]
    if path.name == "report.json":
        splits = {"train", "valid", "test", "none"}
        named = [main["metric"] for main in held.get("main", [])] + held.get("curves", [])
        assert held["question"] and {name.split("_")[0] for name in named} <= splits
        for quantity in held.get("quantities", {}).values():
            assert quantity.keys() <= {"title", "better", "log"}
    else:
        assert all(entry["source"] == "public" and entry["from"] for entry in held)
