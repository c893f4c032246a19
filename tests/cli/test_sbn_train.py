"""`gradthru run sbn-train` on tiny data: every method learns, runs are repeated and resumed exactly."""

import math
import signal

import numpy as np
import pytest

from tiny_data import (
    run_files,
    assert_done,
    assert_nothing_left,
    assert_refused,
    blobs,
    checkpoint_tensors,
    files_below,
    gradthru,
    idx_bytes,
    metrics,
    settings,
    start,
    summary,
    values_text,
    wait_until,
    write_gzip,
)

TRAIN, TEST = 540, 200  # of 600 training images a tenth is for validation
PSA, REINFORCE = "psa", "reinforce(baseline=moving)"
RECORD = 3073


def quarters(images):
    """In which quarter of an image its dot lies."""
    half = images.shape[1] // 2
    brightest = images.reshape(len(images), -1).argmax(1)
    row, column = np.divmod(brightest, images.shape[2])
    return (2 * (row >= half) + (column >= half)).astype(np.uint8)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with a tiny fashion-mnist and a tiny cifar-10: the class is the quarter of a dot."""
    folder = tmp_path_factory.mktemp("data")
    for i, (part, count) in enumerate([("train", 600), ("t10k", TEST)]):
        images = blobs(count, 28, seed=i)
        write_gzip(folder / f"fashion-mnist/{part}-images-idx3-ubyte.gz", idx_bytes(0x803, images))
        labels = quarters(images)
        write_gzip(folder / f"fashion-mnist/{part}-labels-idx1-ubyte.gz", idx_bytes(0x801, labels))
    (folder / "cifar-10-batches-bin").mkdir()
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    for i, name in enumerate(names):
        (folder / "cifar-10-batches-bin" / name).write_bytes(cifar_bytes(20, seed=i))
    return folder


def cifar_bytes(count, seed):
    images = blobs(count, 32, seed)
    records = [bytes([label]) + 3 * image.tobytes() for label, image in zip(quarters(images), images)]
    return b"".join(records)


def tiny(root, **keys):
    small = {
        "data__dir": root,
        "data__verify": False,
        "fc__hidden": "[12, 10]",
        "batch_size": 20,
        "steps_per_epoch": 0,
        "eval__samples": 3,
        "eval__curve": 4,
        "init_images": 100,
        "run__checkpoint_seconds": 0,
    }
    return ["run", "sbn-train", "--threads", "1", *settings(**(small | keys))]


CONVOLUTION = {
    "net": "cifar_s1",
    "width": 1 / 48,
    "steps_per_epoch": 4,
    "data__valid_limit": 10,
    "data__test_limit": 10,
}


@pytest.fixture
def run(gradthru, root):
    """run("out", "psa", seeds="1", epochs=3, …) trains and returns the folder of the run."""

    def train(out, methods, *arguments, seeds="0", **keys):
        folder = gradthru.folder / out
        command = [*tiny(root, **keys), "--methods", methods, "--seeds", seeds, "--out", folder]
        train.result = assert_done(gradthru(*command, *arguments))
        return folder

    return train


def without_cost(folder):
    """The bytes of all values but those that are measured times and memory."""
    notes = [line.get("note") for line in metrics(folder)]
    assert notes.count("cost") > 0
    return [values for note, values in zip(notes, values_text(folder)) if note != "cost"]


def of_search(folder):
    lines = [line for line in metrics(folder) if line["kind"] == "event"]
    assert all(line["step"] == 0 for line in lines)
    tried = [line["values"] for line in lines if line["note"] == "learning rate tried"]
    chosen = [line["values"]["lr"] for line in lines if line["note"] == "learning rate chosen"]
    return tried, chosen


# --- what a run writes ---------------------------------------------------------------------------


def test_metrics_and_summary(run):
    folder = run("out", PSA, epochs=2)
    assert files_below(folder) == run_files("filters.png")
    lines = metrics(folder)
    assert [(line["kind"], line["split"], line["step"], line["n"]) for line in lines] == [
        (kind, split, 27 * epoch, n)
        for epoch in (1, 2)
        for kind, split, n in (
            ("train", "train", TRAIN), ("eval", "valid", 60), ("eval", "test", TEST),
            ("train", "train", 27),
        )
    ]
    numbers = ["nll", "acc1", "acc_ens", "entropy_bits", "layer_entropy_bits"]
    for line in lines:
        if line["kind"] == "eval":
            last = line["split"] == "test" and line["epoch"] == 2
            assert list(line["values"]) == numbers + ["acc_ens_of_n"] * last
            assert len(line["values"]["layer_entropy_bits"]) == 2
            mean = np.average(line["values"]["layer_entropy_bits"], weights=[12, 10])
            assert line["values"]["entropy_bits"] == pytest.approx(mean)
            assert 0 < mean <= 1
        elif line.get("note") == "cost":
            assert list(line["values"]) == ["step_ms", "step_cpu_ms", "peak_mib"]
            assert all(value > 0 for value in line["values"].values())
        else:
            assert list(line["values"]) == ["loss", "lr"] and line["values"]["lr"] == 0.03
    test = next(line["values"] for line in reversed(lines) if line["split"] == "test")
    # The samples of the curve are those of the evaluation, and one more.
    assert len(test["acc_ens_of_n"]) == 4 and test["acc_ens_of_n"][2] == test["acc_ens"]
    told = summary(folder)
    assert told["final"]["test_acc1"] == test["acc1"]
    assert {"train_loss", "valid_nll", "train_step_ms", "train_peak_mib"} <= set(told["final"])
    best = min((line for line in lines if line["split"] == "valid"),
               key=lambda line: line["values"]["nll"])
    assert told["best"]["valid_nll"] == best["values"]["nll"]


@pytest.mark.parametrize(
    "method, rate",
    [(PSA, 0.03), ("st", 0.03), ("hard_st", 0.03), ("zgr", 0.03), ("concrete(0.5)", 0.03),
     ("ap1", 0.03), ("tanh", 0.03), ("ap2", 0.03), ("local_reparam", 0.03),
     (REINFORCE, 0.003), ("rloo(4)", 0.003), ("arm", 0.003), ("exact", 0.03)],
)
def test_every_method_learns(run, method, rate):
    # Four classes that a line or two separate; ten outputs.
    keys = {"fc__hidden": "[6, 6]"} if method == "exact" else {}
    slow = 20 if rate == 0.003 else 8
    folder = run("out", method, epochs=slow, eval__curve=0, data__valid_limit=20, **keys)
    losses = [line["values"] for line in metrics(folder) if line["split"] == "train"]
    assert losses[0]["lr"] == rate
    assert summary(folder)["final"]["test_nll"] < 1.2 < math.log(4) < math.log(10)
    assert summary(folder)["final"]["test_acc_ens"] > 0.6


def test_methods_start_from_the_same_weights(run):
    still = {"optimiser__lr": 1e-30, "epochs": 1}
    models = []
    for method in (PSA, "ap1", REINFORCE):
        tensors = checkpoint_tensors(run(method, method, **still) / "checkpoint" / "last.pt")
        models.append({name: value for name, value in tensors.items() if name.startswith("model.")})
    assert len(models[0]) == 6 and all(model == models[0] for model in models)
    # Evaluated as the same network, with the same noise.
    assert len({summary(run(f"eval-{m}", m, **still))["final"]["test_nll"]
                for m in (PSA, "ap1", "st")}) == 1


def test_evaluating_does_not_change_training(run):
    often = run("often", PSA, eval__samples=7, eval__curve=9, eval__one_flip_average=True)
    seldom = run("seldom", PSA, eval__samples=1, eval__curve=0)
    losses = [[line["values"] for line in metrics(folder)
               if line["kind"] == "train" and "note" not in line] for folder in (often, seldom)]
    assert losses[0] == losses[1]


# --- the search of a learning rate ---------------------------------------------------------------


def test_search_takes_the_best_of_its_trials_and_repeats_it(run):
    keys = {"lr_search__evaluations": 5, "lr_search__epochs": 2, "epochs": 2}
    folder = run("out", "st", **keys)
    tried, chosen = of_search(folder)
    assert len(tried) == 5 and len(chosen) == 1
    assert all(-6 <= trial["log10_lr"] <= 0 for trial in tried)
    finite = [trial for trial in tried if trial["score"] is not None]
    best = min(finite, key=lambda trial: trial["score"])
    assert chosen[0] == pytest.approx(10 ** best["log10_lr"])
    # The training begins as the trial did: the same weights, batches and noise.
    losses = [line["values"] for line in metrics(folder)
              if line["kind"] == "train" and "note" not in line]
    assert losses[1]["loss"] == best["score"] and losses[0]["lr"] == chosen[0]
    again = run("again", "st", "--config", folder / "config.toml")
    assert without_cost(again) == without_cost(folder)


def test_a_search_where_every_rate_diverges_ends_the_run(gradthru, root):
    # Weights that are infinite from the start.
    command = tiny(root, lr_search__evaluations=3, init_gain=1e39)
    result = gradthru(*command, "--methods", "ap1", "--out", "out")
    assert result.returncode == 1
    lines = metrics(gradthru.folder / "out")
    assert [line["values"].get("score", 0) for line in lines] == [None, None, None, 0]
    assert [line.get("nonfinite") for line in lines] == 3 * [["score"]] + [None]
    assert "no learning rate that was tried" in lines[-1]["note"]
    assert summary(gradthru.folder / "out")["status"] == "diverged"


# --- interrupted, killed, resumed ----------------------------------------------------------------

LONG = {
    "fc": {"epochs": 6, "lr_search__evaluations": 3, "lr_search__epochs": 3},
    "cifar_s1": {**CONVOLUTION, "epochs": 5, "lr_search__evaluations": 3},
}


@pytest.mark.parametrize("phase", ["search", "training"])
@pytest.mark.parametrize("net, method", [("fc", REINFORCE), ("cifar_s1", PSA)])
def test_killed_and_resumed_is_undisturbed(run, start, gradthru, root, net, method, phase):
    whole = run("whole", method, **LONG[net])
    out = gradthru.folder / "out"
    command = [*tiny(root, **LONG[net]), "--methods", method, "--out", out]
    process = start(*command)
    lines = 1 if phase == "search" else 6
    wait_until(lambda: (out / "metrics.jsonl").exists()
               and (out / "metrics.jsonl").read_text().count("\n") >= lines, process, phase)
    process.kill()
    process.communicate()
    assert not (out / "summary.json").exists()
    assert_done(gradthru(*command, "--resume"))
    assert without_cost(out) == without_cost(whole)
    tensors = [checkpoint_tensors(folder / "checkpoint" / "last.pt") for folder in (out, whole)]
    assert tensors[0] == tensors[1]


def test_a_signal_ends_the_search_and_it_goes_on(run, start, gradthru, root):
    long = {"epochs": 1, "lr_search__evaluations": 6, "lr_search__epochs": 8}
    whole = run("whole", PSA, **long)
    out = gradthru.folder / "out"
    command = [*tiny(root, **long), "--methods", PSA, "--out", out]
    process = start(*command)
    wait_until(lambda: (out / "metrics.jsonl").exists()
               and (out / "metrics.jsonl").read_text().count("\n") >= 2, process, "two trials")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    told = summary(out)
    assert (told["status"], told["steps"]) == ("interrupted", 0)
    assert 2 <= len(of_search(out)[0]) < 6
    assert_done(gradthru(*command, "--resume"))
    assert without_cost(out) == without_cost(whole)


# --- CIFAR-10 ------------------------------------------------------------------------------------


def test_cifar_in_both_networks(run):
    keys = {"data__name": "cifar-10", "epochs": 1}
    for name, net in (("fc", {}), ("conv", CONVOLUTION)):
        told = summary(run(name, PSA, **(net | keys)))
        assert sorted(told["data"]) == [f"data_batch_{i}.bin" for i in range(1, 6)] + [
            "test_batch.bin"
        ]


@pytest.mark.parametrize(
    "broken, keys, fragments",
    [
        (None, {"data__verify": True}, ["data_batch_1.bin: wanted 10000 records, got 20"]),
        (("test_batch.bin", b"x" * RECORD), {}, ["test_batch.bin: record 0: wanted a label"]),
        (("data_batch_3.bin", b"x" * 99), {}, ["data_batch_3.bin: wanted records of 3073 bytes"]),
        (("data_batch_3.bin", None), {}, ["data_batch_3.bin is missing", "cifar-10-binary.tar.gz"]),
    ],
)
def test_bad_cifar_files(gradthru, root, tmp_path, broken, keys, fragments):
    copy = tmp_path / "data" / "cifar-10-batches-bin"
    copy.mkdir(parents=True)
    for file in (root / "cifar-10-batches-bin").iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    if broken:
        name, content = broken
        (copy / name).unlink() if content is None else (copy / name).write_bytes(content)
    command = tiny(copy.parent, data__name="cifar-10", **keys)
    assert_refused(gradthru(*command, "--methods", PSA, "--out", "out"), 2, *fragments)
    assert_nothing_left(gradthru.folder)


# --- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method, keys, fragment",
    [
        (PSA, {"net": "resnet"}, "net wants a text out of fc, cifar_s1"),
        (PSA, {"net": "cifar_s1", "width": 0.12}, "whole number of 96 x width channels"),
        (PSA, {"fc__hidden": "[]"}, "fc.hidden"),
        (PSA, {"fc__hidden": "[4, 0]"}, "fc.hidden"),
        (PSA, {"optimiser__lr": 0.1, "lr_search__evaluations": 3}, "both set"),
        (PSA, {"optimiser__lr": -1}, "optimiser.lr"),
        (PSA, {"lr_search__evaluations": 41}, "lr_search.evaluations"),
        (PSA, {"eval__samples": 0}, "eval.samples"),
        (PSA, {"optimiser__lrate": 1}, "did you mean 'optimiser.lr'"),
        ("exact", {}, "exact enumerates"),
        ("exact", {"net": "cifar_s1", "width": 0.125}, "exact enumerates"),
        ("disarm", {}, "has no form for networks"),
        ("psaa", {}, "did you mean 'psa'"),
        ("concrete(0)", {}, "concrete: tau"),
    ],
)
def test_mistakes(gradthru, root, method, keys, fragment):
    wide = {"fc__hidden": "[13]"} if method == "exact" else {}
    command = tiny(root, **(wide | keys))
    assert_refused(gradthru(*command, "--methods", method, "--out", "out"), 2, fragment)
    assert_nothing_left(gradthru.folder)


def test_a_rate_that_is_far_too_large_diverges(gradthru, root):
    command = tiny(root, optimiser__lr=3e38, optimiser__clip=1e38, epochs=3)
    result = gradthru(*command, "--methods", "ap1", "--out", "out")
    assert result.returncode == 1
    told = summary(gradthru.folder / "out")
    assert told["status"] == "diverged"
    assert "ap1, lr 3e+38" in metrics(gradthru.folder / "out")[-1]["note"]
