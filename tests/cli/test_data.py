"""`gradthru data`, run as a user runs it, against a server that behaves well or badly."""

import os
import pathlib
import pty
import shutil
import signal
import subprocess
import time

import pytest

from http_fixture import DataServer, real_data_folder

PROGRAM = os.environ["GRADTHRU_PROGRAM"]
SIZES = {
    "mnist/train-images-idx3-ubyte.gz": 9912422,
    "mnist/train-labels-idx1-ubyte.gz": 28881,
    "mnist/t10k-images-idx3-ubyte.gz": 1648877,
    "mnist/t10k-labels-idx1-ubyte.gz": 4542,
}
FIRST = next(iter(SIZES))
REAL = real_data_folder()
needs_mnist = pytest.mark.skipif(REAL is None, reason="GRADTHRU_DATA_DIR with MNIST is not set")


@pytest.fixture
def server():
    with DataServer(SIZES, REAL) as running:
        yield running


@pytest.fixture
def environment(tmp_path):
    """The user's, without what would lead to other data or around the server."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GRADTHRU_")}
    return kept | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "no_proxy": "*", "NO_PROXY": "*"}


@pytest.fixture
def gradthru(environment):
    def run(*arguments, **variables):
        return subprocess.run(
            [PROGRAM, "data", *arguments],
            env=environment | variables,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def mirrors(server, *manners):
    return {"GRADTHRU_DATA_MIRROR": " ".join(server.base(manner) for manner in manners)}


def files_below(folder):
    folder = pathlib.Path(folder)
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def assert_is_mnist(folder):
    for name in SIZES:
        assert (folder / name).read_bytes() == (pathlib.Path(REAL) / name).read_bytes()
    assert [name for name in files_below(folder) if name.endswith(".part")] == []


def assert_failed(result, code, *fragments):
    """One line on stderr that holds the fragments, and the exit code."""
    assert result.returncode == code, result.stderr
    assert result.stderr.startswith("gradthru: data")
    assert result.stderr.count("\n") == 1
    for fragment in fragments:
        assert fragment in result.stderr


# --- fetch: what goes wrong needs no real data, for no checksum can be right ---------------------


@pytest.mark.parametrize(
    "manner, said",
    [
        ("missing", "HTTP 404"),
        ("halved", "wanted 9912422 bytes, got 4956211"),
        ("longer", "wanted 9912422 bytes, got more"),
        ("zeros", "wanted SHA-256 440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
    ],
)
def test_wrong_content_is_named_and_leaves_nothing(gradthru, server, tmp_path, manner, said):
    result = gradthru("fetch", "mnist", "--dir", str(tmp_path / "d"), **mirrors(server, manner))
    assert_failed(result, 1, FIRST, server.base(manner), said)
    assert files_below(tmp_path / "d") == []


def test_broken_connection_keeps_the_part(gradthru, server, tmp_path):
    result = gradthru("fetch", "mnist", "--dir", str(tmp_path / "d"), **mirrors(server, "cut"))
    assert_failed(result, 1, FIRST, "4956211")
    assert files_below(tmp_path / "d") == [FIRST + ".part"]
    assert (tmp_path / "d" / (FIRST + ".part")).stat().st_size == SIZES[FIRST] // 2


def test_stalled_transfer_is_given_up(gradthru, server, tmp_path):
    start = time.monotonic()
    result = gradthru(
        "fetch", "mnist", "--dir", str(tmp_path), "--stall", "1", **mirrors(server, "stalled")
    )
    assert_failed(result, 1, "stalled: 0 bytes in 1 s")
    assert time.monotonic() - start < 15


def test_every_mirror_is_heard_in_order(gradthru, server, tmp_path):
    refused = {"GRADTHRU_DATA_MIRROR": f"http://127.0.0.1:1 {server.base('missing')} file:///etc"}
    result = gradthru("fetch", "mnist", "--dir", str(tmp_path), **refused)
    assert_failed(result, 1, "http://127.0.0.1:1/mnist/", "HTTP 404", 'Protocol "file"')
    places = [result.stderr.index(s) for s in ("127.0.0.1:1/", "HTTP 404", "file:///etc/mnist/")]
    assert places == sorted(places)
    assert "trying the next mirror" in result.stdout


def test_unwritable_folder_is_a_failure(gradthru, server, tmp_path):
    (tmp_path / "d").write_text("a file where the folder should be")
    result = gradthru("fetch", "mnist", "--dir", str(tmp_path / "d"), **mirrors(server, "zeros"))
    assert_failed(result, 1, str(tmp_path / "d"))
    assert server.requests == []


def test_full_disc_is_told_and_no_mirror_blamed(environment, server, tmp_path):
    command = 'ulimit -f 100; trap "" XFSZ; exec "$0" data fetch mnist --dir "$1"'
    result = subprocess.run(
        ["bash", "-c", command, PROGRAM, str(tmp_path)],
        env=environment | mirrors(server, "zeros", "norange"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert_failed(result, 1, FIRST + ".part cannot be written")
    assert len(server.requests) == 1


def test_a_second_download_of_the_same_file_is_refused(gradthru, environment, server, tmp_path):
    arguments = ["fetch", "mnist", "--dir", str(tmp_path)]
    part = tmp_path / (FIRST + ".part")
    with subprocess.Popen(
        [PROGRAM, "data", *arguments],
        env=environment | mirrors(server, "stalled"),
        stdout=subprocess.DEVNULL,
    ) as first:
        wait_for_size(part, SIZES[FIRST] // 2)
        result = gradthru(*arguments, **mirrors(server, "zeros"))
        first.kill()
    assert_failed(result, 1, "is being written by another download")
    assert part.stat().st_size == SIZES[FIRST] // 2


@pytest.mark.parametrize("command", ["fetch", "verify"])
def test_unknown_set_names_the_nearest(gradthru, tmp_path, command):
    result = gradthru(command, "fashion-mnist", "minst", "--dir", str(tmp_path))
    assert_failed(result, 2, "unknown data set 'minst'", "did you mean 'mnist'?")
    assert files_below(tmp_path) == []


def test_digits_are_not_fetched(gradthru, tmp_path):
    assert_failed(gradthru("fetch", "digits"), 2, "digits", "scikit-learn")


# --- fetch: what goes right ----------------------------------------------------------------------


@needs_mnist
def test_fetches_to_the_cache_once(gradthru, server, tmp_path):
    result = gradthru("fetch", "mnist", **mirrors(server, "good"))
    assert result.returncode == 0, result.stderr
    assert_is_mnist(tmp_path / "cache" / "gradthru")
    assert "\r" not in result.stdout
    assert len(server.requests) == 4

    again = gradthru("fetch", "mnist", **mirrors(server, "good"))
    assert again.returncode == 0
    assert again.stdout.count("already there") == 4
    assert len(server.requests) == 4
    assert gradthru("verify", "mnist").stdout.count(": ok\n") == 4
    assert str(tmp_path / "cache" / "gradthru" / "mnist") in gradthru("list").stdout


@needs_mnist
def test_wrong_file_is_replaced_only_by_a_right_one(gradthru, server, tmp_path):
    wrong = tmp_path / FIRST
    wrong.parent.mkdir()
    wrong.write_bytes(b"mine")
    failed = gradthru("fetch", "mnist", "--dir", str(tmp_path), **mirrors(server, "zeros"))
    assert failed.returncode == 1
    assert wrong.read_bytes() == b"mine"
    result = gradthru("fetch", "mnist", "--dir", str(tmp_path), **mirrors(server, "redirect"))
    assert result.returncode == 0, result.stderr
    assert_is_mnist(tmp_path)


@needs_mnist
@pytest.mark.parametrize("bad", ["missing", "halved", "zeros", "longer", "cut", "stalled"])
def test_falls_over_to_a_good_mirror(gradthru, server, tmp_path, bad):
    result = gradthru(
        "fetch", "mnist", "--dir", str(tmp_path), "--stall", "5", **mirrors(server, bad, "good")
    )
    assert result.returncode == 0, result.stderr
    assert_is_mnist(tmp_path)
    assert "trying the next mirror" in result.stdout
    # Once a mirror has worked, the files that follow do not wait for the dead one again.
    assert [manner for manner, *_ in server.requests] == [bad] + 4 * ["good"]
    resumed = f"bytes={SIZES[FIRST] // 2}-" if bad in ("cut", "stalled") else None
    assert server.requests[1] == ("good", FIRST, resumed)


def wait_for_size(path, size):
    deadline = time.monotonic() + 30
    while not path.exists() or path.stat().st_size < size:
        assert time.monotonic() < deadline, "the download did not begin"
        time.sleep(0.02)


@needs_mnist
@pytest.mark.parametrize("manner", ["good", "norange"])
def test_resumes_after_a_kill(environment, gradthru, server, tmp_path, manner):
    part = tmp_path / (FIRST + ".part")
    half = SIZES[FIRST] // 2
    with subprocess.Popen(
        [PROGRAM, "data", "fetch", "mnist", "--dir", str(tmp_path)],
        env=environment | mirrors(server, "stalled"),
        stdout=subprocess.DEVNULL,
    ) as killed:
        wait_for_size(part, half)
        killed.send_signal(signal.SIGKILL)
    result = gradthru("fetch", "mnist", "--dir", str(tmp_path), **mirrors(server, manner))
    assert result.returncode == 0, result.stderr
    assert_is_mnist(tmp_path)
    assert server.requests[1] == (manner, FIRST, f"bytes={half}-")


@needs_mnist
@pytest.mark.parametrize("size", [1000, SIZES[FIRST], SIZES[FIRST] + 1])
def test_a_part_with_wrong_bytes_does_no_harm(gradthru, server, tmp_path, size):
    part = tmp_path / (FIRST + ".part")
    part.parent.mkdir()
    part.write_bytes(bytes(size))
    result = gradthru("fetch", "mnist", "--dir", str(tmp_path), **mirrors(server, "good"))
    assert result.returncode == 0, result.stderr
    assert_is_mnist(tmp_path)


@needs_mnist
def test_a_whole_part_needs_no_server(gradthru, server, tmp_path):
    shutil.copytree(pathlib.Path(REAL) / "mnist", tmp_path / "mnist")
    os.rename(tmp_path / FIRST, tmp_path / (FIRST + ".part"))
    result = gradthru("fetch", "mnist", "--dir", str(tmp_path), **mirrors(server, "missing"))
    assert result.returncode == 0, result.stderr
    assert_is_mnist(tmp_path)
    assert server.requests == []


@needs_mnist
def test_tells_that_runs_will_look_elsewhere(gradthru, server, tmp_path):
    variables = mirrors(server, "good") | {"GRADTHRU_DATA_DIR": str(tmp_path / "elsewhere")}
    result = gradthru("fetch", "mnist", **variables)
    assert result.returncode == 0, result.stderr
    assert_is_mnist(tmp_path / "cache" / "gradthru")
    assert str(tmp_path / "elsewhere" / "mnist") in result.stdout


def test_terminal_gets_one_line_that_is_redrawn(environment, server, tmp_path):
    try:
        reader, terminal = pty.openpty()
    except OSError as error:
        pytest.skip(f"this machine has no terminals: {error}")
    with subprocess.Popen(
        [PROGRAM, "data", "fetch", "mnist", "--dir", str(tmp_path), "--stall", "1"],
        env=environment | mirrors(server, "stalled"),
        stdout=terminal,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(terminal)
        shown = b""
        while True:
            try:
                shown += os.read(reader, 4096)
            except OSError:  # the terminal's other end is closed
                break
        assert process.wait(timeout=30) == 1
    os.close(reader)
    assert b"\r\x1b[K  train-images-idx3-ubyte.gz" in shown
    assert b"% " in shown and b"of 9.9 MB" in shown


# --- verify, list, help --------------------------------------------------------------------------


def test_verify_tells_missing_and_wrong(gradthru, tmp_path):
    wrong = tmp_path / FIRST
    wrong.parent.mkdir()
    wrong.write_bytes(bytes(SIZES[FIRST]))
    result = gradthru("verify", "mnist", "--dir", str(tmp_path))
    assert_failed(result, 2, "4 of 4 files missing or wrong")
    lines = result.stdout.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith(f"{FIRST}: wrong: ") and "wanted SHA-256 440fcabf" in lines[0]
    assert all(": missing: " in line for line in lines[1:])
    assert f"gradthru data fetch mnist --dir {tmp_path}" in lines[1]


def test_verify_of_nothing_is_no_success(gradthru, tmp_path):
    assert_failed(gradthru("verify"), 2, "no data set is here")
    assert_failed(gradthru("verify", GRADTHRU_DATA_DIR=str(tmp_path)), 2, "no data set is here")


@needs_mnist
def test_files_are_read_and_not_remembered(gradthru, server, tmp_path):
    shutil.copytree(pathlib.Path(REAL) / "mnist", tmp_path / "mnist")
    first = tmp_path / FIRST
    first.chmod(0o644)
    os.utime(first, (1e9, 1e9))
    assert gradthru("verify", "--dir", str(tmp_path)).returncode == 0
    right = first.read_bytes()
    first.write_bytes(right[:-1] + b"?")
    os.utime(first, (1e9, 1e9))
    result = gradthru("verify", "--dir", str(tmp_path))
    assert_failed(result, 2, "1 of 4 files missing or wrong")
    assert result.stdout.count(": ok\n") == 3
    first.write_bytes(right)
    os.utime(first, (1e9, 1e9))
    result = gradthru("fetch", "mnist", "--dir", str(tmp_path), **mirrors(server, "missing"))
    assert result.stdout.count("already there") == 4


def test_list_tells_licence_size_and_how_to_get(gradthru):
    result = gradthru("list")
    assert result.returncode == 0
    rows = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert "CC BY-SA 3.0" in rows["mnist"] and "11.6 MB" in rows["mnist"]
    assert "not here: run 'gradthru data fetch mnist'" in rows["mnist"]
    assert "MIT" in rows["fashion-mnist"]
    assert "GRADTHRU_DIGITS" in rows["digits"]


def test_list_does_not_call_half_a_set_complete(gradthru, tmp_path):
    (tmp_path / FIRST).parent.mkdir()
    (tmp_path / FIRST).touch()
    result = gradthru("list", "--dir", str(tmp_path))
    assert f"{tmp_path}/mnist, only 1 of 4 files" in result.stdout


@pytest.mark.parametrize("command", ["list", "verify", "fetch"])
def test_help_has_an_example(gradthru, command):
    result = gradthru(command, "--help")
    assert result.returncode == 0
    assert f"Example: gradthru data {command}" in result.stdout


@pytest.mark.parametrize(
    "arguments", [["fetch"], ["fetch", "mnist", "--stall", "0"], ["list", "--bogus"]]
)
def test_bad_usage_is_the_users_mistake(gradthru, arguments):
    assert gradthru(*arguments).returncode == 2


def test_unknown_command_names_the_nearest(gradthru):
    assert_failed(gradthru("lst"), 2, "wanted list, verify or fetch, got 'lst'", "'list'?")
    assert_failed(gradthru(), 2, "wanted list, verify or fetch, got nothing")
