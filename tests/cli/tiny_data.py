"""Data sets small enough to train on in a blink, and how the tests run the program."""

import gzip
import json
import os
import pathlib
import signal
import struct
import subprocess
import time
import zipfile

import numpy as np
import pytest

PROGRAM = os.environ["GRADTHRU_PROGRAM"]
TRAIN, TEST = 600, 200
RUN_FILES = [
    "checkpoint/best.pt",
    "checkpoint/last.pt",
    "config.toml",
    "log.txt",
    "metrics.jsonl",
    "summary.json",
]


def run_files(*figures):
    """The files of a run that has these figures."""
    return sorted(RUN_FILES + [f"figures/{name}" for name in ("index.json", *figures)])


VAE_FILES = run_files("reconstructions.png", "samples.png")


# --- data ----------------------------------------------------------------------------------------


def blobs(count, side, seed):
    """[count, side, side] bytes: a soft dot in one of the four quarters of each image."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    down, right = generator.integers(0, 2, size=(2, count, 1, 1))
    row, column = (0.25 + 0.5 * down) * side, (0.25 + 0.5 * right) * side
    distance = ((rows - row) ** 2 + (columns - column) ** 2) / side**2
    return (255 * np.exp(-distance / 0.06)).astype(np.uint8)


def idx_bytes(magic, array):
    return struct.pack(f">{1 + array.ndim}I", magic, *array.shape) + array.tobytes()


def write_gzip(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, compresslevel=1))


def write_mnist(root, name="mnist", seed=0):
    """The four files of `name` below `root`, with 600 training and 200 test images."""
    folder = pathlib.Path(root) / name
    for i, (part, count) in enumerate([("train", TRAIN), ("t10k", TEST)]):
        images = blobs(count, 28, seed=2 * seed + i)
        labels = np.zeros(count, np.uint8)
        write_gzip(folder / f"{part}-images-idx3-ubyte.gz", idx_bytes(0x803, images))
        write_gzip(folder / f"{part}-labels-idx1-ubyte.gz", idx_bytes(0x801, labels))


def write_digits(root):
    """The table of 1,797 images of 8x8, grey from 0 to 16."""
    pixels = blobs(1797, 8, seed=5).reshape(1797, 64) // 16
    lines = [",".join(map(str, [*image, 0])) for image in pixels.tolist()]
    write_gzip(pathlib.Path(root) / "digits" / "digits.csv.gz", "\n".join(lines).encode() + b"\n")


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A root folder with a tiny `mnist`."""
    root = tmp_path_factory.mktemp("data")
    write_mnist(root)
    return root


# --- running -------------------------------------------------------------------------------------


def clean_environment(home):
    """The user's, without what would lead to other data, and with a cache of its own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GRADTHRU_")}
    return kept | {"XDG_CACHE_HOME": str(home / "cache"), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def gradthru(tmp_path):
    """Runs the program in an empty folder of its own: gradthru("run", "vae", …)."""
    folder = tmp_path / "work"
    folder.mkdir()

    def run(*arguments, timeout=60, **variables):
        return subprocess.run(
            [PROGRAM, *map(str, arguments)],
            env=clean_environment(tmp_path) | variables,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    run.folder = folder
    return run


@pytest.fixture
def start(tmp_path):
    """Like `gradthru`, but returns the running process; what is left of it is killed at the end."""
    processes = []

    def run(*arguments):
        process = subprocess.Popen(
            [PROGRAM, *map(str, arguments)],
            env=clean_environment(tmp_path),
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # ignored by nohup
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def settings(**keys):
    """--set arguments; `__` stands for the dot: settings(optimiser__lr=0.1)."""
    arguments = []
    for key, value in keys.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        arguments += ["--set", f"{key.replace('__', '.')}={text}"]
    return arguments


def tiny_vae(data, **keys):
    """Arguments of a run on the tiny MNIST that takes a fraction of a second; `keys` override."""
    small = {
        "data__dir": data,
        "data__verify": False,
        "latent": "4x2",
        "model__hidden": "[32, 16]",
        "batch_size": 50,
        "epochs": 2,
        "optimiser__lr": 0.003,
    }
    return ["run", "vae", "--threads", "1", *settings(**(small | keys))]


def wait_until(condition, process, what, timeout=30):
    """Polls until `condition()` holds; the process must not end before."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert process.poll() is None, f"ended before {what}: {process.communicate()}"
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        time.sleep(0.002)


# --- looking at what came out --------------------------------------------------------------------


def files_below(folder):
    folder = pathlib.Path(folder)
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def metrics(folder):
    lines = (pathlib.Path(folder) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def values_text(folder):
    """Per line of metrics.jsonl the place it belongs to and the bytes of `values`, as written."""
    result = []
    for line in (pathlib.Path(folder) / "metrics.jsonl").read_text().splitlines():
        place = {key: json.loads(line)[key] for key in ("kind", "step", "epoch", "split", "n")}
        start = line.index('"values":') + len('"values":')
        _, end = json.JSONDecoder().raw_decode(line, start)
        result.append((place, line[start:end]))
    assert result
    return result


def summary(folder):
    return json.loads((pathlib.Path(folder) / "summary.json").read_text())


def checkpoint_manifest(archive):
    """A checkpoint is a zip with a JSON manifest and a record of raw bytes per tensor."""
    top = archive.namelist()[0].split("/")[0]
    return top, json.loads(archive.read(f"{top}/manifest.json"))


def checkpoint_tensors(path):
    """The bytes of each tensor, by name."""
    with zipfile.ZipFile(path) as archive:
        top, manifest = checkpoint_manifest(archive)
        return {
            name: archive.read(f"{top}/{entry['record']}")
            for name, entry in manifest["tensors"].items()
        }


def checkpoint_step(path):
    """How many updates the checkpoint holds."""
    with zipfile.ZipFile(path) as archive:
        return checkpoint_manifest(archive)[1]["integers"]["session.step"]


def assert_done(result):
    assert result.returncode == 0, result.stderr
    return result


def assert_refused(result, code, *fragments):
    """One line on stderr that begins with the program's name and holds the fragments."""
    assert result.returncode == code, (result.returncode, result.stdout, result.stderr)
    assert result.stderr.startswith("gradthru: "), result.stderr
    assert result.stderr.count("\n") == 1 and result.stderr.endswith("\n"), result.stderr
    for fragment in fragments:
        assert fragment in result.stderr


# --- mistakes ------------------------------------------------------------------------------------

MISTAKE, FAILURE = 2, 1
TRAIN_IMAGES = "mnist/train-images-idx3-ubyte.gz"
TRAIN_LABELS = "mnist/train-labels-idx1-ubyte.gz"
TEST_IMAGES = "mnist/t10k-images-idx3-ubyte.gz"


def assert_nothing_left(folder):
    assert list(folder.rglob("*")) == []


@pytest.fixture
def refused(gradthru, data):
    """refused(arguments, fragments): exit 2, one line, and nothing was made."""

    def run(arguments, *fragments, **keys):
        result = gradthru(*tiny_vae(data, **keys), "--out", "out", *arguments)
        assert_refused(result, MISTAKE, *fragments)
        assert_nothing_left(gradthru.folder)

    return run
