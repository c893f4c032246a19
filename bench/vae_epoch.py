#!/usr/bin/env python3
"""One epoch of the 8x4 VAE: ours against the same loop in eager PyTorch, interleaved.

Both train on all 60,000 MNIST images at batch 100 and evaluate the test set once. Prints the ratio
of our time to eager's, pair by pair, as median and range. Before timing counts, both must have
learnt: a test nELBO below that of the mean image.
"""

import argparse
import gzip
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

K, L, BATCH = 8, 4, 100
MEAN_IMAGE_NELBO = 206.0
SPECS = {"st": ("st(1.3)", 1e-3), "reinmax": ("reinmax(1.3)", 5e-4)}


def images(folder: pathlib.Path, name: str) -> torch.Tensor:
    raw = gzip.open(folder / "mnist" / name).read()
    pixels = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 784)
    return torch.from_numpy(pixels.astype(np.float32) / 255)


def draw(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    probs = F.softmax(logits, -1)
    index = torch.multinomial(probs.view(-1, K), 1).view(probs.shape[:-1])
    return probs, F.one_hot(index, K).to(logits.dtype)


def st(logits: torch.Tensor, tau: float) -> torch.Tensor:
    _, onehot = draw(logits)
    soft = F.softmax(logits / tau, -1)
    return onehot + (soft - soft.detach())


def reinmax(logits: torch.Tensor, tau: float) -> torch.Tensor:
    probs, onehot = draw(logits)
    mid = (onehot + F.softmax(logits / tau, -1)) / 2
    mid = F.softmax((mid.log() - logits).detach() + logits, -1)
    soft = 2 * mid - 0.5 * probs
    return soft - soft.detach() + onehot


def eager_epoch(method: str, train: torch.Tensor, test: torch.Tensor, seed: int) -> tuple[float, float]:
    torch.manual_seed(seed)
    encoder = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(),
                            nn.Linear(256, L * K))
    decoder = nn.Sequential(nn.Linear(L * K, 256), nn.ReLU(), nn.Linear(256, 512), nn.ReLU(),
                            nn.Linear(512, 784))
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=SPECS[method][1])
    relax = {"st": st, "reinmax": reinmax}[method]

    def nelbo(x: torch.Tensor) -> torch.Tensor:
        logits = encoder(x).view(-1, L, K)
        pixels = decoder(relax(logits, 1.3).view(-1, L * K))
        recon = F.binary_cross_entropy_with_logits(pixels, x, reduction="sum") / len(x)
        log_q = F.log_softmax(logits, -1)
        return recon + (log_q.exp() * (log_q + math.log(K))).sum() / len(x)

    start = time.perf_counter()
    order = torch.randperm(len(train))
    for i in range(0, len(train), BATCH):
        loss = nelbo(train[order[i:i + BATCH]])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()
    with torch.no_grad():
        result = nelbo(test).item()
    return time.perf_counter() - start, result


def our_epoch(program: str, method: str, threads: int, seed: int) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "run"
        subprocess.run([program, "run", "vae", "--methods", SPECS[method][0], "--seeds", str(seed),
                        "--threads", str(threads), "--set", "epochs=1", "--set", "eval.exact=never",
                        "--out", str(out)], check=True, capture_output=True)
        test = json.loads((out / "metrics.jsonl").read_text().splitlines()[1])
    return test["wall_s"], test["values"]["nelbo"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default="build/release/bin/gradthru")
    parser.add_argument("--methods", nargs="+", choices=SPECS, default=list(SPECS))
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    folder = os.environ.get("GRADTHRU_DATA_DIR") or pathlib.Path.home() / ".cache" / "gradthru"
    folder = pathlib.Path(folder)
    if not (folder / "mnist").is_dir():
        print(f"vae_epoch: no MNIST in {folder}; set GRADTHRU_DATA_DIR", file=sys.stderr)
        return 2
    torch.set_num_threads(args.threads)
    train = images(folder, "train-images-idx3-ubyte.gz")
    test = images(folder, "t10k-images-idx3-ubyte.gz")
    print(f"VAE 8x4 epoch, {args.threads} thread(s), {args.repetitions} interleaved repetitions")
    for method in args.methods:
        ours, eager = [], []
        for seed in range(args.repetitions):
            for times, (seconds, nelbo) in ((eager, eager_epoch(method, train, test, seed)),
                                            (ours, our_epoch(args.program, method, args.threads, seed))):
                if not nelbo < MEAN_IMAGE_NELBO:
                    print(f"vae_epoch: {method} did not learn, nELBO {nelbo:.1f}", file=sys.stderr)
                    return 1
                times.append(seconds)
        ratios = sorted(a / b for a, b in zip(ours, eager))
        print(f"  {method:8s} ours/eager {statistics.median(ratios):.2f} "
              f"[{ratios[0]:.2f}, {ratios[-1]:.2f}]   ours {statistics.median(ours):.2f} s, "
              f"eager {statistics.median(eager):.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
