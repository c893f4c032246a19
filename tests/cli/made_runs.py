"""Run folders with figures that a test chooses."""

import json
import re


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
