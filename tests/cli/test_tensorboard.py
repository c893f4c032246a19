"""`gradthru report --tensorboard`: event files that the real TensorBoard reads."""

import json
import math
import os
import shutil

import pytest

from made_runs import name_of, runs, template
from tiny_data import (
    MISTAKE, assert_done, assert_refused, data, gradthru, metrics, start, tiny_vae, wait_until,
)

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def scalars(folder):
    """{tag: [(step, value, wall time)]} as TensorBoard sees the folder."""
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(e.step, e.value, e.wall_time) for e in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def expected_scalars(lines):
    """{tag: [(step, value)]} of lines of metrics.jsonl."""
    expected = {}
    for line in lines:
        for key, value in line["values"].items():
            expected.setdefault(f"{line['split']}/{key}", []).append((line["step"], value))
    return expected


def assert_same_scalars(found, lines):
    expected = expected_scalars(lines)
    assert found.keys() == expected.keys()
    for tag, points in expected.items():
        assert [step for step, _, _ in found[tag]] == [step for step, _ in points]
        for (_, value, _), (_, wanted) in zip(found[tag], points, strict=True):
            assert math.isclose(value, wanted, rel_tol=1e-6)


def written(gradthru, *arguments):
    assert_done(gradthru("report", "runs", "--tensorboard", "events", *arguments))
    return gradthru.folder / "events"


def test_every_number_of_every_run_is_there(gradthru, runs):
    events = written(gradthru)
    made = sorted(path.name for path in runs.iterdir())
    assert sorted(path.name for path in events.iterdir()) == made
    for name in made:
        assert_same_scalars(scalars(events / name), metrics(runs / name))


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


def test_a_run_writes_its_own_events_also_when_it_is_gone_on_with(data, gradthru, start):
    folder = gradthru.folder / "run"
    command = [*tiny_vae(data, epochs=40, batch_size=10), "--methods", "st", "--out", folder, "--tensorboard"]
    process = start(*command, "--set", "run.checkpoint_seconds=0")
    lines = folder / "metrics.jsonl"
    wait_until(lambda: lines.exists() and lines.read_bytes().count(b"\n") >= 4, process, "two epochs")
    process.kill()
    process.communicate()
    kept = scalars(folder)["test/nelbo"]
    assert len(kept) >= 1
    assert_done(gradthru(*command, "--resume"))
    assert_same_scalars(scalars(folder), metrics(folder))
    times = [time for _, _, time in scalars(folder)["test/nelbo"]]
    assert times == sorted(times) and abs(times[-1] - lines.stat().st_mtime) < 60
    assert len(list(folder.glob("*tfevents*"))) == 1


def test_without_the_flag_there_is_no_event_file(data, gradthru):
    assert_done(gradthru(*tiny_vae(data), "--methods", "st", "--out", "run"))
    assert not list((gradthru.folder / "run").glob("*tfevents*"))


def test_runs_of_the_same_name_have_a_place_each(gradthru, runs):
    name = name_of("st(1.3)", 0)
    for top in ("a", "b"):
        shutil.copytree(runs / name, gradthru.folder / top / "same")
    assert_done(gradthru("report", "a/same", "b/same", "--tensorboard", "events"))
    assert sorted(p.name for p in (gradthru.folder / "events").iterdir()) == ["same", "same-2"]


def test_no_runs_are_a_mistake(gradthru):
    (gradthru.folder / "runs").mkdir()
    assert_refused(gradthru("report", "runs", "--tensorboard", "events"), MISTAKE, "no run in 'runs'")
