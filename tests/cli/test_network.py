"""`gradthru fidelity --network`: estimators of a binary network's gradient, layer by layer."""

import copy
import json

import pytest

from tiny_data import MISTAKE, assert_done, assert_refused, gradthru

KNOWN = {
    "format": "gradthru-sbn",
    "version": 1,
    "coding": "pm1",
    "noise": "logistic",
    "layers": [
        {"W": [[0.8, -0.5], [0.3, 0.9], [-0.7, 0.4]], "b": [0.1, -0.2, 0.05]},
        {"W": [[0.6, -0.4, 0.5], [-0.3, 0.7, 0.2], [0.9, 0.1, -0.6]], "b": [0, 0.15, -0.1]},
        {"W": [[1, -0.8, 0.6]], "b": [0.2]},
    ],
    "data": {"x": [[1, 0.5], [-0.5, 1], [0.25, -1], [-1.5, -0.25]], "y": [1, -1, 1, -1]},
    "loss": "logistic",
}


@pytest.fixture
def measure(gradthru):
    """measure(network, "psa;st") → the JSON; measure.result is what the program said."""

    def run(network, *arguments):
        (gradthru.folder / "net.json").write_text(json.dumps(network))
        measured = gradthru("fidelity", "--network", "net.json", "--json", "out.json", *arguments)
        run.result = assert_done(measured)
        return json.loads((gradthru.folder / "out.json").read_text())

    return run


def test_known_network(measure):
    told = measure(KNOWN, "--methods", "st;psa;zgr")
    assert told["value"] == pytest.approx(0.8152459404514978, abs=1e-14)
    assert [result["method"] for result in told["results"]] == ["st", "psa", "zgr"]
    assert {result["how"] for result in told["results"]} == {"enumerated"}
    biases = [[layer["relative_bias"] for layer in r["layers"]] for r in told["results"]]
    assert biases[0] == pytest.approx([0.1191168160, 0.2438210803, 0], abs=1e-9)
    assert biases[1] == pytest.approx([0.0533711822, 0, 0], abs=1e-9)
    assert biases[2] == pytest.approx([0.0519295011, 0.0442076350, 0], abs=1e-9)
    norms = [layer["gradient_norm"] for layer in told["results"][0]["layers"]]
    assert norms == pytest.approx([0.1339250866, 0.1175745015, 0.2297923263], abs=1e-9)
    cosines = [layer["cosine"] for layer in told["results"][0]["layers"]]
    assert cosines == pytest.approx([0.9981134, 0.9706172, 1], abs=1e-7)


def test_table_has_a_line_per_layer(measure):
    measure(KNOWN)
    lines = measure.result.stdout.splitlines()
    assert lines[0].startswith("net.json, 2-3-3-1 on 4 points, expected loss 0.81524594")
    rows = [line.split() for line in lines[3:]]
    assert [row[:2] for row in rows] == [
        [method, layer]
        for method in ("psa", "st", "hard_st", "zgr", "darn", "reinforce")
        for layer in ("1", "2", "head")
    ]


def test_error_of_an_estimate_is_bias_and_variance(measure):
    for result in measure(KNOWN)["results"]:
        for layer in result["layers"]:
            expected = (
                layer["relative_bias"] ** 2 + layer["variance"] / layer["gradient_norm"] ** 2
            ) ** 0.5
            assert layer["relative_rmse"] == pytest.approx(expected, rel=1e-12)
            assert layer["variance"] > 0


@pytest.mark.parametrize(
    "change, fragment",
    [
        ({"noise": "gaussian"}, "net.json: noise"),
        ({"layers": [{"W": [[1, 2, 3]], "b": [0]}, {"W": [[1]], "b": [0]}]}, "must have 2 columns"),
        ({"data": {"x": [[1, 2]], "y": [0.5]}}, "data.y[0] must be -1 or 1, got 0.5"),
        ({"speed": 1}, "speed"),
    ],
)
def test_bad_networks(gradthru, change, fragment):
    (gradthru.folder / "net.json").write_text(json.dumps(copy.deepcopy(KNOWN) | change))
    assert_refused(gradthru("fidelity", "--network", "net.json"), MISTAKE, fragment)


@pytest.mark.parametrize(
    "arguments, fragment",
    [
        (["--network", "none.json"], "cannot read the file 'none.json'"),
        (["--network", "net.json", "--methods", "psi"], "unknown estimator 'psi'; did you mean 'psa'"),
        (["--network", "net.json", "--methods", ""], "--methods"),
        (["--network", "net.json", "--methods", "disarm"], "disarm has no form for networks"),
        (["--network", "net.json", "--samples", "10"], "samples must be >= 64, got 10"),
        (["--network", "net.json", "--seed", "1", "--draw-seed", "2"], "give one of them"),
        (["--network", "net.json", "--latent", "2x2"], "--latent does not go with --network"),
        (["--network", "net.json", "--problem", "linear"], "--problem does not go with --network"),
    ],
)
def test_mistakes(gradthru, arguments, fragment):
    (gradthru.folder / "net.json").write_text(json.dumps(KNOWN))
    assert_refused(gradthru("fidelity", *arguments), MISTAKE, fragment)


def test_other_methods_are_sampled(measure):
    told = measure(KNOWN, "--methods", "arm;concrete(0.5);ap1;psa", "--samples", "400")
    assert [result["how"] for result in told["results"]] == [
        "sampled", "sampled", "enumerated", "enumerated"
    ]
    for result in told["results"]:
        for layer in result["layers"]:
            curve = layer["by_samples"]
            assert layer["relative_rmse"] == curve[0]["relative_rmse"]
            assert [at["M"] for at in curve[:11]] == [*range(1, 11), 20]
            if result["method"] == "ap1":
                continue
            drawn = [at for at in curve if at["M"] <= 200]
            assert all(at["cosine_15"] <= at["cosine_85"] for at in drawn)
            if result["how"] == "sampled":
                assert curve == drawn
                low, high = curve[0]["relative_rmse_95"]
                assert low <= curve[0]["relative_rmse"] <= high
    assert "which is tanh((a + L) / 1) in -1 and 1" in measure.result.stdout
    # The same draws, and others.
    arguments = ("--methods", "arm", "--samples", "400")
    assert measure(KNOWN, *arguments)["results"][0] == told["results"][0]
    assert measure(KNOWN, *arguments, "--seed", "1")["results"][0] != told["results"][0]
