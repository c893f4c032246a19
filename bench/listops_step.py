#!/usr/bin/env python3
"""Training of the Gumbel Tree-LSTM on ListOps: ours against the usual eager PyTorch, interleaved.

The eager model is what its users write: an LSTM cell in a loop over the tokens, then for every level
all pairs of neighbours in one product, a masked straight-through Gumbel-softmax over their scores,
and masks for sentences that are done. Prints the ratio of our time per expression to eager's, pair
by pair, as median and range. Before timing counts, eager must find the loss that our run reports for
the official test set from the weights in our run's checkpoint.
"""

import argparse
import dataclasses
import gzip
import json
import math
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

OPERATORS = ["MIN", "MAX", "MED", "SM"]
OPEN, CLOSE, PAD = 14, 15, 16
TOLERANCE = 1e-4  # of the mean loss over the test set, nats


@dataclasses.dataclass
class Size:
    most_tokens: int
    width: int
    batch: int
    steps: int  # of a measurement
    dropout: float


SIZES = {
    "smoke": Size(20, 64, 64, 60, 0.1),
    "short": Size(49, 128, 16, 120, 0.5),
    "paper": Size(99, 300, 16, 60, 0.5),
}


# --- expressions ---------------------------------------------------------------------------------


def tokens_of(text: str) -> list[int]:
    tokens = []
    for word in text.split():
        if word.startswith("["):
            tokens += [OPEN, 10 + OPERATORS.index(word[1:])]
        elif word not in "()":
            tokens.append(CLOSE if word == "]" else int(word))
    return tokens


def official(folder: pathlib.Path) -> list[tuple[list[int], int]]:
    path = folder / "listops" / "test_d20s.tsv"
    text = path.read_text() if path.exists() else gzip.open(f"{path}.gz", "rt").read()
    rows = (line.split("\t") for line in text.splitlines())
    examples = [(tokens_of(text), int(label)) for label, text in rows]
    return [e for e in examples if len(e[0]) < 100]


def operand(draw: random.Random, depth: int) -> tuple[list[int], int]:
    if depth == 20 or draw.random() < 0.75:
        digit = draw.randrange(10)
        return [digit], digit
    operator = draw.randrange(4)
    parts = [operand(draw, depth + 1) for _ in range(draw.randint(2, 5))]
    values = sorted(value for _, value in parts)
    n = len(values)
    value = [values[0], values[-1], (values[(n - 1) // 2] + values[n // 2]) // 2, sum(values) % 10]
    tokens = [token for part, _ in parts for token in part]
    return [OPEN, 10 + operator, *tokens, CLOSE], value[operator]


def generated(count: int) -> list[tuple[list[int], int]]:
    """By the recipe of our run, so that lengths have its distribution."""
    draw, seen, examples = random.Random(1), set(), []
    while len(examples) < count:
        tokens, value = operand(draw, 1)
        if tuple(tokens) not in seen:
            seen.add(tuple(tokens))
            examples.append((tokens, value))
    draw.shuffle(examples)
    return examples


def batches(examples, batch: int, seed: int):
    """Sorted by length in pieces of a hundred batches, as our run does."""
    draw = random.Random(seed)
    order = draw.sample(examples, len(examples))
    cut = []
    for first in range(0, len(order), 100 * batch):
        piece = sorted(order[first:first + 100 * batch], key=lambda e: len(e[0]))
        cut += [piece[i:i + batch] for i in range(0, len(piece), batch)]
    draw.shuffle(cut)
    return cut


def padded(batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([len(tokens) for tokens, _ in batch])
    tokens = torch.full((len(batch), int(lengths.max())), PAD)
    for row, (sentence, _) in enumerate(batch):
        tokens[row, :len(sentence)] = torch.tensor(sentence)
    return tokens, lengths, torch.tensor([label for _, label in batch])


# --- the usual model -----------------------------------------------------------------------------


def masked_gumbel_softmax(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    gumbels = -torch.empty_like(scores).exponential_().log()
    soft = (scores + gumbels).masked_fill(~mask, -math.inf).softmax(-1)
    hard = torch.zeros_like(soft).scatter_(-1, soft.argmax(-1, keepdim=True), 1.0)
    return hard - soft.detach() + soft


def greedy(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    index = scores.masked_fill(~mask, -math.inf).argmax(-1, keepdim=True)
    return torch.zeros_like(scores).scatter_(-1, index, 1.0)


class TreeLstm(nn.Module):
    def __init__(self, size: Size):
        super().__init__()
        d = self.width = size.width
        self.embedding = nn.Embedding(PAD + 1, d)
        self.leaf = nn.LSTMCell(d, d)
        self.composition = nn.Linear(2 * d, 5 * d)
        self.query = nn.Parameter(torch.randn(d) * 0.01)
        self.hidden, self.out = nn.Linear(d, d), nn.Linear(d, 10)
        self.dropout = nn.Dropout(size.dropout)

    def leaves(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        words = self.dropout(self.embedding(tokens))
        state, hs, cs = None, [], []
        for position in range(tokens.shape[1]):
            state = self.leaf(words[:, position], state)
            hs.append(state[0])
            cs.append(state[1])
        return torch.stack(hs, 1), torch.stack(cs, 1)

    def compose(self, hl, hr, cl, cr):
        i, fl, fr, u, o = self.composition(torch.cat([hl, hr], -1)).chunk(5, -1)
        c = cl * (fl + 1).sigmoid() + cr * (fr + 1).sigmoid() + u.tanh() * i.sigmoid()
        return o.sigmoid() * c.tanh(), c

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        h, c = self.leaves(tokens)
        select = masked_gumbel_softmax if self.training else greedy
        for level in range(tokens.shape[1] - 1):
            hl, hr, cl, cr = h[:, :-1], h[:, 1:], c[:, :-1], c[:, 1:]
            h_new, c_new = self.compose(hl, hr, cl, cr)
            if h_new.shape[1] > 1:
                valid = torch.arange(h_new.shape[1]) + level + 1 < lengths[:, None]
                # A row that is done has no pair: any choice will do, its state is kept below.
                valid[:, 0] |= ~valid.any(1)
                scores = (h_new @ self.query) / math.sqrt(self.width)
                d = select(scores, valid)[..., None]
                e = d.cumsum(1)
                h_new = d * h_new + (1 - e) * hl + (e - d) * hr
                c_new = d * c_new + (1 - e) * cl + (e - d) * cr
            going_on = (level + 1 < lengths)[:, None, None]
            h = torch.where(going_on, h_new, hl)
            c = torch.where(going_on, c_new, cl)
        hidden = self.hidden(self.dropout(h[:, 0])).relu()
        return self.out(self.dropout(hidden))


def take_weights(model: TreeLstm, checkpoint: pathlib.Path) -> None:
    """From our run: a zip with a JSON manifest and a record of raw bytes for each tensor."""
    with zipfile.ZipFile(checkpoint) as archive:
        top = archive.namelist()[0].split("/")[0]
        entries = json.loads(archive.read(f"{top}/manifest.json"))["tensors"]

        def tensor(name: str, parameter: torch.Tensor) -> torch.Tensor:
            raw = archive.read(f"{top}/{entries['model.' + name]['record']}")
            return torch.from_numpy(np.frombuffer(raw, np.float32).copy()).view(parameter.shape)

        pairs = {
            "leaf.weight_ih": model.leaf.weight_ih, "leaf.weight_hh": model.leaf.weight_hh,
            "leaf.bias": model.leaf.bias_ih, "composition.weight": model.composition.weight,
            "composition.bias": model.composition.bias, "composition.query": model.query,
            "classifier.0.weight": model.hidden.weight, "classifier.0.bias": model.hidden.bias,
            "classifier.1.weight": model.out.weight, "classifier.1.bias": model.out.bias,
        }
        with torch.no_grad():
            for name, parameter in pairs.items():
                parameter.copy_(tensor(name, parameter))
            model.leaf.bias_hh.zero_()
            words = model.embedding.weight[:PAD]
            words.copy_(tensor("embedding.weight", words))


def test_loss(model: TreeLstm, examples) -> float:
    model.eval()
    total = 0.0
    with torch.no_grad():
        ordered = sorted(examples, key=lambda e: len(e[0]))
        for first in range(0, len(ordered), 64):
            tokens, lengths, labels = padded(ordered[first:first + 64])
            scores = model(tokens, lengths)
            total += F.cross_entropy(scores, labels, reduction="sum").item()
    model.train()
    return total / len(examples)


# --- measuring -----------------------------------------------------------------------------------


def eager_time(model: TreeLstm, optimiser, parts) -> float:
    """Seconds per expression."""
    start, count = time.perf_counter(), 0
    for part in parts:
        tokens, lengths, labels = padded(part)
        loss = F.cross_entropy(model(tokens, lengths), labels)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        loss.item()
        count += len(part)
    return (time.perf_counter() - start) / count


def our_run(args, size: Size, seed: int, out: pathlib.Path, test_limit: int) -> dict:
    keys = {"epochs": 1, "steps_per_epoch": size.steps, "validations": 1,
            "batch_size": size.batch, "optimiser.lr": 1e-3, "model.width": size.width,
            "model.dropout": size.dropout, "data.max_tokens": size.most_tokens,
            "data.valid_limit": 10, "data.test_limit": test_limit}
    sets = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    subprocess.run([args.program, "run", "listops", "--methods", "gumbel_softmax(1.0)", "--seeds",
                    str(seed), "--threads", str(args.threads), *sets, "--out", str(out)],
                   check=True, capture_output=True)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    values = {}
    for line in lines:
        values |= {f"{line['split']}_{name}": value for name, value in line["values"].items()}
    return values


def same_loss(args, size: Size, model: TreeLstm, examples, folder: pathlib.Path) -> bool:
    ours = our_run(args, size, 0, folder / "check", args.checked)["test_loss"]
    take_weights(model, folder / "check" / "checkpoint" / "last.pt")
    eager = test_loss(model, examples[:args.checked])
    print(f"  loss over {min(args.checked, len(examples))} official expressions, same weights: "
          f"ours {ours:.6f}, eager {eager:.6f}")
    return abs(ours - eager) < TOLERANCE


def measure(args, name: str, examples, pool) -> bool:
    size = SIZES[name]
    print(f"{name}: up to {size.most_tokens} tokens, width {size.width}, batch {size.batch}, "
          f"{size.steps} updates, {args.threads} thread(s)")
    with tempfile.TemporaryDirectory() as folder:
        model = TreeLstm(size)
        if not same_loss(args, size, model, examples, pathlib.Path(folder)):
            print("listops_step: the two do not compute the same loss", file=sys.stderr)
            return False
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
        kept = [e for e in pool if len(e[0]) <= size.most_tokens]
        ours, eager = [], []
        for seed in range(args.repetitions):
            parts = batches(kept, size.batch, seed)[:size.steps]
            eager.append(eager_time(model, optimiser, parts))
            values = our_run(args, size, seed, pathlib.Path(folder) / str(seed), 10)
            ours.append(1 / values["train_examples_per_s"])
    ratios = sorted(a / b for a, b in zip(ours, eager))
    print(f"  ours/eager {statistics.median(ratios):.3f} [{ratios[0]:.3f}, {ratios[-1]:.3f}]   "
          f"expressions per second: ours {1 / statistics.median(ours):.0f}, "
          f"eager {1 / statistics.median(eager):.0f}")
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default="build/release/bin/gradthru")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checked", type=int, default=1000, help="expressions for the same loss")
    args = parser.parse_args()
    folder = os.environ.get("GRADTHRU_DATA_DIR") or pathlib.Path.home() / ".cache" / "gradthru"
    folder = pathlib.Path(folder)
    if not (folder / "listops").is_dir():
        print(f"listops_step: no ListOps in {folder}; set GRADTHRU_DATA_DIR", file=sys.stderr)
        return 2
    torch.set_num_threads(args.threads)
    examples, pool = official(folder), generated(100_000)
    return 0 if all([measure(args, name, examples, pool) for name in args.sizes]) else 1


if __name__ == "__main__":
    sys.exit(main())
