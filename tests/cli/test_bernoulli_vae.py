"""`gradthru run bernoulli-vae` on tiny data: every method learns, runs repeat and resume."""

import io
import struct
import tarfile
import zlib

import numpy as np
import pytest

from tiny_data import (
    MISTAKE,
    assert_done,
    assert_nothing_left,
    assert_refused,
    blobs,
    checkpoint_tensors,
    gradthru,
    metrics,
    settings,
    start,
    summary,
    values_text,
    wait_until,
    write_mnist,
)

TRAIN, VALID, TEST = 500, 100, 200
METHODS = ["st", "gumbel_softmax(0.7)", "gst(1)", "reinmax(1.1)", "zgr", "reinforce(baseline=moving)",
           "rloo(2)", "arm", "disarm"]


def png(image):
    """A black and white PNG of one bit a pixel; image holds 1 for white."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width = image.shape
    rows = np.packbits(image.astype(np.uint8), axis=1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw))
            + chunk(b"IEND", b""))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with a tiny mnist and a tiny omniglot."""
    folder = tmp_path_factory.mktemp("data")
    write_mnist(folder)
    (folder / "omniglot").mkdir()
    with tarfile.open(folder / "omniglot" / "omniglot_images_105.tar.gz", "w:gz") as archive:
        for i, image in enumerate(blobs(60, 105, seed=3)):
            entry = tarfile.TarInfo(f"Omniglot Dataset/{i}.png")
            body = png(image < 128)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    return folder


def tiny(root, **keys):
    small = {
        "data__dir": root,
        "data__verify": False,
        "model__latents": 10,
        "model__hidden": "[24]",
        "batch_size": 50,
        "updates": 60,
        "eval_every": 20,
        "optimiser__lr": 0.01,
        "variance__every": 0,
        "eval__bound_samples": 20,
    }
    return ["run", "bernoulli-vae", "--threads", "1", *settings(**(small | keys))]


@pytest.fixture
def run(gradthru, root):
    """run("out", "st", updates=40, …) trains and returns the folder of the run."""

    def train(out, methods="st", *arguments, **keys):
        folder = gradthru.folder / out
        assert_done(
            gradthru(*tiny(root, **keys), "--methods", methods, "--out", folder, *arguments)
        )
        return folder

    return train


@pytest.fixture
def refused(gradthru, root):
    def check(methods, *fragments, **keys):
        result = gradthru(*tiny(root, **keys), "--methods", methods, "--out", "out")
        assert_refused(result, MISTAKE, *fragments)
        assert_nothing_left(gradthru.folder)

    return check


def train_values(folder, name):
    return [line["values"][name] for line in metrics(folder) if line["split"] == "train"]


# --- what a run writes ---------------------------------------------------------------------------


def test_every_method_learns_and_tells_what_it_cost(run):
    folder = run("out", ";".join(METHODS), updates=100, eval_every=50)
    costs = {"reinforce(baseline=moving)": 1, "rloo": 2, "arm": 2, "disarm": 2}
    found = [(summary(path.parent), path.parent) for path in folder.glob("*/summary.json")]
    assert len(found) == len(METHODS)
    for told, place in found:
        assert told["status"] == "complete"
        before, after = train_values(place, "nelbo")
        assert after < 0.95 * before, told["method"]
        final = told["final"]
        assert final["train_decoder_evaluations"] == costs.get(told["method"], 1), told["method"]
        for split in ("valid", "test"):
            assert final[f"{split}_nelbo"] == pytest.approx(
                final[f"{split}_recon"] + final[f"{split}_kl"]
            )
            assert final[f"{split}_nelbo"] == pytest.approx(after, rel=0.15)
            assert 0 <= final[f"{split}_active_units"] <= 10
        # By 20 samples in place of one.
        assert 0.8 * final["test_nelbo"] < final["test_bound"] < final["test_nelbo"]


def test_lines_are_for_stretches_of_updates(run):
    lines = metrics(run("out"))
    assert [(line["kind"], line["split"], line["step"], line["n"]) for line in lines] == [
        (kind, split, step, n)
        for step in (20, 40, 60)
        for kind, split, n in (
            ("train", "train", 1000), ("eval", "valid", VALID), ("eval", "test", TEST)
        )
    ]
    bounds = [line["step"] for line in lines if "bound" in line["values"]]
    assert bounds == [60]
    every = metrics(run("every", eval__bound="every", eval__bound_images=10))
    assert [line["step"] for line in every if "bound" in line["values"]] == [20, 40, 60]


def test_passes_are_shared_by_samples(run):
    """More passes of the decoder: the same loss in the mean, a gradient that scatters less."""
    keys = {"updates": 20, "variance__every": 20, "variance__draws": 60, "optimiser__lr": 1e-9}
    for method in ("st", "arm", "rloo(2)"):
        variances = []
        for passes in (2, 8):
            name = f"{method[:3]}-{passes}"
            final = summary(run(name, method, decoder_passes=passes, **keys))["final"]
            assert final["train_decoder_evaluations"] == passes
            variances.append(final["train_encoder_grad_variance"])
        assert 2.5 < variances[0] / variances[1] < 6, method  # 4 in the mean


def test_methods_of_different_cost_are_compared(gradthru, root):
    assert_done(gradthru(*tiny(root), "--methods", "st;rloo(2)", "--seeds", "0..1", "--out", "out"))
    assert_done(gradthru("report", "out", "--out", "report"))
    page = (gradthru.folder / "report" / "report.html").read_text()
    assert "The next is" in page and "nothing to compare it with" not in page


def test_measuring_changes_nothing(run):
    def without_extras(folder):
        extras = ("bound", "encoder_grad_variance")
        return [
            (line["step"], line["split"],
             {k: v for k, v in line["values"].items() if k not in extras})
            for line in metrics(folder)
        ]

    for method in ("reinmax(1.1)", "reinforce(baseline=moving)"):
        usual = run(f"usual-{method[:5]}", method, eval__bound="never")
        measured = run(f"measured-{method[:5]}", method, eval__bound="every", variance__every=20,
                       variance__draws=5)
        assert without_extras(usual) == without_extras(measured)
        tensors = [checkpoint_tensors(f / "checkpoint" / "last.pt") for f in (usual, measured)]
        assert tensors[0] == tensors[1]
        assert len(train_values(measured, "encoder_grad_variance")) == 3


def test_omniglot_and_its_parts(run):
    folder = run("out", data__name="omniglot", updates=20, batch_size=10)
    assert summary(folder)["status"] == "complete"
    # 60 * 23000 / 32460 = 42 for training, 60 * 1345 / 32460 = 2 for validation.
    assert [line["n"] for line in metrics(folder)] == [4 * 42, 2, 16]


# --- variants ------------------------------------------------------------------------------------


def test_released_images_are_drawn_once(run):
    """With weights that stay as they are, the KL of a pass tells whether images were drawn anew."""
    keys = {"updates": 30, "eval_every": 10, "optimiser__lr": 1e-12}
    spread = {}
    for variant in ("fixed", "released"):
        kls = train_values(run(variant, "st", variant=variant, **keys), "kl")
        spread[variant] = np.ptp(kls) / np.mean(kls)
    # Ten batches of 50 are a pass; what is left is the rounding of another order.
    assert spread["released"] < 1e-6 < spread["fixed"]


def test_pictures_show_the_test_and_the_prior(run):
    fixed, released = run("fixed"), run("released", variant="released")
    figures = {folder: sorted(path.name for path in (folder / "figures").iterdir())
               for folder in (fixed, released)}
    assert figures[fixed] == ["index.json", "reconstructions.png", "samples.png"]
    assert figures[released] == ["index.json", "reconstructions.png"]
    assert (fixed / "figures" / "samples.png").read_bytes().startswith(b"\x89PNG")


def test_variants_differ_in_the_start(run):
    # Fresh weights: q near 1/2 in the fixed one; sigmoid(2a - 1), about 0.27, in the released one.
    keys = {"updates": 20, "optimiser__lr": 1e-12, "eval__bound": "never"}
    fixed, released = (
        summary(run(v, "st", variant=v, **keys))["final"]["test_kl"] for v in ("fixed", "released")
    )
    assert 0 <= fixed < 0.5
    # Per latent log 2 - H(sigmoid(-1)) = 0.11.
    assert 0.6 < released < 2.5


# --- resuming ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["reinforce(baseline=moving)", "disarm", "reinmax(1.1)"])
def test_killed_and_resumed_is_undisturbed(run, start, gradthru, root, method):
    keys = {"updates": 200, "eval_every": 40, "run__checkpoint_seconds": 0, "variance__every": 80,
            "variance__draws": 3}
    whole = run("whole", method, **keys)
    out = gradthru.folder / "out"
    command = [*tiny(root, **keys), "--methods", method, "--out", out]
    process = start(*command)
    wait_until(lambda: (out / "metrics.jsonl").exists()
               and (out / "metrics.jsonl").read_text().count("\n") >= 4, process, "updates")
    process.kill()
    process.communicate()
    assert not (out / "summary.json").exists()
    assert_done(gradthru(*command, "--resume"))
    assert values_text(out) == values_text(whole)
    tensors = [checkpoint_tensors(folder / "checkpoint" / "last.pt") for folder in (out, whole)]
    assert tensors[0] == tensors[1]


# --- mistakes ------------------------------------------------------------------------------------


def test_mistakes(refused):
    refused("arm", "decoder_passes", "multiple of 2, got 3", decoder_passes=3)
    refused("rloo(3)", "decoder_passes", "multiple of 3, got 2", decoder_passes=2)
    refused("st", "updates", "multiple of eval_every=20, got 50", updates=50)
    refused("st", "variance.every", "multiple of eval_every=20, got 30", variance__every=30)
    refused("psa", "psa", "reinmax(1.1) or rloo(2)")
    refused("exact", "exact", "65536", model__latents=30)
    refused("st", "variant", "released", variant="realeased")


def test_bad_omniglot(refused, root, tmp_path):
    whole = (root / "omniglot" / "omniglot_images_105.tar.gz").read_bytes()
    path = tmp_path / "bad" / "omniglot" / "omniglot_images_105.tar.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(whole[: len(whole) // 2])
    keys = {"data__name": "omniglot", "data__dir": tmp_path / "bad"}
    refused("st", "omniglot_images_105.tar.gz", **keys)
    path.write_bytes(whole)
    refused("st", "wanted the published images", "got 60 images", **(keys | {"data__verify": True}))
    path.unlink()
    refused("st", "omniglot_images_105.tar.gz is missing", "GRADTHRU_DATA_DIR", **keys)
