"""`gradthru fidelity` as a user runs it: known answers, files, and what it refuses."""

import copy
import json
import math

import pytest

from tiny_data import MISTAKE, assert_done, assert_refused, data, gradthru, tiny_vae

QUADRATIC = {
    "format": "gradthru-problem",
    "version": 1,
    "logits": [[0.5, -1.0, 0.2], [0.0, 0.3, -0.4]],
    "f": {
        "kind": "quadratic",
        "A": [[1, 0, 0, 2, 0, 0], [0, 2, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0],
              [2, 0, 0, 1, 0, 0], [0, 0, 1, 0, 3, 0], [0, 0, 0, 0, 0, 1]],
        "b": [1, 0, -1, 0.5, 0, 2],
    },
}


def with_f(**f):
    return {**QUADRATIC, "f": f}


def measured(gradthru, tmp_path, problem, methods, *more):
    file = tmp_path / "problem.json"
    file.write_text(json.dumps(problem))
    out = tmp_path / "out.json"
    assert_done(gradthru("fidelity", "--problem", file, "--methods", methods, "--json", out, *more))
    return json.loads(out.read_text())["results"]


def softmax(row):
    weights = [math.exp(value) for value in row]
    return [weight / sum(weights) for weight in weights]


def test_reinmax_is_exact_for_a_quadratic_and_st_is_not(gradthru, tmp_path):
    exact, reinmax, st = measured(gradthru, tmp_path, QUADRATIC, "exact;reinmax;st")
    assert [r["method"] for r in (exact, reinmax, st)] == ["exact", "reinmax", "st"]
    assert all(r["how"] == "enumerated" and r["tau_f"] == 1 for r in (exact, reinmax, st))
    assert exact["relative_bias"] == 0 and exact["variance"] == 0
    assert reinmax["relative_bias"] <= 1e-12
    assert reinmax["cosine"] == pytest.approx(1, abs=1e-12)
    assert st["relative_bias"] > 0.01
    assert reinmax["variance"] > 0 and reinmax["relative_std"] > 0
    assert st["exact_gradient"] == exact["exact_gradient"]


def test_linear_gradient_is_that_of_the_formula(gradthru, tmp_path):
    b = [1, -2, 0.5, 3, 0, -1]
    (st,) = measured(gradthru, tmp_path, with_f(kind="linear", b=b, c=7), "st")
    for l, row in enumerate(QUADRATIC["logits"]):
        pi, slope = softmax(row), b[3 * l : 3 * l + 3]
        mean = sum(p * s for p, s in zip(pi, slope))
        expected = [p * (s - mean) for p, s in zip(pi, slope)]
        assert st["exact_gradient"][l] == pytest.approx(expected, abs=1e-12)
        assert st["expected_estimate"][l] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "f",
    [
        {"kind": "polynomial", "p": 1.5, "target": [0.45, 0.2, 0.9, 0.1, 0.5, 0.3]},
        {"kind": "table", "values": [0, 1, 4, 9, 2, 5, 1, 0, 3]},
        {"kind": "mlp", "W1": [[1, 0, -1, 2, 0, 1], [0, 1, 1, -1, 0.5, 0]], "w2": [1, -2], "b2": 3},
    ],
    ids=lambda f: f["kind"],
)
def test_every_kind_of_function(gradthru, tmp_path, f):
    exact, reinforce, rloo = measured(gradthru, tmp_path, with_f(**f), "exact;reinforce;rloo(4)")
    assert reinforce["relative_bias"] <= 1e-12
    assert rloo["how"] == "sampled" and rloo["draws"] == 4096
    # Off by the noise of the mean only.
    length = math.hypot(*(x for row in exact["exact_gradient"] for x in row))
    assert rloo["relative_bias"] * length <= 5 * rloo["standard_error"]
    low, high = rloo["cosine_95"]
    assert low <= rloo["cosine"] <= high


def test_law_is_that_of_the_forward_temperature(gradthru, tmp_path):
    one, cold = measured(gradthru, tmp_path, QUADRATIC, "zgr;zgr(tau_f=0.5)")
    assert (one["tau_f"], cold["tau_f"]) == (1, 0.5)
    assert one["exact_gradient"] != cold["exact_gradient"]
    assert cold["relative_bias"] <= 1e-12


def test_same_seed_gives_the_same_figures(gradthru, tmp_path):
    specs = "gumbel_softmax;gumbel_rao(5)"
    first = measured(gradthru, tmp_path, QUADRATIC, specs, "--samples", 256)
    assert measured(gradthru, tmp_path, QUADRATIC, specs, "--samples", 256, "--threads", 1) == first
    assert measured(gradthru, tmp_path, QUADRATIC, specs, "--samples", 256, "--draw-seed", 1) != first
    assert [at["M"] for at in first[0]["by_samples"]] == [1, 4, 16, 64]


@pytest.mark.parametrize("name", ["linear", "quadratic", "cubic", "parity", "polynomial", "mlp"])
def test_built_in_problems_print_a_table(gradthru, name):
    result = assert_done(
        gradthru("fidelity", "--problem", name, "--latent", "2x3", "--methods", "st;disarm")
    )
    lines = result.stdout.splitlines()
    assert lines[0] == f"{name}, 3 variables of 2 categories"
    assert lines[2].split()[:3] == ["method", "tau_f", "how"]
    assert [line.split()[0] for line in lines[3:]] == ["st", "disarm"]


def test_polynomial_is_known_without_enumeration(gradthru, tmp_path):
    out = tmp_path / "out.json"
    assert_done(
        gradthru("fidelity", "--problem", "polynomial", "--latent", "2x128", "--p", "1.5",
                 "--methods", "rloo(4)", "--samples", 64, "--json", out)
    )
    assert len(json.loads(out.read_text())["results"][0]["exact_gradient"]) == 128


def test_sweep_measures_every_method_at_every_value(gradthru, tmp_path):
    results = measured(gradthru, tmp_path, QUADRATIC, "st;reinmax", "--sweep", "tau=0.5:2:4")
    taus = ["0.5", "", "1.5", "2"]
    expected = [f"{name}({tau})" if tau else name for name in ("st", "reinmax") for tau in taus]
    assert [r["method"] for r in results] == expected
    alone = measured(gradthru, tmp_path, QUADRATIC, "st(1.5)")
    assert alone[0] == results[2]
    # Second order only at the temperature of the law.
    assert results[5]["relative_bias"] <= 1e-12 < results[4]["relative_bias"]


def test_sweep_over_two_keys_is_a_grid(gradthru, tmp_path):
    results = measured(
        gradthru, tmp_path, QUADRATIC, "gumbel_softmax", "--samples", 64,
        "--sweep", "tau_f=0.5,1;tau_b=0.3,0.6,0.9",
    )
    assert [(r["tau_f"]) for r in results] == [0.5] * 3 + [1] * 3
    assert len({r["method"] for r in results}) == 6


def test_probe_of_a_run(gradthru, data, tmp_path):
    run, out = tmp_path / "run", tmp_path / "out.json"
    assert_done(gradthru(*tiny_vae(data), "--methods", "st(1.3)", "--out", run))
    assert_done(
        gradthru("fidelity", "--run", run, "--images", 3, "--methods", "exact;indecater;st;reinmax",
                 "--json", out)
    )
    exact, indecater, st, reinmax = json.loads(out.read_text())["results"]
    assert len(exact["exact_gradient"]) == 3
    assert exact["relative_bias"] == 0
    assert indecater["relative_bias"] <= 1e-10
    assert st["relative_bias"] > 1e-6 and reinmax["relative_bias"] > 1e-6
    assert_refused(gradthru("fidelity", "--run", run, "--images", 0), MISTAKE, "--images must be in")


def changed(path, value):
    problem = copy.deepcopy(QUADRATIC)
    place = problem
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(problem)


BAD_FILES = {
    "no JSON": ("{", "not JSON: parse error"),
    "NaN": (changed(["logits", 0, 0], 0).replace("[[0,", "[[NaN,"), "not JSON"),
    "another format": (changed(["format"], "x"), "format"),
    "another version": (changed(["version"], 2), "version"),
    "an unknown key": (changed(["extra"], 1), "extra"),
    "an unknown kind": (changed(["f"], {"kind": "cubic"}), "f/kind"),
    "no kind": (changed(["f"], {}), "kind"),
    "no logits": (json.dumps({k: v for k, v in QUADRATIC.items() if k != "logits"}), "logits"),
    "text for a number": (changed(["logits", 1, 2], "x"), "logits/1/2"),
    "rows of unequal length": (changed(["logits", 1], [1, 2]), "logits[1] must have 3 numbers, got 2"),
    "a matrix that is too small": (changed(["f", "A"], [[1, 2], [3, 4]]), "f.A must be 6x6, got 2x2"),
    "a vector that is too long": (changed(["f", "b"], [0] * 7), "f.b must have 6 numbers, got 7"),
    "an unknown key of f": (changed(["f", "d"], 1), "d"),
    "a table of another size": (
        json.dumps(with_f(kind="table", values=[1, 2, 3])), "f.values must have K^L = 9 numbers, got 3"),
    "a power below one": (
        json.dumps(with_f(kind="polynomial", p=0.5, target=[0] * 6)), "f/p"),
    "an mlp that does not chain": (
        json.dumps(with_f(kind="mlp", W1=[[0] * 6], w2=[1, 2])), "f.w2 must have 1 numbers, got 2"),
    "too many states": (
        json.dumps({**with_f(kind="linear", b=[0] * 42), "logits": [[0, 0]] * 21}),
        "21 variables of 2 categories have 2.09715e+06 states; at most 1048576"),
}


@pytest.mark.parametrize("text, message", BAD_FILES.values(), ids=BAD_FILES.keys())
def test_bad_file_is_told_in_one_line(gradthru, tmp_path, text, message):
    file = tmp_path / "problem.json"
    file.write_text(text)
    result = gradthru("fidelity", "--problem", file, "--methods", "st")
    assert_refused(result, MISTAKE, message, str(file))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--problem", "quadratik"], "did you mean 'quadratic'?"),
        (["--problem", "no/such.json"], "unknown problem 'no/such.json'"),
        (["--problem", "linear", "--latent", "3"], "latent"),
        (["--problem", "linear", "--latent", "3x0"], "latent"),
        (["--problem", "linear", "--latent", "2x30"], "states; at most 1048576 are enumerated"),
        (["--problem", "linear", "--methods", "st(exp(1,0.1))"], "not a schedule"),
        (["--problem", "linear", "--methods", "arm"], "2 categories, got 4"),
        (["--problem", "linear", "--methods", "rloo", "--samples", "10"], "draws must be >= 64"),
        (["--problem", "polynomial", "--p", "0.5"], "p must be"),
        ([], "give --problem, --run or --network"),
        (["--problem", "linear", "--run", "x"], "give --problem, --run or --network"),
        (["--run", "no/such"], "cannot read 'no/such/config.toml'"),
        (["--problem", "linear", "--sweep", "tau"], "--sweep must be <key>=<from>:<to>:<count>"),
        (["--problem", "linear", "--sweep", "tau=1:2"], "got 'tau=1:2'"),
        (["--problem", "linear", "--sweep", "tau=1:2:1"], "got 'tau=1:2:1'"),
        (["--problem", "linear", "--sweep", "tau=1:2:x"], "got 'tau=1:2:x'"),
        (["--problem", "linear", "--sweep", "tau=1,"], "got 'tau=1,'"),
        (["--problem", "linear", "--sweep", "tua=1"], "did you mean 'tau'?"),
        (["--problem", "linear", "--methods", "st(tau_b=2)", "--sweep", "tau_b=1,2"], "excludes tau_b"),
    ],
)
def test_bad_request_is_refused(gradthru, arguments, message):
    assert_refused(gradthru("fidelity", *arguments), MISTAKE, message)


def test_table_has_no_gradient(gradthru, tmp_path):
    file = tmp_path / "problem.json"
    file.write_text(json.dumps(with_f(kind="table", values=list(range(9)))))
    assert_refused(gradthru("fidelity", "--problem", file, "--methods", "st"), MISTAKE, "needs the gradient of f")


def test_size_of_a_file_is_the_file_s(gradthru, tmp_path):
    file = tmp_path / "problem.json"
    file.write_text(json.dumps(QUADRATIC))
    assert_refused(gradthru("fidelity", "--problem", file, "--latent", "3x2"), MISTAKE, "with the file")


def test_gradient_gap_is_drawn_where_there_is_one(gradthru):
    told = gradthru.folder / "told.json"
    result = assert_done(
        gradthru("fidelity", "--problem", "quadratic", "--methods", "st;reinmax;gumbel_softmax",
                 "--samples", 256, "--gradient-gap", "--json", told)
    )
    st, reinmax, gumbel = json.loads(told.read_text())["results"]
    assert "gradient_gap" not in reinmax
    for one in (st, gumbel):
        low, high = one["gradient_gap_95"]
        assert 0 < low < one["gradient_gap"] < high
    header, *rows = [line for line in result.stdout.splitlines() if "  " in line]
    assert header.endswith("gradient gap")
    assert rows[1].split()[-1] == "-" and f"{st['gradient_gap']:.4g}" in rows[0]
