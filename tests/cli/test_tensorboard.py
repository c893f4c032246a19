"""`gradthru report --tensorboard`: event files that the real TensorBoard reads."""

import json
import math
import os

import pytest

from made_runs import name_of, runs, template
from tiny_data import MISTAKE, assert_done, assert_refused, data, gradthru

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def scalars(folder):
    """{tag: [(step, value, wall time)]} as TensorBoard sees the folder."""
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(e.step, e.value, e.wall_time) for e in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def written(gradthru, *arguments):
    assert_done(gradthru("report", "runs", "--tensorboard", "events", *arguments))
    return gradthru.folder / "events"


def test_every_number_of_every_run_is_there(gradthru, runs):
    events = written(gradthru)
    made = sorted(path.name for path in runs.iterdir())
    assert sorted(path.name for path in events.iterdir()) == made
    for name in made:
        found = scalars(events / name)
        lines = [json.loads(line) for line in (runs / name / "metrics.jsonl").read_text().splitlines()]
        expected = {}
        for line in lines:
            for key, value in line["values"].items():
                expected.setdefault(f"{line['split']}/{key}", []).append((line["step"], value))
        assert found.keys() == expected.keys()
        for tag, points in expected.items():
            assert [step for step, _, _ in found[tag]] == [step for step, _ in points]
            for (_, value, _), (_, wanted) in zip(found[tag], points, strict=True):
                assert math.isclose(value, wanted, rel_tol=1e-6)


def test_times_are_those_of_the_run(gradthru, runs):
    name = name_of("st(1.3)", 0)
    ended = 1_700_000_000
    os.utime(runs / name / "metrics.jsonl", (ended, ended))
    times = [time for _, _, time in scalars(written(gradthru) / name)["test/nelbo"]]
    assert times[-1] == pytest.approx(ended, abs=1e-3)
    assert times[-1] - times[0] == pytest.approx(38.0)  # two seconds an epoch


def test_large_steps_and_probes_have_their_place(gradthru, runs):
    folder = runs / name_of("st(1.3)", 0)
    line = {"v": 1, "kind": "probe", "step": 3_000_000_000, "epoch": 20.0, "wall_s": 40.0,
            "split": "train", "n": 20, "values": {"cos": -0.25, "layers": [1.5, 2.5], "bad": None},
            "nonfinite": ["bad"], "note": "gst(tau=0.7)"}
    with open(folder / "metrics.jsonl", "a") as file:
        file.write(json.dumps(line) + "\n")
    found = scalars(written(gradthru) / folder.name)
    assert [point[:2] for point in found["probe/gst(tau=0.7)/cos"]] == [(3_000_000_000, -0.25)]
    assert found["probe/gst(tau=0.7)/layers/2"][0][1] == 2.5
    assert "probe/gst(tau=0.7)/bad" not in found


def test_again_is_the_same_and_unfinished_runs_are_there(gradthru, runs):
    (runs / name_of("st(1.3)", 0) / "summary.json").unlink()
    (runs / name_of("st(1.3)", 1) / "metrics.jsonl").write_text("nonsense\n{}\n")
    first = {path: path.read_bytes() for path in written(gradthru).rglob("*tfevents*")}
    assert len(first) == 14
    result = gradthru("report", "runs", "--tensorboard", "events")
    assert result.returncode == 0 and name_of("st(1.3)", 1) in result.stderr
    assert {path: path.read_bytes() for path in (gradthru.folder / "events").rglob("*tfevents*")} == first


def test_no_runs_are_a_mistake(gradthru):
    (gradthru.folder / "runs").mkdir()
    assert_refused(gradthru("report", "runs", "--tensorboard", "events"), MISTAKE, "no run in 'runs'")
