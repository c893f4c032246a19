"""`gradthru run vae-gst` and `vae-iw` on tiny data: studies that leave the training of vae alone."""

import pytest

from tiny_data import (
    MISTAKE,
    assert_done,
    assert_nothing_left,
    assert_refused,
    blobs,
    checkpoint_tensors,
    data,
    gradthru,
    metrics,
    start,
    summary,
    tiny_vae,
    values_text,
    wait_until,
    write_gzip,
)

ROWS = {"train": 300, "valid": 60, "test": 80}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """A folder with a tiny binarized-mnist: of two files compressed, of one as it is published."""
    folder = tmp_path_factory.mktemp("data")
    for i, (part, count) in enumerate(ROWS.items()):
        bits = blobs(count, 28, seed=i).reshape(count, -1) > 128
        text = "".join(" ".join(map(str, row)) + " \n" for row in bits.astype(int)).encode()
        name = folder / "binarized-mnist" / f"binarized_mnist_{part}.amat"
        if part == "test":
            name.write_bytes(text)
        else:
            write_gzip(name.parent / (name.name + ".gz"), text)
    return folder


def tiny(experiment, root, **keys):
    small = {"variance__draws": 0} if experiment == "vae-gst" else {}
    command = tiny_vae(root, **small | keys)
    command[1] = experiment
    return command


@pytest.fixture
def run(gradthru):
    """run(experiment, root, "out", "st", epochs=1, …) trains and returns the folder of the run."""

    def train(experiment, root, out, methods="st", **keys):
        folder = gradthru.folder / out
        command = [*tiny(experiment, root, **keys), "--methods", methods, "--out", folder]
        assert_done(gradthru(*command))
        return folder

    return train


def values(folder, split, name):
    found = [line["values"].get(name) for line in metrics(folder) if line["split"] == split]
    return [value for value in found if value is not None]


# --- vae-gst -------------------------------------------------------------------------------------

GST = {"variance__draws": 8, "variance__images": 40}


def test_gst_is_the_vae_with_a_relu_and_a_measurement(run, data):
    plain = run("vae", data, "vae", "gst(1)", model__relu_logits=True, optimiser__lr=0.001)
    studied = run("vae-gst", data, "gst", "gst(1)", optimiser__name="adam", optimiser__lr=0.001,
                  **GST)
    tensors = [checkpoint_tensors(folder / "checkpoint" / "last.pt") for folder in (plain, studied)]
    assert tensors[0] == tensors[1]
    variances = values(studied, "test", "encoder_grad_variance")
    assert len(variances) == 2 and min(variances) > 0
    assert summary(studied)["final"]["test_encoder_grad_variance"] == variances[-1]
    without = run("vae-gst", data, "without", "gst(1)", optimiser__name="adam",
                  optimiser__lr=0.001, model__relu_logits=False)
    assert values(without, "test", "encoder_grad_variance") == []
    assert values(without, "test", "nelbo") != values(studied, "test", "nelbo")


def test_gst_variance_is_of_the_same_images_in_chunks_of_any_size(run, data):
    keys = GST | {"optimiser__lr": 1e-12}  # so small a rate that the model stays as it is
    whole, chunks = (
        values(run("vae-gst", data, f"chunk-{n}", variance__chunk=n, **keys), "test",
               "encoder_grad_variance")
        for n in (40, 7)
    )
    assert whole == pytest.approx(chunks, rel=1e-4)
    assert whole[0] == pytest.approx(whole[1], rel=1e-4)  # the first images, the same draws
    redrawn = values(run("vae-gst", data, "redrawn", variance__redraw=True, **keys), "test",
                     "encoder_grad_variance")
    assert redrawn[0] != pytest.approx(redrawn[1], rel=1e-4)


def test_gst_variance_falls_with_the_images(run, data):
    few, many = (
        values(run("vae-gst", data, f"images-{n}", epochs=1, variance__draws=40,
                   variance__images=n), "test", "encoder_grad_variance")[0]
        for n in (10, 160)
    )
    assert 5 < few / many < 50  # 16 in the mean


def test_gst_ablation_can_be_run(run, data, gradthru):
    methods = ["gumbel_softmax(1)", "gumbel_softmax(1,hard=false)", "st", "gst(0)", "gst(0.8)",
               "gst(1.2)", "gst(p)", "gst(1,detach=false)", "gumbel_rao(10,tau=1)"]
    folder = run("vae-gst", data, "out", ";".join(methods), epochs=1)
    told = [summary(path.parent) for path in folder.glob("*/summary.json")]
    assert [s["status"] for s in told] == ["complete"] * len(methods)
    assert len({s["final"]["train_nelbo"] for s in told}) == len(methods)


# --- vae-iw --------------------------------------------------------------------------------------

IW = {"optimiser__name": "sgd", "optimiser__lr": 0.001, "eval__bound_samples": 40}


def test_relaxed_samples_train_but_do_not_test(run, data):
    """With weights that stay as they are, both test the same one-hots."""
    keys = {"epochs": 1, "optimiser__lr": 1e-12}
    methods = "gumbel_softmax(1)", "gumbel_softmax(1,hard=false)"
    hard, soft = (run("vae-gst", data, f"run{i}", method, **keys) for i, method in enumerate(methods))
    assert values(hard, "test", "nelbo") == pytest.approx(values(soft, "test", "nelbo"), rel=1e-6)
    assert values(hard, "train", "recon") != pytest.approx(values(soft, "train", "recon"), rel=1e-6)


def test_iw_bound_lies_between_the_bound_and_the_enumerated_value(run, rows):
    folder = run("vae-iw", rows, "out", "st", epochs=3, **IW | {"eval__bound_samples": 4000})
    lines = metrics(folder)
    assert [(line["split"], line["n"]) for line in lines] == 3 * [
        ("train", 300), ("valid", 60), ("test", 80)
    ]
    final = summary(folder)["final"]
    assert final["test_bound"] == pytest.approx(final["test_nll"], abs=0.02)
    assert final["test_nll"] < final["test_nelbo_exact"]
    assert 0.8 < final["valid_bound"] / final["test_bound"] < 1.2
    assert [len(values(folder, split, "bound")) for split in ("valid", "test")] == [1, 1]
    train = values(folder, "train", "nelbo")
    assert train[-1] < train[0] - 10


def test_iw_bound_falls_with_the_samples(run, rows):
    bounds = []
    for samples in (1, 10, 200):
        keys = IW | {"eval__bound_samples": samples}
        folder = run("vae-iw", rows, f"m-{samples}", "gumbel_softmax(1)", **keys)
        bounds.append(summary(folder)["final"])
    # One sample is the negative ELBO, of other draws.
    assert bounds[0]["test_bound"] == pytest.approx(bounds[0]["test_nelbo"], rel=0.02)
    assert bounds[0]["test_bound"] > bounds[1]["test_bound"] > bounds[2]["test_bound"]


def test_iw_trains_with_momentum(run, rows):
    def trained(out, **keys):
        return values(run("vae-iw", rows, out, **(IW | keys)), "train", "nelbo")

    none, much = trained("none", optimiser__momentum=0), trained("much", optimiser__momentum=0.9)
    assert none != much and much == trained("default")


def test_iw_best_epoch_is_that_of_validation(run, rows):
    folder = run("vae-iw", rows, "out", epochs=4, **IW)
    assert summary(folder)["best"]["valid_nelbo"] == min(values(folder, "valid", "nelbo"))


@pytest.mark.parametrize("experiment", ["vae-gst", "vae-iw"])
def test_killed_and_resumed_is_undisturbed(run, start, gradthru, data, rows, experiment):
    root = data if experiment == "vae-gst" else rows
    keys = {"epochs": 6, "run__checkpoint_seconds": 0} | (GST if root == data else IW)
    whole = run(experiment, root, "whole", "gst(1)", **keys)
    out = gradthru.folder / "out"
    command = [*tiny(experiment, root, **keys), "--methods", "gst(1)", "--out", out]
    process = start(*command)
    wait_until(lambda: (out / "metrics.jsonl").exists()
               and (out / "metrics.jsonl").read_text().count("\n") >= 4, process, "epochs")
    process.kill()
    process.communicate()
    assert_done(gradthru(*command, "--resume"))
    assert values_text(out) == values_text(whole)
    tensors = [checkpoint_tensors(folder / "checkpoint" / "last.pt") for folder in (out, whole)]
    assert tensors[0] == tensors[1]


def test_mistakes(gradthru, data, rows, tmp_path):
    def refused(experiment, root, *fragments, **keys):
        result = gradthru(*tiny(experiment, root, **keys), "--methods", "st", "--out", "out")
        assert_refused(result, MISTAKE, *fragments)
        assert_nothing_left(gradthru.folder)

    refused("vae-gst", data, "variance.images", "at most the 200", variance__draws=2,
            variance__images=201)
    refused("vae-gst", data, "variance.draws", "0 or at least 2", variance__draws=1)
    refused("vae-iw", rows, "data.name", data__name="mnist")
    refused("vae-iw", rows, "binarized_mnist_train.amat", "wanted SHA-256", data__verify=True)
    refused("vae-iw", tmp_path, "binarized_mnist_train.amat is missing", "data fetch")
    broken = tmp_path / "broken" / "binarized-mnist"
    broken.mkdir(parents=True)
    (broken / "binarized_mnist_train.amat").write_bytes(b"0 " * 784 + b"\n" + b"0 " * 783 + b"x\n")
    refused("vae-iw", broken.parent, "line 2", "got 'x'")
