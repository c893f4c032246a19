"""A mixture of experts: every image is sent to one of 8 small networks, which one is learned.

    python examples/router.py

The router samples an expert; only that expert runs. Its output is multiplied by the entry of the
one-hot sample that stands for it, which is 1 and carries the straight-through gradient to the
router.
"""

from __future__ import annotations

import argparse

import torch
from torch import nn
from torch.nn import functional as F

import gradthru
from images import check_falls, load

EXPERTS, WIDTH = 8, 64


class MixtureOfExperts(nn.Module):
    def __init__(self, estimator: str) -> None:
        super().__init__()
        self.router = nn.Linear(WIDTH, EXPERTS)
        self.choice = gradthru.nn.CategoricalBottleneck(1, EXPERTS, estimator, eval_mode="argmax")
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
            for _ in range(EXPERTS))

    def forward(self, x: torch.Tensor,
                key: gradthru.Key) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Outputs [N, WIDTH], the loss that keeps the experts equally busy, the
        share of each."""
        logits = self.router(x)
        onehot = self.choice(logits, key=key)
        index = onehot.argmax(-1)
        gate = onehot.gather(1, index.unsqueeze(1))  # ones
        out = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            rows = (index == number).nonzero().squeeze(1)
            out = out.index_add(0, rows, gate[rows] * expert(x[rows]))
        shares = onehot.detach().mean(0)
        # Switch Transformers, arXiv 2101.03961: 1 when all experts are equally busy.
        balance = EXPERTS * (shares * logits.softmax(-1).mean(0)).sum()
        return x + out, balance, shares


class Classifier(nn.Module):
    def __init__(self, estimator: str) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Flatten(), nn.Linear(784, WIDTH), nn.ReLU())
        self.mixture = MixtureOfExperts(estimator)
        self.classes = nn.Linear(WIDTH, 10)

    def forward(self, images: torch.Tensor,
                key: gradthru.Key) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        mixed, balance, shares = self.mixture(self.embed(images), key)
        return self.classes(mixed), balance, shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--estimator", default="st")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--steps", type=int, default=1000)
    options = parser.parse_args()

    torch.manual_seed(0)
    images, labels = load(options.data)
    model = Classifier(options.estimator)
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    stream, losses = gradthru.Key(seed=0), []
    for _ in range(options.steps):
        rows = torch.randint(len(images), (128,))
        outputs, balance, shares = model(images[rows], stream.take(1))
        loss = F.cross_entropy(outputs, labels[rows])
        optimiser.zero_grad()
        (loss + 0.01 * balance).backward()
        optimiser.step()
        losses.append(loss.item())
    print("share of each expert:", " ".join(f"{share:.2f}" for share in shares.tolist()))
    right = (model.eval()(images[:5000], gradthru.Key(0))[0].argmax(1) == labels[:5000])
    print(f"accuracy on training images: {right.float().mean():.3f}")
    check_falls(losses, "cross-entropy, in nats")


if __name__ == "__main__":
    main()
