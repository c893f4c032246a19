"""What the program says about itself."""

import pathlib
import re

import pytest

from tiny_data import assert_done, data, files_below, gradthru, tiny_vae

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
REGISTRY = ROOT / "include" / "gradthru" / "estimators.def"
ESTIMATORS = re.findall(r"^GRADTHRU_(?:SCORE_)?ESTIMATOR\((\w+),", REGISTRY.read_text(), re.MULTILINE)
EXPERIMENTS = sorted(p.parent.name for p in (ROOT / "experiments").glob("*/presets"))
COMMANDS = [
    ["run"],
    ["sweep"],
    ["list"],
    ["list", "estimators"],
    ["list", "experiments"],
    ["list", "data"],
    ["data", "list"],
    ["data", "verify"],
    ["data", "fetch"],
    ["bench"],
    ["fidelity"],
    ["report"],
]


def listed(text):
    """Entry by name: its line and the indented ones that follow."""
    parts = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
    return {part.split()[0]: part for part in parts}


def test_no_arguments_show_where_to_begin(gradthru):
    result = assert_done(gradthru())
    assert result.stderr == ""
    assert result.stdout.startswith("gradthru: ")
    for command in ("gradthru list", "gradthru data fetch mnist", "gradthru run vae", "--help"):
        assert command in result.stdout


def test_the_first_screen_tells_what_works(gradthru):
    # Every command on it is one that the program knows.
    commands = re.findall(r"^  gradthru ((?:\S+ )+) ", gradthru().stdout, re.MULTILINE)
    assert len(commands) >= 3
    for command in commands:
        words = [word for word in command.split() if not word.startswith("-")]
        assert words[0] in ("list", "data", "run", "sweep", "report", "bench", "fidelity")


def test_version(gradthru):
    declared = re.search(r"project\(.*?VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text(), re.S)
    result = assert_done(gradthru("--version"))
    assert result.stdout.strip() == declared[1].rstrip(")")


def test_help_names_the_commands(gradthru):
    result = assert_done(gradthru("--help"))
    for word in ("run", "list", "data", "--version", "Example"):
        assert word in result.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(gradthru, command):
    result = assert_done(gradthru(*command, "--help"))
    assert result.stderr == ""
    assert re.search(rf"Example:\s+gradthru {' '.join(command)}\b", result.stdout)


def test_help_of_run_has_every_flag(gradthru):
    result = assert_done(gradthru("run", "--help"))
    flags = ["preset", "methods", "seeds", "set", "config", "out", "resume", "dry-run"]
    flags += ["threads"]
    for flag in flags:
        assert re.search(rf"^  --{flag}\b.*\S", result.stdout, re.MULTILINE)


def test_example_in_the_help_of_run_is_right(gradthru, data):
    text = gradthru("run", "--help").stdout
    methods = re.search(r'--methods "([^"]+)"', text)[1]
    seeds = re.search(r"--seeds (\S+)", text[text.index("Example") :])[1]
    keys = re.findall(r"--set (\w\S*)", text[text.index("Example") :])
    assert keys
    arguments = tiny_vae(data, epochs=1)
    for key in keys:
        arguments += ["--set", key]
    assert_done(gradthru(*arguments, "--methods", methods, "--seeds", seeds, "--out", "mine"))
    runs = files_below(gradthru.folder / "mine")
    assert len([name for name in runs if name.endswith("summary.json")]) == 6


def test_list_estimators_has_the_whole_registry(gradthru):
    result = assert_done(gradthru("list", "estimators"))
    entries = listed(result.stdout)
    assert len(ESTIMATORS) >= 10
    assert [name for name in entries if name in ESTIMATORS] == ESTIMATORS
    text = REGISTRY.read_text()
    for name in ESTIMATORS:
        entry = text[text.index(f"ESTIMATOR({name},") :]
        summary, source = re.findall(r'"((?:[^"])*)"', entry[: entry.index('")\n') + 1])[-2:]
        assert summary in entries[name] and source in entries[name]
        assert "parameters: " in entries[name]


def test_parameters_in_the_list_are_accepted_and_no_others(gradthru, data):
    entries = listed(gradthru("list", "estimators").stdout)
    for name in ESTIMATORS:
        known = re.search(r"parameters: ([\w, ]+)", entries[name])[1].split(", ")
        refused = gradthru(*tiny_vae(data), "--methods", f"{name}(nonsense=1)")
        assert refused.returncode == 2
        assert f"known: {', '.join(known)})" in refused.stderr


def test_list_experiments_has_presets_and_keys(gradthru):
    entries = listed(assert_done(gradthru("list", "experiments")).stdout)
    assert sorted(entries) == EXPERIMENTS
    for name, entry in entries.items():
        presets = {p.stem for p in (ROOT / "experiments" / name / "presets").glob("*.toml")}
        assert set(re.search(r"presets: (.*)", entry)[1].split(", ")) == presets
        assert re.findall(r"--set (\S+) +\S", entry)


def test_list_data_has_every_set(gradthru):
    text = assert_done(gradthru("list", "data")).stdout
    licences = {"mnist": "CC BY-SA 3.0", "fashion-mnist": "MIT", "digits": "BSD-3-Clause"}
    for name, licence in licences.items():
        assert re.search(rf"^{name} .*{licence}", text, re.MULTILINE)
