"""Data that is missing or wrong is told in one line, exit 2, and never trained on."""

import gzip
import shutil

import numpy as np
import pytest

from tiny_data import (
    MISTAKE,
    TEST,
    TEST_IMAGES,
    TRAIN,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    assert_done,
    assert_nothing_left,
    assert_refused,
    data,
    gradthru,
    idx_bytes,
    refused,
    tiny_vae,
    write_digits,
    write_gzip,
)


@pytest.fixture
def broken(data, tmp_path):
    """A copy of the data, to be damaged."""
    shutil.copytree(data, tmp_path / "broken")
    return tmp_path / "broken"


def test_missing_data_tells_where_it_was_looked_for(gradthru, tmp_path):
    result = gradthru("run", "vae")
    assert_refused(result, MISTAKE, "mnist", "is missing: looked in data.dir (not set)")
    places = ["data.dir", "GRADTHRU_DATA_DIR (not set)", f"cache (no file {tmp_path}/cache/"]
    assert sorted(places, key=result.stderr.index) == places
    assert "run 'gradthru data fetch mnist'" in result.stderr
    assert_nothing_left(gradthru.folder)


def test_named_folder_does_not_fall_through(gradthru, data, tmp_path):
    result = gradthru(*tiny_vae(tmp_path / "nowhere"), GRADTHRU_DATA_DIR=str(data))
    assert_refused(result, MISTAKE, f"data.dir (no file {tmp_path}/nowhere/mnist/")
    assert "GRADTHRU_DATA_DIR (not tried)" in result.stderr
    assert f"gradthru data fetch mnist --dir {tmp_path}/nowhere" in result.stderr


def test_variable_names_the_folder(gradthru, data):
    arguments = [*tiny_vae(""), "--methods", "st", "--out", "out"]
    assert_done(gradthru(*arguments, GRADTHRU_DATA_DIR=str(data)))


@pytest.mark.parametrize("name", [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES])
def test_missing_file_is_named(refused, broken, name):
    (broken / name).unlink()
    refused([], f"file {name.split('/')[1]} is missing", data__dir=broken)


def test_wrong_size_and_checksum_are_refused(refused, broken):
    file = broken / TRAIN_LABELS
    verified = {"data__dir": broken, "data__verify": True}
    refused([], f"{file}: wanted 28881 bytes, got {file.stat().st_size}", **verified)
    file.write_bytes(bytes(28881))
    refused([], f"{file}: wanted SHA-256 3552534a0a55", **verified)


def images_of(*shape, magic=0x803, missing=0, extra=0):
    content = idx_bytes(magic, np.zeros(shape, np.uint8))
    return content[: len(content) - missing] + bytes(extra)


@pytest.mark.parametrize(
    "name, content, message",
    [
        (TRAIN_IMAGES, images_of(TRAIN, 28, 28, magic=0x801), "wanted magic 0x803"),
        (TRAIN_IMAGES, images_of(TRAIN, 28, 28, missing=1), "bytes after the header"),
        (TRAIN_IMAGES, images_of(TRAIN, 28, 28, extra=1), "bytes after the header"),
        (TRAIN_IMAGES, images_of(TRAIN - 1, 28, 28), f"wanted {TRAIN} images of 28x28"),
        (TEST_IMAGES, images_of(TEST, 28, 27), f"wanted {TEST} images of 28x28"),
        (TEST_IMAGES, b"\x00\x00\x08", "wanted a header of 16 bytes"),
        (TEST_IMAGES, b"", "wanted a header"),
        (TRAIN_LABELS, idx_bytes(0x801, np.full(TRAIN, 10, np.uint8)), "record 0: wanted a label"),
        (TRAIN_LABELS, idx_bytes(0x803, np.zeros(TRAIN, np.uint8)), "wanted magic 0x801"),
        (TRAIN_LABELS, idx_bytes(0x801, np.zeros(0, np.uint8)), "wanted "),
    ],
    # Not the bytes: pytest puts the name into the environment, where there is no room for them.
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_file_is_told_even_when_not_verified(refused, broken, name, content, message):
    write_gzip(broken / name, content)
    refused([], str(broken / name), message, data__dir=broken)


@pytest.mark.parametrize("kept", [0, 1, 9, 500])
def test_truncated_file_is_refused(refused, broken, kept):
    file = broken / TRAIN_IMAGES
    file.write_bytes(file.read_bytes()[:kept])
    refused([], f"file {file}: ", data__dir=broken)


def test_file_that_is_no_gzip_or_no_file_is_refused(refused, broken):
    file = broken / TRAIN_IMAGES
    file.write_bytes(gzip.decompress(file.read_bytes()))
    refused([], f"file {file}: ", data__dir=broken)
    file.unlink()
    file.mkdir()
    refused([], str(file), data__dir=broken)


@pytest.mark.parametrize(
    "edit, message",
    [
        (lambda line: line + ",1", "line 3: wanted 64 pixels and a label, got 66 numbers"),
        (lambda line: "x" + line[1:], "line 3: pixel 1: wanted a whole number from 0 to 16"),
        (lambda line: line[:-1] + "12", "line 3: label: wanted a whole number from 0 to 9"),
    ],
)
def test_bad_digits_are_told_with_the_line(refused, tmp_path, edit, message):
    write_digits(tmp_path)
    file = tmp_path / "digits" / "digits.csv.gz"
    lines = gzip.decompress(file.read_bytes()).decode().splitlines()
    lines[2] = edit(lines[2])
    write_gzip(file, "\n".join(lines).encode())
    refused([], message, data__dir=tmp_path, data__name="digits")
