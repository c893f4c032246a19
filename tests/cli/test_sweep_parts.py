"""Parts of `gradthru sweep`, in what is hard to bring about from outside: deaths at bad moments."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tiny_data import PROGRAM, assert_done, summary, wait_until

from made_studies import engine_environment, program_that, result, study, sweep

from gradthru_sweep.alive import GRACE_S, Presence, machine
from gradthru_sweep.coordinator import Coordinator
from gradthru_sweep.locks import OwnedLock
from gradthru_sweep.mistake import Mistake
from gradthru_sweep.store import Journal, Store, require_same
from gradthru_sweep.study_file import load
from gradthru_sweep.trial import Intermediate


def test_a_worker_of_another_machine_is_dead_when_it_is_silent(tmp_path):
    with Presence(tmp_path, "mine") as mine:
        other = tmp_path / "other"
        other.write_text('{"machine": "elsewhere", "pid": 1}')
        assert mine.is_alive("mine") and mine.is_alive("other")
        # Its clock may be wrong by hours: only the file system's times count.
        silent = time.time() - GRACE_S - 1
        os.utime(other, (silent, silent))
        assert not mine.is_alive("other") and not mine.is_alive("gone")
    # On this machine the lock tells at once.
    (tmp_path / "here").write_text((tmp_path / "other").read_text().replace("elsewhere", machine()))
    with Presence(tmp_path, "mine") as mine:
        assert not mine.is_alive("here")


def test_the_lock_of_a_dead_process_is_taken_away_at_once(tmp_path):
    code = (
        "import os, pathlib, sys; from gradthru_sweep.locks import OwnedLock; "
        "OwnedLock(pathlib.Path(sys.argv[1])).acquire(); os.kill(os.getpid(), 9)"
    )
    path = tmp_path / "study"
    died = subprocess.run(
        [sys.executable, "-c", code, path], env=engine_environment(tmp_path)
    )
    assert died.returncode == -signal.SIGKILL and path.with_name("study.lock").exists()
    begin = time.monotonic()
    mine = OwnedLock(path)
    mine.acquire()
    assert time.monotonic() - begin < 5
    # One that is alive keeps it.
    code = code.replace("OwnedLock(pathlib", "print('ready', flush=True); OwnedLock(pathlib")
    code = code.replace("os.kill(os.getpid(), 9)", "print('got it')")
    with subprocess.Popen(
        [sys.executable, "-c", code, path],
        env=engine_environment(tmp_path),
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(2)
        mine.release()
        assert other.stdout.readline() == "got it\n"
    mine.acquire()  # what the other one left
    mine.release()
    assert not path.with_name("study.lock").exists()


def test_a_line_cut_short_does_not_spoil_the_storage(tmp_path):
    path = tmp_path / "journal.log"
    journal = Journal(path)
    journal.append_logs([{"op": 1}])
    with open(path, "a") as file:
        file.write('{"op": 2, "cut')
    journal.append_logs([{"op": 3}])
    assert list(Journal(path).read_logs(0)) == [{"op": 1}, {"op": 3}]


def line(epoch, loss, wall_s):
    values = {"loss": loss}
    entry = {"kind": "train", "split": "train", "epoch": epoch, "wall_s": wall_s, "values": values}
    return json.dumps(entry) + "\n"


def test_values_are_read_on_after_a_resumed_run_took_lines_back(tmp_path):
    # As a killed run leaves it: with lines after its checkpoint.
    path, news = tmp_path / "metrics.jsonl", Intermediate("train_loss")
    path.write_text(line(1, 0.5, 1.25) + line(2, 0.25, 2.5) + line(3, 0.125, 3.75) + '{"kind')
    assert list(news.read(tmp_path)) == [(1, 0.5), (2, 0.25), (3, 0.125)]
    # The one that goes on puts a file in its place that ends at the checkpoint.
    other = tmp_path / "metrics.jsonl.tmp"
    other.write_text(line(1, 0.5, 1.25))
    other.replace(path)
    assert list(news.read(tmp_path)) == []
    with open(path, "a") as file:
        file.write(line(2, 0.25, 2.123456789) + line(3, 0.125, 3.123456789) + line(4, 0.0, 4.0)[:9])
    assert list(news.read(tmp_path)) == []  # told before
    with open(path, "a") as file:
        file.write(line(4, 0.0, 4.0)[9:])
    assert list(news.read(tmp_path)) == [(4, 0.0)]


def test_a_run_saves_when_its_worker_is_killed(tmp_path):
    # Python with several threads: the kernel tells a child of the death of each of them.
    code = """
import os, pathlib, sys, threading, time
from gradthru_sweep.trial import Child
for _ in range(4):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
child = Child(sys.argv[1:], dict(os.environ), pathlib.Path("log.txt"))
print(child.process.pid, flush=True)
child.wait(60)
"""
    run = [PROGRAM, "run", "poly", "--methods", "st", "--threads", "1", "--out", tmp_path / "out"]
    worker = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, run), "--set", "epochs=100000"],
        cwd=tmp_path,
        env=engine_environment(tmp_path),
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    child, out = int(worker.stdout.readline()), tmp_path / "out"
    try:
        metrics = out / "metrics.jsonl"
        wait_until(lambda: metrics.exists() and metrics.stat().st_size, worker, "it was at work")
        worker.kill()
        worker.communicate()
        deadline = time.monotonic() + 30
        while not (out / "summary.json").exists():
            assert time.monotonic() < deadline, (tmp_path / "log.txt").read_text()
            time.sleep(0.01)
        assert summary(out)["status"] == "interrupted"
    finally:
        worker.kill()
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def test_a_worker_that_died_before_it_signed_is_dead(tmp_path):
    with Presence(tmp_path, "mine") as mine:
        assert not mine.is_alive("")


def test_only_the_lock_of_the_dead_process_is_taken_away(tmp_path, monkeypatch):
    # Its owner lets go of it and ends, and another one takes it, between two looks.
    path = tmp_path / "study"
    mine = OwnedLock(path)
    mine.acquire()
    file = path.with_name("study.lock")
    owned = file.read_text()
    process = int(owned.split()[1])
    file.write_text(owned.replace(f" {process} ", " 999999999 "))  # nobody's

    def owner(number):
        file.write_text(owned)
        return ""

    monkeypatch.setattr("gradthru_sweep.locks._owner", owner)
    mine._take_away_if_left(file.stat().st_mtime, waited_s=0)
    assert file.exists()


def test_a_lock_is_old_only_elsewhere(tmp_path):
    # One of this machine is taken from the dead alone, however long a living process holds it.
    path = tmp_path / "study"
    mine = OwnedLock(path)
    mine.acquire()
    file = path.with_name("study.lock")
    seen = file.stat().st_mtime
    mine._take_away_if_left(seen, waited_s=3600)
    assert file.exists()
    file.write_text("elsewhere " + file.read_text().partition(" ")[2])
    mine._take_away_if_left(seen, waited_s=3600)  # another one than was waited for
    assert file.exists()
    mine._take_away_if_left(file.stat().st_mtime, waited_s=1)
    assert file.exists()
    mine._take_away_if_left(file.stat().st_mtime, waited_s=3600)
    assert not file.exists()


def test_a_folder_in_the_making_is_no_stranger(tmp_path):
    wanted = load(study(tmp_path), str(tmp_path / "out"), "study")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / ".study.toml.4711.tmp").write_text("experiment = ")
    require_same(wanted, folder)
    (folder / ".study.csv.4711.tmp").write_text("")
    with pytest.raises(Mistake, match=r"holds files, such as '.study.csv"):
        require_same(wanted, folder)


def test_a_run_that_begins_when_its_worker_dies_is_waited_for(tmp_path):
    # It takes its folder just when another worker's run wants it, once.
    folder = tmp_path / "out" / "trials" / "0000"
    program = program_that(
        tmp_path,
        f"""
  if mkdir {tmp_path}/once; then
    mkdir -p {folder}/checkpoint
    exec flock {folder} {PROGRAM} "$@"
  fi""",
    )
    path = study(
        tmp_path, head="workers = 1", fixed='method = "st"', space="p = [2.0]", epochs=1, steps=10
    )
    assert_done(sweep(tmp_path, program, path))
    (trial,) = result(tmp_path / "out")["trials"]
    assert (trial["state"], trial["attempts"]) == ("complete", 1)
    assert "is in use by another process" in (tmp_path / "out/logs/0000.txt").read_text()
    # The handlers of a coordinator are gone with it: between two of them Ctrl-C ends a comparison.
    before = signal.getsignal(signal.SIGINT)
    assert Coordinator(Store(tmp_path / "out"), str(program), 1).run() == 0
    assert signal.getsignal(signal.SIGINT) is before
