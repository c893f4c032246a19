"""Pictures that a run leaves in its folder, for people and for the report."""

import json
import struct
import zlib

from tiny_data import TEST, assert_done, blobs, data, gradthru, tiny_vae


def grey_levels(path):
    """Rows of grey levels of a PNG, whose every part must have the checksum that it states."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    parts, at = [], 8
    while at < len(content):
        length, name = struct.unpack(">I4s", content[at : at + 8])
        body = content[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack(">I", content[at + 8 + length : at + 12 + length])
        assert checksum == zlib.crc32(name + body)
        parts.append((name, body))
        at += 12 + length
    width, height, depth, colour, *_ = struct.unpack(">2I5B", parts[0][1])
    assert (depth, colour) == (8, 0)
    raw = zlib.decompress(b"".join(body for name, body in parts if name == b"IDAT"))
    rows, previous = [], bytes(width)
    for y in range(height):
        kind, *line = raw[y * (width + 1) : (y + 1) * (width + 1)]
        row = []
        for x, value in enumerate(line):
            left, up = row[x - 1] if x else 0, previous[x]
            corner = previous[x - 1] if x else 0
            guess = left + up - corner
            paeth = min((left, up, corner), key=lambda c: abs(guess - c))
            row.append((value + [0, left, up, (left + up) // 2, paeth][kind]) % 256)
        rows.append(row)
        previous = row
    return rows


def index(folder):
    return json.loads((folder / "figures" / "index.json").read_text())


def test_vae_shows_test_images_over_their_reconstructions(gradthru, data):
    assert_done(gradthru(*tiny_vae(data, epochs=2), "--methods", "st", "--out", "run"))
    folder = gradthru.folder / "run"
    assert [entry["file"] for entry in index(folder)] == ["reconstructions.png", "samples.png"]
    assert all(entry["epoch"] == 2 and entry["caption"] for entry in index(folder))
    rows = grey_levels(folder / "figures" / "reconstructions.png")
    shown = 12
    assert len(rows) == 2 * 28 + 1 and len(rows[0]) == shown * 29 - 1
    images = blobs(TEST, 28, seed=1)
    for i in (0, shown - 1):
        assert [row[29 * i : 29 * i + 28] for row in rows[:28]] == images[i].tolist()
    below = [row[:28] for row in rows[29:]]
    assert below != images[0].tolist() and max(map(max, below)) > 0
    assert len(grey_levels(folder / "figures" / "samples.png")) == 4 * 29 - 1


def test_a_run_that_is_resumed_shows_nothing_twice(gradthru, data):
    arguments = [*tiny_vae(data, epochs=2), "--methods", "st", "--out", "run"]
    assert_done(gradthru(*arguments))
    folder = gradthru.folder / "run"
    before = {path.name: path.read_bytes() for path in (folder / "figures").iterdir()}
    # Killed after its figures were written, before it said that it was done.
    (folder / "summary.json").unlink()
    (folder / "checkpoint" / "last.pt").unlink()
    (folder / "checkpoint" / "best.pt").unlink()
    assert_done(gradthru(*arguments, "--resume"))
    assert {path.name: path.read_bytes() for path in (folder / "figures").iterdir()} == before
