"""`gradthru run vae-probe` on tiny data: measurements between epochs that leave training alone."""

import json

import pytest

from tiny_data import (
    assert_done,
    assert_refused,
    checkpoint_tensors,
    data,
    gradthru,
    metrics,
    settings,
    start,
    tiny_vae,
    values_text,
    wait_until,
)

PROBED = ["exact", "st", "reinmax", "st(tau_f=2)", "gumbel_softmax(0.5)", "rloo(3)"]
NAMES = ["rel_bias", "rel_bias_of_mean", "rel_std", "cos", "rel_standard_error"]
NAMES += ["bias", "std", "rel_bias_one", "cos_one"]


@pytest.fixture
def run(gradthru, data):
    """run("vae-probe", "out", epochs=2, …) trains on the tiny data and returns the folder."""

    def train(experiment, out, *arguments, methods="reinmax(1.3)", **keys):
        command = tiny_vae(data, **keys)
        command[1] = experiment
        command += ["--methods", methods, "--out", out]
        if experiment == "vae-probe":
            command += settings(probe__images=3, probe__samples=64)
            command += ["--set", f"probe.methods={json.dumps(PROBED)}"]
        train.result = assert_done(gradthru(*command, *arguments))
        return gradthru.folder / out

    return train


def probes(folder):
    return [line for line in metrics(folder) if line["kind"] == "probe"]


def test_probes_before_the_first_epoch_and_after_each(run):
    lines = probes(run("vae-probe", "out", epochs=2))
    assert [(line["epoch"], line["note"]) for line in lines] == [
        (epoch, method) for epoch in (0, 1, 2) for method in PROBED
    ]
    for line in lines:
        assert list(line["values"]) == NAMES and line["n"] == 3
    assert "probe reinmax: rel_bias " in run.result.stdout


def test_measures_what_it_says(run, gradthru, data):
    folder = run("vae-probe", "out", epochs=1)
    last = {line["note"]: line["values"] for line in probes(folder)[-len(PROBED):]}
    assert last["exact"]["rel_bias"] == 0 and last["exact"]["rel_std"] == 0
    assert last["reinmax"]["rel_bias"] < last["st"]["rel_bias"]
    assert last["st"]["rel_standard_error"] == 0 < last["rloo(3)"]["rel_standard_error"]
    # The same figures as of the command that looks at the last checkpoint.
    assert_done(
        gradthru("fidelity", "--run", folder, "--images", 3, "--methods", "st;reinmax",
                 "--json", "told.json")
    )
    told = json.loads((gradthru.folder / "told.json").read_text())["results"]
    for result in told:
        values = last[result["method"]]
        assert values["rel_bias"] == pytest.approx(result["relative_bias"], rel=1e-12)
        assert values["cos"] == pytest.approx(result["cosine"], rel=1e-12)
        assert values["rel_std"] == pytest.approx(result["relative_std"], rel=1e-12)
        assert values["std"] ** 2 == pytest.approx(result["variance"], rel=1e-12)
        assert values["rel_bias_one"] == pytest.approx(values["rel_bias"], rel=1e-12)
    # Sampled at 2, compared with the gradient at 2 and with that at 1.
    for target, names in ((), ("rel_bias", "cos")), (("--target-tau", 1), ("rel_bias_one", "cos_one")):
        assert_done(
            gradthru("fidelity", "--run", folder, "--images", 3, "--methods", "st(tau_f=2)",
                     "--json", "told.json", *target)
        )
        [result] = json.loads((gradthru.folder / "told.json").read_text())["results"]
        assert result["target_tau"] == (1 if target else 2)
        found = [last["st(tau_f=2)"][name] for name in names]
        assert found == pytest.approx([result["relative_bias"], result["cosine"]], rel=1e-12)
    assert last["st(tau_f=2)"]["rel_bias"] != last["st(tau_f=2)"]["rel_bias_one"]


def test_training_is_that_of_vae(run):
    ours, theirs = run("vae-probe", "a", epochs=2), run("vae", "b", epochs=2)
    others = [line["values"] for line in metrics(ours) if line["kind"] != "probe"]
    assert others == [line["values"] for line in metrics(theirs)]
    assert checkpoint_tensors(ours / "checkpoint" / "last.pt") == checkpoint_tensors(
        theirs / "checkpoint" / "last.pt"
    )


def test_killed_and_resumed_is_undisturbed(run, start, gradthru, data):
    whole = run("vae-probe", "whole", epochs=4)
    out = gradthru.folder / "out"
    command = tiny_vae(data, epochs=4)
    command[1] = "vae-probe"
    command += ["--methods", "reinmax(1.3)", "--out", out]
    command += settings(probe__images=3, probe__samples=64)
    command += ["--set", f"probe.methods={json.dumps(PROBED)}"]
    process = start(*command)
    wait_until(
        lambda: (out / "metrics.jsonl").exists()
        and '"epoch":1.0' in (out / "metrics.jsonl").read_text(),
        process,
        "an epoch",
    )
    process.kill()
    process.communicate()
    assert_done(gradthru(*command, "--resume"))
    assert values_text(out) == values_text(whole)


@pytest.mark.parametrize(
    "assignment, fragment",
    [
        ("probe.methods=[]", "probe.methods: wanted at least one"),
        ('probe.methods=["st(exp(1,0.5,50%))"]', "a number, not a schedule"),
        ('probe.methods=["stt"]', "did you mean"),
        ("latent=8x16", "the exact gradient of 8x16 needs more than 16384 codes"),
        ("probe.images=0", "probe.images"),
    ],
)
def test_mistakes(gradthru, data, assignment, fragment):
    command = tiny_vae(data)
    command[1] = "vae-probe"
    result = gradthru(*command, "--methods", "st", "--out", "out", "--set", assignment)
    assert_refused(result, 2, fragment)
    assert not (gradthru.folder / "out").exists()
