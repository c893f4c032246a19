"""`gradthru run vae` on tiny data: what it writes, what it repeats, what it learns."""

import itertools
import math
import re
import statistics
import tomllib

import numpy as np
import pytest

from tiny_data import (
    VAE_FILES,
    TEST,
    TRAIN,
    assert_done,
    blobs,
    checkpoint_tensors,
    data,
    files_below,
    gradthru,
    metrics,
    settings,
    summary,
    tiny_vae,
    values_text,
    write_digits,
    write_mnist,
)

NUMBERS = ["nelbo", "recon", "kl", "max_prob"]
EXACT = ["nelbo_exact", "nll"]
LINE_KEYS = ["v", "kind", "step", "epoch", "wall_s", "split", "n", "values"]
SUMMARY_KEYS = ["v", "experiment", "preset", "method", "seed", "status", "steps", "wall_s"]
SUMMARY_KEYS += ["final", "best", "data", "config_sha256", "version", "device"]


@pytest.fixture
def run(gradthru, data):
    """run("out", "st", seed=1, epochs=3, …) trains on the tiny data and returns the folder."""

    def train(out, methods="st", seeds="0", arguments=(), **keys):
        folder = gradthru.folder / out
        command = [*tiny_vae(data, **keys), "--methods", methods, "--seeds", seeds, "--out", folder]
        train.result = assert_done(gradthru(*command, *arguments))
        return folder

    return train


def only(lines, **wanted):
    return [line for line in lines if all(line[key] == wanted[key] for key in wanted)]


# --- the run directory ---------------------------------------------------------------------------


def test_writes_exactly_the_files_of_a_run(run):
    assert files_below(run("out")) == VAE_FILES


def test_metrics_obey_the_schema(run):
    lines = metrics(run("out", epochs=3))
    assert [(line["kind"], line["split"], line["epoch"]) for line in lines] == [
        (kind, split, epoch)
        for epoch in (1, 2, 3)
        for kind, split in (("train", "train"), ("eval", "test"))
    ]
    for line in lines:
        assert list(line) == LINE_KEYS
        assert line["v"] == 1
        assert isinstance(line["step"], int) and line["step"] == line["epoch"] * TRAIN / 50
        assert isinstance(line["epoch"], float)
        assert line["n"] == (TRAIN if line["split"] == "train" else TEST)
        names = NUMBERS + EXACT if line is lines[-1] else NUMBERS
        assert list(line["values"]) == names
        assert all(isinstance(number, float) for number in line["values"].values())
        assert line["values"]["recon"] + line["values"]["kl"] == pytest.approx(
            line["values"]["nelbo"], rel=1e-5
        )
        assert 0 <= line["values"]["kl"] <= 2 * math.log(4)
        assert 0.25 <= line["values"]["max_prob"] <= 1
    times = [line["wall_s"] for line in lines]
    assert times == sorted(times) and times[0] > 0


def test_summary_says_how_it_ended(run):
    folder = run("out", "st(1.3)", seeds="7", epochs=3)
    last_train, last_test = metrics(folder)[-2:]
    told = summary(folder)
    assert list(told) == SUMMARY_KEYS
    assert told["v"] == 1
    assert (told["experiment"], told["preset"]) == ("vae", "smoke")
    assert (told["method"], told["seed"], told["status"]) == ("st(1.3)", 7, "complete")
    assert told["steps"] == last_test["step"] == 3 * TRAIN / 50
    assert told["wall_s"] >= last_test["wall_s"]
    assert told["device"] == "cpu"
    assert re.fullmatch("[0-9a-f]{64}", told["config_sha256"])
    assert told["final"] == {
        f"{line['split']}_{name}": value
        for line in (last_train, last_test)
        for name, value in line["values"].items()
    }
    best = min(only(metrics(folder), kind="eval"), key=lambda line: line["values"]["nelbo"])
    assert told["best"]["test_nelbo"] == best["values"]["nelbo"]


def test_config_has_every_key_and_a_record(run, gradthru):
    config = tomllib.loads((run("out", "gst(p)", seeds="3") / "config.toml").read_text())
    record = config.pop("record")
    names = set()
    for name, value in config.items():
        names |= {f"{name}.{key}" for key in value} if isinstance(value, dict) else {name}
    listed = assert_done(gradthru("list", "experiments")).stdout
    of_vae = re.search(r"^vae .*?(?=^\S|\Z)", listed, re.MULTILINE | re.DOTALL)[0]
    assert names == {"methods", "seeds"} | set(re.findall(r"--set (\S+)", of_vae))
    assert config["methods"] == ["gst(p)"] and config["seeds"] == "3"
    assert config["latent"] == "4x2" and config["optimiser"] == {"name": "adam", "lr": 0.003}
    assert record["version"] == gradthru("--version").stdout.strip() == summary(
        gradthru.folder / "out"
    )["version"]
    assert record["experiment"] == "vae"


def test_config_fed_back_repeats_the_run(run, gradthru):
    first = run("first", "gumbel_softmax(tau=exp(1,0.3,50%))", seeds="11", model__relu_logits=True)
    again = gradthru.folder / "again"
    repeat = ["--config", first / "config.toml", "--out", again]
    assert_done(gradthru("run", "vae", "--threads", "1", *repeat))
    assert values_text(first) == values_text(again)
    assert (first / "config.toml").read_bytes() == (again / "config.toml").read_bytes()
    assert summary(first)["config_sha256"] == summary(again)["config_sha256"]


def test_set_wins_over_config_and_config_over_preset(gradthru, data):
    (gradthru.folder / "mine.toml").write_text("epochs = 3\n[optimiser]\nlr = 0.25\n")
    out = gradthru.folder / "out"
    keys = settings(data__dir=data, data__verify=False, model__hidden="[8]", epochs=1)
    assert_done(gradthru("run", "vae", *keys, "--config", "mine.toml", "--out", out))
    for method in ("reinmax-1.3-s0", "st-1.3-s0"):  # the preset's
        config = tomllib.loads((out / method / "config.toml").read_text())
        assert (config["epochs"], config["optimiser"]["lr"]) == (1, 0.25)


# --- randomness ----------------------------------------------------------------------------------


def test_same_seed_same_values_and_another_seed_others(run):
    first, second = run("a", "reinmax", seeds="5"), run("b", "reinmax", seeds="5")
    other = run("c", "reinmax", seeds="6")
    assert values_text(first) == values_text(second)
    assert all(a != b for a, b in zip(values_text(first), values_text(other)))


def test_methods_start_from_the_same_weights_and_see_the_same_batches(run):
    # A learning rate that changes no float keeps the initial weights until the checkpoint.
    still = {"optimiser__lr": 1e-30, "eval__exact": "every"}
    folders = [run(name, name, **still) for name in ("st", "reinmax", "gumbel_softmax", "gst")]
    models = [
        {name: bytes_ for name, bytes_ in tensors.items() if name.startswith("model.")}
        for tensors in (checkpoint_tensors(f / "checkpoint" / "last.pt") for f in folders)
    ]
    assert len(models[0]) == 12 and all(model == models[0] for model in models)
    # The KL needs no sample: it is that of the weights and the batches.
    kls = [[line["values"]["kl"] for line in metrics(folder)] for folder in folders]
    assert all(kl == kls[0] for kl in kls)

    other = checkpoint_tensors(run("other", seeds="1", **still) / "checkpoint" / "last.pt")
    assert all(other[name] != models[0][name] for name in models[0])


def test_an_epoch_has_an_order_of_its_own_and_every_image_once(run):
    # Weights that stand still: the mean KL over an epoch is the same, that of a batch is not.
    still = {"optimiser__lr": 1e-30, "epochs": 2}
    kl = [line["values"]["kl"] for line in only(metrics(run("whole", **still)), kind="train")]
    assert kl[1] == pytest.approx(kl[0], rel=1e-6)
    assert kl[1] != kl[0]  # summed in another order


def test_evaluating_more_often_does_not_change_training(run):
    often, seldom = run("often", eval__exact="every"), run("seldom", eval__exact="never")
    train = [only(metrics(folder), kind="train") for folder in (often, seldom)]
    assert [line["values"] for line in train[0]] == [line["values"] for line in train[1]]
    assert all("nll" in line["values"] for line in only(metrics(often), kind="eval"))
    assert not any("nll" in line["values"] for line in only(metrics(seldom), kind="eval"))


# --- sweeps --------------------------------------------------------------------------------------


def table_of(stdout):
    """The closing table: header and rows, cells split at two blanks."""
    lines = stdout.split("\n\n")[-2].strip().splitlines()
    rule = next(i for i, line in enumerate(lines) if set(line.strip()) == {"-", " "})
    cells = [re.split(r"\s{2,}", line.strip()) for line in (lines[rule - 1], *lines[rule + 1 :])]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]


def mean_and_sd(values):
    return f"{statistics.fmean(values):.2f} ± {statistics.stdev(values):.2g}"


def test_methods_and_seeds_make_folders_and_a_table(run):
    out = run("out", "st(1.3);reinmax(1.3)", seeds="0..2")
    names = [f"{m}-1.3-s{s}" for m, s in itertools.product(("st", "reinmax"), range(3))]
    assert sorted(p.name for p in out.iterdir()) == sorted(names)
    for name in names:
        assert files_below(out / name) == VAE_FILES
        config = tomllib.loads((out / name / "config.toml").read_text())
        assert len(config["methods"]) == 1 and config["seeds"] == name[-1]
    rows = table_of(run.result.stdout)
    assert [row["method"] for row in rows] == ["st(1.3)", "reinmax(1.3)"]
    for row in rows:
        assert row["seeds"] == "3"
        runs = [summary(out / n) for n in names if n.startswith(row["method"].split("(")[0])]
        for column in ("train_nelbo", "test_nelbo", "test_kl", "test_nll"):
            assert row[column] == mean_and_sd([told["final"][column] for told in runs])
    # A run inside a sweep is the run alone.
    alone = run("alone", "reinmax(1.3)", seeds="2")
    assert values_text(out / "reinmax-1.3-s2") == values_text(alone)


def test_grid_makes_a_folder_per_point(run):
    axis = ["--set", 'grid.latent=["4x2","8x2"]']
    out = run("out", "st;reinmax", arguments=axis)
    names = [
        f"latent-{latent}-{method}-s0"
        for latent in ("4x2", "8x2")
        for method in ("st", "reinmax")
    ]
    assert sorted(p.name for p in out.iterdir()) == sorted(names)
    rows = table_of(run.result.stdout)
    assert [(row["grid point"], row["method"]) for row in rows] == [
        (f"latent-{latent}", method)
        for latent in ("4x2", "8x2")
        for method in ("st", "reinmax")
    ]
    for name, row in zip(names, rows, strict=True):
        assert row["test_nelbo"] == f"{summary(out / name)['final']['test_nelbo']:.2f}"
        config = tomllib.loads((out / name / "config.toml").read_text())
        assert config["latent"] == name.split("-")[1] and "grid" not in config


def test_a_key_that_is_set_takes_its_axis_out(run):
    arguments = ["--set", 'grid.latent=["4x2","8x2"]', "--set", "latent=2x3"]
    folder = run("out", arguments=arguments)
    assert tomllib.loads((folder / "config.toml").read_text())["latent"] == "2x3"


def test_default_folder_is_named_after_the_run(gradthru, data):
    command = [*tiny_vae(data, epochs=1), "--methods", "gst(p,tau=0.7)", "--seeds", "4"]
    result = assert_done(gradthru(*command))
    folder = "runs/vae/smoke-gst-p-tau-0.7-s4"
    assert files_below(gradthru.folder) == [f"{folder}/{name}" for name in VAE_FILES]
    assert result.stdout.endswith(f"\nruns: {folder}\n")


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    [
        "st(exp(1,0.5,50%))",
        "gumbel_softmax(linear(1,0.3))",
        "reinmax(cosine(2,1,80%))",
        "identity",
        "darn",
        "zgr",
        "st_zgr(0.5)",
        "reinmax_uniform",
        "gst(p)",
        "gumbel_rao(3,tau=0.5)",
        "st(tau_f=0.5,tau_b=2)",
        "gumbel_softmax(tau_f=0.5,tau_b=2)",
    ],
)
def test_every_estimator_and_schedule_trains(run, method):
    folder = run("out", method)
    assert summary(folder)["method"] == method  # these are the shortest ways to say them
    nelbo = [line["values"]["nelbo"] for line in only(metrics(folder), kind="eval")]
    assert nelbo[1] < nelbo[0]


def test_schedule_begins_and_ends_where_it_says(run):
    # One step of training at the start of the schedule, the evaluation at its end; weights stand
    # still, so that only the temperature of the samples decides.
    still = {"optimiser__lr": 1e-30, "epochs": 1, "data__train_limit": 50}
    scheduled = metrics(run("scheduled", "st(tau_f=exp(20,0.02),tau_b=1)", **still))
    first = metrics(run("first", "st(tau_f=20,tau_b=1)", **still))
    last = metrics(run("last", "st(tau_f=0.02,tau_b=1)", **still))
    assert [line["step"] for line in scheduled] == [1, 1]
    assert scheduled[0]["values"] == first[0]["values"] != last[0]["values"]
    assert scheduled[1]["values"] == last[1]["values"] != first[1]["values"]


@pytest.mark.parametrize("optimiser", ["adam", "radam", "sgd"])
def test_optimisers(run, optimiser):
    lr = 0.001 if optimiser == "sgd" else 0.003
    folder = run("out", optimiser__name=optimiser, optimiser__lr=lr, epochs=3)
    nelbo = [line["values"]["nelbo"] for line in only(metrics(folder), kind="eval")]
    assert nelbo == sorted(nelbo, reverse=True)


def test_optimisers_differ(run):
    folders = [run(name, optimiser__name=name) for name in ("adam", "radam", "sgd")]
    assert len({values_text(folder)[-1][1] for folder in folders}) == 3


def test_tuned_settings_follow_the_method_and_the_cell(gradthru, data):
    out = gradthru.folder / "out"
    methods = "st;gumbel_rao(5);zgr;gumbel_softmax(hard=false)"
    arguments = ["run", "vae", "--threads", "1", "--methods", methods, "--out", out]
    arguments += ["--set", "latent=64x8", "--set", "tuned_tau=true", "--set", "epochs=1"]
    arguments += settings(data__dir=data, data__verify=False, model__hidden="[8]")
    assert_done(gradthru(*arguments))
    told = {}
    for folder in out.iterdir():
        config = tomllib.loads((folder / "config.toml").read_text())
        told[config["methods"][0]] = (config["optimiser"]["name"], config["optimiser"]["lr"])
    assert told == {
        "st(1.5)": ("adam", 5e-4),
        "gumbel_rao(5,tau=2)": ("adam", 7e-4),
        "gumbel_softmax(0.7,hard=false)": ("radam", 7e-4),
        "zgr": ("radam", 5e-4),  # the row of reinmax
    }


def test_a_schedule_may_be_quoted_and_named(run):
    assert summary(run("out", 'st(tau="exp(1.0, 0.5, 50%)")'))["method"] == "st(exp(1,0.5,50%))"


def test_fashion_mnist_is_another_set(run, tmp_path):
    write_mnist(tmp_path / "other", "fashion-mnist", seed=1)
    fashion = run("out", data__name="fashion-mnist", data__dir=tmp_path / "other")
    assert files_below(fashion) == VAE_FILES
    assert values_text(fashion) != values_text(run("mnist"))


def test_digits_have_their_own_size(run, tmp_path):
    write_digits(tmp_path / "other")
    folder = run("out", data__name="digits", data__dir=tmp_path / "other")
    assert [line["n"] for line in metrics(folder)] == [1437, 360, 1437, 360]
    assert summary(folder)["final"]["test_nelbo"] < 64 * math.log(2)


def test_exact_bound_agrees_with_the_sampled_one(run):
    final = summary(run("out", "reinmax", epochs=8, optimiser__lr=0.01))["final"]
    # 200 images, one sample each, and a spread between codes of some tens of nats.
    assert final["test_nelbo_exact"] == pytest.approx(final["test_nelbo"], rel=0.05)
    assert final["test_nll"] <= final["test_nelbo_exact"]
    assert 0 < final["test_nelbo_exact"] - final["test_nll"] < 20


def test_exact_bound_of_an_untrained_network_is_784_ln_2(run):
    final = summary(run("out", optimiser__lr=1e-30, epochs=1))["final"]
    assert final["test_nelbo_exact"] == pytest.approx(784 * math.log(2), rel=0.02)
    assert final["test_nll"] == pytest.approx(784 * math.log(2), rel=0.02)


def test_another_law_than_that_of_the_samples_is_not_enumerated(run):
    assert list(metrics(run("out", "st(tau_f=0.5,tau_b=1)"))[-1]["values"]) == NUMBERS


def test_a_relaxed_method_is_tested_with_the_one_hots_that_are_enumerated(run):
    final = summary(run("out", "gumbel_softmax(hard=false)"))["final"]
    assert final["test_nelbo_exact"] == pytest.approx(final["test_nelbo"], rel=0.05)


@pytest.mark.parametrize("latent", ["2x15", "10x30"])
def test_a_latent_too_large_to_enumerate_has_no_exact_bound(run, latent):
    folder = run("out", latent=latent)
    assert list(metrics(folder)[-1]["values"]) == NUMBERS
    assert "test_nll" not in run.result.stdout


def test_relu_on_the_logits_is_another_network(run):
    plain, relu = run("plain"), run("relu", model__relu_logits=True)
    assert values_text(plain) != values_text(relu)
    nelbo = [line["values"]["nelbo"] for line in only(metrics(relu), kind="eval")]
    assert nelbo[1] < nelbo[0]


def test_the_last_batch_may_be_smaller(run):
    folder = run("out", data__train_limit=130, data__test_limit=77, batch_size=50)
    assert [(line["step"], line["n"]) for line in metrics(folder)] == [
        (3, 130), (3, 77), (6, 130), (6, 77),
    ]  # fmt: skip


def test_a_partial_batch_weighs_by_its_images(run):
    # Weights that stand still: the mean KL over the images must not depend on the batches.
    still = {"optimiser__lr": 1e-30, "epochs": 1, "data__train_limit": 130}
    kl = [
        metrics(run(str(batch), batch_size=batch, **still))[0]["values"]["kl"]
        for batch in (130, 129, 50, 1000)
    ]
    assert kl == pytest.approx([kl[0]] * 4, rel=1e-5)


def nelbo_without_a_code():
    """Of the best network that ignores its latents: it paints the mean training image."""
    mean = (blobs(TRAIN, 28, seed=0) / 255).mean(axis=0)
    images = blobs(TEST, 28, seed=1) / 255
    terms = images * np.log(mean) + (1 - images) * np.log1p(-mean)
    return -terms.sum(axis=(1, 2)).mean()


@pytest.mark.parametrize("method", ["st", "reinmax"])
def test_learns_to_use_its_latents(run, method):
    # Ten seeds of both methods ended between 183 and 188 nats, the mean image has 336.
    folder = run("out", method, epochs=10, latent="4x8", model__hidden="[64]")
    first, *_, last = only(metrics(folder), kind="eval")
    assert first["values"]["nelbo"] > nelbo_without_a_code()
    assert last["values"]["nelbo"] < nelbo_without_a_code() - 100
    assert math.log(4) < last["values"]["kl"] < 8 * math.log(4)


# --- the terminal --------------------------------------------------------------------------------


def test_piped_output_is_plain_lines(run):
    run("out", "st;reinmax")
    stdout, stderr = run.result.stdout, run.result.stderr
    assert "\r" not in stdout + stderr and "\x1b" not in stdout + stderr
    assert all(line.isprintable() for line in (stdout + stderr).splitlines())
    assert re.fullmatch(
        r"1/2 st s0 24/24 \(100%\), loss [\d.]+, 0:0\d, \d+ examples/s\n"
        r"2/2 reinmax s0 24/24 \(100%\), loss [\d.]+, 0:0\d, \d+ examples/s\n",
        stderr,
    )


def test_log_holds_what_was_told_about_the_run(run):
    folder = run("out", "st(1.3)")
    log = (folder / "log.txt").read_text()
    *epochs, closing = log.splitlines()
    tests = only(metrics(folder), kind="eval")
    for i, (line, told) in enumerate(zip(epochs, tests, strict=True), 1):
        assert line.startswith(f"1/1 st(1.3) s0 epoch {i}/2: ")
        assert f"test_nelbo {told['values']['nelbo']:.2f}" in line
    assert re.fullmatch(r"st-1\.3-s0: complete after 24 steps, \d+\.\d s", closing)
    assert run.result.stdout.startswith(log)
    assert run.result.stdout.endswith(f"\nruns: {folder}\n")
