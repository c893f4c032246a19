"""Run folders with figures that a test chooses, and the report of them."""

import csv
import html
import json
import re
import struct
import subprocess
import zlib

import pytest

from pages import Document
from tiny_data import PROGRAM, assert_done, clean_environment, tiny_vae


def remake(template, folder, method, seed, values, *, preset=None, settings=None, status="complete"):
    """A run like the one in `template`, of another method and seed, whose metrics are
    `values`: {full name: [a value for each epoch]}."""
    folder.mkdir(parents=True)
    config = (template / "config.toml").read_text()
    config = re.sub(r"^methods = .*$", f"methods = {json.dumps([method])}", config, flags=re.M)
    config = re.sub(r"^seeds = .*$", f'seeds = "{seed}"', config, flags=re.M)
    for key, value in (settings or {}).items():
        config, found = re.subn(rf"^{key} = .*$", f"{key} = {value}", config, flags=re.M)
        assert found == 1, key
    (folder / "config.toml").write_text(config)
    epochs = len(next(iter(values.values())))
    lines = []
    for epoch in range(1, epochs + 1):
        for split in ("train", "test"):
            named = {
                name.removeprefix(f"{split}_"): held[epoch - 1]
                for name, held in values.items()
                if name.startswith(f"{split}_")
            }
            if named:
                lines.append({
                    "v": 1, "kind": "train" if split == "train" else "eval", "step": epoch * 10,
                    "epoch": float(epoch), "wall_s": 2.0 * epoch, "split": split, "n": 100,
                    "values": named,
                })
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    summary = json.loads((template / "summary.json").read_text())
    summary |= {
        "method": method, "seed": seed, "status": status, "steps": 10 * epochs,
        "wall_s": 2.0 * epochs, "preset": preset or summary["preset"],
        "final": {name: held[-1] for name, held in values.items()},
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def png(width, height, grey):
    """A PNG of one grey."""

    def part(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    raw = (b"\0" + bytes([grey]) * width) * height
    return (b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(raw))
            + part(b"IEND", b""))


@pytest.fixture(scope="module")
def template(tmp_path_factory, data):
    """A real run of vae, which made ones are like."""
    folder = tmp_path_factory.mktemp("template")
    arguments = [*tiny_vae(data), "--methods", "st(1.3)", "--out", "run"]
    subprocess.run([PROGRAM, *map(str, arguments)], cwd=folder, env=clean_environment(folder),
                   check=True, capture_output=True, timeout=120)
    return folder / "run"


# Test nELBO of five seeds after the last of twenty epochs: "near" is not to be told from the best.
LAST = {
    "reinmax(1.3)": [126.0, 126.4, 125.8, 126.2, 126.1],
    "gst(tau=0.7)": [126.1, 126.3, 126.2, 126.0, 126.4],
    "st(1.3)": [131.0, 131.5, 130.7, 131.3, 131.2],
}
EPOCHS = 20


def course(last):
    """A training that ends there."""
    test = [last + 60 / epoch**1.5 - 60 / EPOCHS**1.5 for epoch in range(1, EPOCHS + 1)]
    return {"test_nelbo": test, "train_nelbo": [value - 1.5 for value in test],
            "test_kl": [7.0] * EPOCHS, "test_recon": [value - 7.0 for value in test]}


def name_of(method, seed):
    return re.sub(r"[(),=]+", "-", f"{method}-s{seed}")


@pytest.fixture
def runs(gradthru, template):
    """Fifteen runs in `runs`."""
    for method, values in LAST.items():
        for seed, value in enumerate(values):
            remake(template, gradthru.folder / "runs" / name_of(method, seed), method, seed,
                   course(value))
    return gradthru.folder / "runs"


@pytest.fixture
def report(gradthru):
    """report(arguments): the page, after `gradthru report runs --out report`; of=folders: of others."""

    def run(*arguments, of=("runs",)):
        assert_done(gradthru("report", *of, "--out", "report", *arguments))
        document = Document((gradthru.folder / "report" / "report.html").read_text())
        document.path = gradthru.folder / "report" / "report.html"
        return document

    return run


def text_of(document):
    """What a reader sees, without marks."""
    source = re.sub(r"(?s)<(script|style)\b.*?</\1>", "", document.path.read_text())
    return html.unescape(re.sub(r"<[^>]*>", "", source))


def table_after(document, heading):
    """The cells of the first table whose first header is this, as rows of text."""
    source = document.path.read_text()
    for table in re.findall(r"(?s)<table>(.*?)</table>", source):
        lines = [
            [html.unescape(re.sub("<[^>]*>", "", cell)) for cell in re.findall(r"(?s)<t[hd].*?</t[hd]>", line)]
            for line in re.findall(r"(?s)<tr>(.*?)</tr>", table)
        ]
        if heading in lines[0]:
            return lines
    raise AssertionError(f"no table with {heading}")


def findings(document):
    return [html.unescape(text) for text in
            re.findall(r'<p class="finding">(.*?)</p>', document.path.read_text())]


def csv_rows(document, name):
    with open(document.path.parent / name, newline="") as file:
        return list(csv.DictReader(file))


def add_figures(folder, entries):
    (folder / "figures").mkdir()
    listed = []
    for file, content, caption in entries:
        (folder / "figures" / file).write_bytes(content)
        listed.append({"file": file, "caption": caption, "epoch": 3.0})
    (folder / "figures" / "index.json").write_text(json.dumps(listed))
