"""`gradthru run listops` on a tiny test set: training, resumption, bad data, greedy evaluation."""

import json
import math
import os
import pathlib
import random
import signal

import pytest

from tiny_data import (
    MISTAKE,
    assert_done,
    assert_nothing_left,
    assert_refused,
    checkpoint_tensors,
    gradthru,
    metrics,
    settings,
    start,
    summary,
    values_text,
    wait_until,
    write_gzip,
)

TEST = 120
OFTEN = ["--set", "run.checkpoint_seconds=0"]
SMALL = {
    "data__verify": False,
    "data__generated": 1500,
    "data__max_tokens": 15,
    "data__train_limit": 400,
    "epochs": 2,
    "steps_per_epoch": 0,
    "batch_size": 16,
    "validations": 2,
    "model__width": 16,
    "model__embedding_sd": 1.0,
    "optimiser__lr": 0.01,
}


def expression(draw, depth=1):
    """The official text of an expression, and its value."""
    if depth == 4 or (depth > 1 and draw.random() < 0.75):
        digit = draw.randrange(10)
        return str(digit), digit
    name = draw.choice(["MIN", "MAX", "MED", "SM"])
    parts = [expression(draw, depth + 1) for _ in range(draw.randint(2, 4))]
    values = sorted(value for _, value in parts)
    n = len(values)
    value = {
        "MIN": values[0],
        "MAX": values[-1],
        "MED": (values[(n - 1) // 2] + values[n // 2]) // 2,
        "SM": sum(values) % 10,
    }[name]
    text = "( " * (n + 1) + f"[{name}" + "".join(f" {part} )" for part, _ in parts) + " ] )"
    return text, value


def official_lines(count=TEST):
    draw = random.Random(4)
    pairs = [expression(draw) for _ in range(count)]
    return [f"{value}\t{text}" for text, value in pairs]


def write_test(root, lines):
    write_gzip(root / "listops" / "test_d20s.tsv.gz", "".join(f"{x}\n" for x in lines).encode())


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_test(folder, official_lines())
    return folder


def command(root, out, *arguments, methods="gst(1.0)", **keys):
    chosen = settings(data__dir=root, **(SMALL | keys))
    threads = ["--threads", "1"]
    return ["run", "listops", *threads, *chosen, "--methods", methods, "--out", out, *arguments]


def without_cost(folder):
    """What two equal runs have alike: all lines but those of time."""
    costs = [line.get("note") == "cost" for line in metrics(folder)]
    return [line for line, cost in zip(values_text(folder), costs) if not cost]


def final(folder):
    return {k: v for k, v in summary(folder)["final"].items() if k != "train_examples_per_s"}


@pytest.fixture(scope="module")
def undisturbed(root, tmp_path_factory):
    import subprocess

    from tiny_data import PROGRAM, clean_environment

    folder = tmp_path_factory.mktemp("undisturbed")
    subprocess.run([PROGRAM, *map(str, command(root, folder / "out"))], check=True,
                   env=clean_environment(folder), capture_output=True, timeout=120)
    return folder / "out"


# --- a run ---------------------------------------------------------------------------------------


def test_a_run_reports_twice_an_epoch_and_tests_once(undisturbed):
    lines = metrics(undisturbed)
    per_epoch = math.ceil(400 / 16)
    first = math.ceil(per_epoch / 2)
    steps = [first, per_epoch, per_epoch + first, 2 * per_epoch]
    valid = [line for line in lines if line["split"] == "valid"]
    assert [line["step"] for line in valid] == steps
    assert sum(line["n"] for line in lines if line["split"] == "train") == 2 * 2 * 400
    test = [line for line in lines if line["split"] == "test"]
    assert [line["step"] for line in test] == steps[-1:]
    values = test[0]["values"]
    assert test[0]["n"] == TEST
    assert values["accuracy_of_all"] == values["accuracy"]
    assert sum(values["examples_by_depth"]) == TEST
    assert len(values["accuracy_by_depth"]) == 4
    assert 0 <= values["span_f1"] <= 1
    assert {"train_grad_norm", "train_lr", "valid_accuracy", "valid_loss"} <= set(
        summary(undisturbed)["final"]
    )


def test_it_learns(undisturbed):
    losses = [line["values"]["loss"] for line in metrics(undisturbed) if line["split"] == "valid"]
    assert losses[-1] < losses[0] < math.log(10) + 0.5


def test_two_trees_are_drawn_at_several_epochs(undisturbed):
    figures = json.loads((undisturbed / "figures" / "index.json").read_text())
    assert [(f["file"], f["epoch"]) for f in figures] == [
        (f"tree-{tree}-at-{report}.txt", report / 2) for report in (1, 2, 4) for tree in (1, 2)
    ]
    for figure in figures:
        text = (undisturbed / "figures" / figure["file"]).read_text()
        heading, tree = text.split("\n\n")
        expression = heading.split(" = ")[0]
        tokens = expression.replace("[", "[ ").replace("]", " ]").split()
        assert [line.split("─")[-1].strip() for line in tree.splitlines()] == tokens


def test_long_expressions_count_as_wrong(gradthru, root, tmp_path):
    long = "( " * 6 + "[MAX" + " 1 )" * 5 + " ] )"
    text = long
    for _ in range(30):
        text = f"( ( ( [SM {text} ) 0 ) ] )"
    write_test(tmp_path, [*official_lines(10), f"1\t{text}"])
    assert_done(gradthru(*command(tmp_path, "out", epochs=1, validations=1)))
    test = metrics(gradthru.folder / "out")[-1]
    assert test["n"] == 10
    assert test["values"]["accuracy_of_all"] == pytest.approx(
        test["values"]["accuracy"] * 10 / 11)


@pytest.mark.parametrize("method", ["reinmax(1.1)", "gumbel_softmax(1.0)", "gumbel_rao(samples=10,tau=0.5)", "st",
                                    "gumbel_softmax(tau=1,hard=false)", "gst(tau=exp(1,0.5,50%))"])
def test_any_pathwise_estimator_chooses(gradthru, root, method):
    assert_done(gradthru(*command(root, "out", methods=method, epochs=1, data__train_limit=64)))
    config = (gradthru.folder / "out" / "config.toml").read_text()
    assert ('name = "radam"' in config) == method.startswith("reinmax")


@pytest.mark.parametrize("method", ["reinforce", "exact", "psa", "mve_scalar(values=0:1)"])
def test_other_methods_are_refused(gradthru, root, method):
    result = gradthru(*command(root, "out", methods=method))
    assert_refused(result, MISTAKE, "estimator that takes the gradient at the sample")
    assert_nothing_left(gradthru.folder)


def test_seeds_share_expressions_and_differ_in_weights(gradthru, root):
    keys = {"epochs": 1, "validations": 1}
    assert_done(gradthru(*command(root, "out", "--seeds", "0..1", methods="gst;st", **keys)))
    runs = {p.name: summary(p) for p in (gradthru.folder / "out").iterdir()}
    assert len({json.dumps(run["data"]) for run in runs.values()}) == 1
    assert len({run["final"]["test_loss"] for run in runs.values()}) == 4


# --- resumed -------------------------------------------------------------------------------------


def assert_same_run(folder, reference):
    assert without_cost(folder) == without_cost(reference)
    assert final(folder) == final(reference)
    assert summary(folder)["best"].keys() == summary(reference)["best"].keys()
    for name in ("last.pt", "best.pt"):
        ours, theirs = (checkpoint_tensors(f / "checkpoint" / name) for f in (folder, reference))
        assert ours == theirs
    drawn = [sorted((f / "figures").iterdir()) for f in (folder, reference)]
    assert [[p.read_text() for p in files] for files in drawn][0] == [
        p.read_text() for p in drawn[1]
    ]


POINTS = {
    "in the first half": lambda f: (f / "checkpoint" / "last.pt").exists(),
    "after a validation": lambda f: (f / "metrics.jsonl").read_text().count('"valid"') >= 1,
    "late": lambda f: (f / "metrics.jsonl").read_text().count('"valid"') >= 3,
}


@pytest.mark.parametrize("point", POINTS)
def test_killed_and_resumed_is_undisturbed(start, gradthru, root, undisturbed, tmp_path, point):
    out = tmp_path / "out"
    process = start(*command(root, out, *OFTEN))
    wait_until(lambda: (out / "metrics.jsonl").exists() and POINTS[point](out), process, point)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert_done(gradthru(*command(root, out, "--resume")))
    assert_same_run(out, undisturbed)


def test_the_same_command_gives_the_same_run(gradthru, root, undisturbed):
    assert_done(gradthru(*command(root, "out")))
    assert_same_run(gradthru.folder / "out", undisturbed)


# The learning rate is halved where the accuracy does not grow: at a rate that is far too small.
def test_the_rate_is_halved_on_a_plateau(gradthru, root):
    keys = {"epochs": 2, "validations": 4, "patience": 2, "optimiser__lr": 1e-12}
    assert_done(gradthru(*command(root, "out", **keys)))
    lines = [line["values"] for line in metrics(gradthru.folder / "out")]
    rates = [values["lr"] for values in lines if "lr" in values]
    # The first validation is the best; the third is the second without a better one.
    assert rates == [1e-12 * 0.5**k for k in (0, 0, 0, 1, 1, 2, 2, 3)]


def test_the_tested_weights_are_those_of_the_best_validation(gradthru, root):
    """A rate that ruins the model after the first validation must not ruin the test."""
    keys = {"epochs": 1, "validations": 1, "data__train_limit": 200}
    assert_done(gradthru(*command(root, "one", **keys)))
    folder = gradthru.folder / "one"
    last, best = (checkpoint_tensors(folder / "checkpoint" / f"{n}.pt") for n in ("last", "best"))
    for name in last:
        if name.startswith("model."):
            assert last[name] == last["best." + name.removeprefix("model.")] == best[name]


def test_scores_that_are_no_numbers_end_the_run_as_diverged(gradthru, root):
    result = gradthru(*command(root, "out", methods="gst(1.0);st", optimiser__lr=1e30))
    assert result.returncode == 1 and "Error" not in result.stderr
    for name in ("gst-s0", "st-s0"):
        folder = gradthru.folder / "out" / name
        assert summary(folder)["status"] == "diverged"
        assert "is not finite with" in metrics(folder)[-1]["note"]


def test_a_batch_without_a_pair_is_trained_on(gradthru, root):
    keys = {"epochs": 1, "batch_size": 1}  # among them expressions of one token
    for method in ("gst(1.0)", "gumbel_softmax(1.0,hard=false)"):
        assert_done(gradthru(*command(root, method, methods=method, **keys)))


def test_accuracy_of_all_wants_all(gradthru, root):
    assert_done(gradthru(*command(root, "out", epochs=1, data__test_limit=10)))
    final = summary(gradthru.folder / "out")["final"]
    assert "test_accuracy_of_all" not in final and "test_accuracy_to_10" in final


# --- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("3\t( ( ( [MAX 2 ) 9 ) ] )", "line 6: the label is 3, but the expression's value 9"),
        ("9\t( ( ( [MAX 2 ) 9 ) ]", "line 6: parentheses"),
        ("9\t( ( ( [MAX 2 ) x ) ] )", "line 6: unknown token 'x'"),
        ("9\t( ( ( [MAX 2 ) 9 ) )", "line 6: 1 '[' without ']'"),
        ("nine", "line 6: wanted a label from 0 to 9"),
    ],
)
def test_a_bad_line_is_named(gradthru, tmp_path, line, message):
    write_test(tmp_path, [*official_lines(5), line])
    assert_refused(gradthru(*command(tmp_path, "out")), MISTAKE, "test_d20s.tsv", message)
    assert_nothing_left(gradthru.folder)


def test_another_test_set_is_refused(gradthru, root):
    result = gradthru(*command(root, "out", data__verify=True))
    assert_refused(result, MISTAKE, "test_d20s.tsv", "7133541")


def test_a_missing_file_is_told(gradthru, tmp_path):
    result = gradthru(*command(tmp_path, "out"))
    assert_refused(result, MISTAKE, "listops: file test_d20s.tsv is missing", "data fetch listops")


def test_nothing_to_train_on(gradthru, root):
    result = gradthru(*command(root, "out", data__generated=40, data__max_tokens=1))
    assert_refused(result, MISTAKE, "wanted expressions to train on")


# --- presets -------------------------------------------------------------------------------------


def test_presets_parse(gradthru):
    for preset, runs in {"smoke": 2, "short": 6, "paper": 19 * 4}.items():
        result = assert_done(gradthru("run", "listops", "--preset", preset, "--dry-run"))
        assert len(result.stdout.splitlines()) == runs


@pytest.mark.skipif(
    not (pathlib.Path(os.environ.get("GRADTHRU_DATA_DIR", "")) / "listops").is_dir(),
    reason="no listops in GRADTHRU_DATA_DIR",
)
def test_smoke_learns(gradthru):
    """On the official set; majority class: 0.113 of the short ones."""
    folder = os.environ["GRADTHRU_DATA_DIR"]
    chosen = ["--set", f"data.dir={folder}", "--threads", "1", "--methods", "gst(1.0)"]
    assert_done(gradthru("run", "listops", *chosen, "--out", "out", timeout=300))
    result = summary(gradthru.folder / "out")
    assert result["final"]["valid_accuracy"] > 0.45
    assert metrics(gradthru.folder / "out")[-1]["n"] == 8689
