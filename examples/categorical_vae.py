"""A variational autoencoder whose code is 20 categorical variables of 10 categories.

    python examples/categorical_vae.py --estimator "reinmax(1.3)"

What stood here before: `z = F.gumbel_softmax(logits, tau=0.5, hard=True)`.
"""

from __future__ import annotations

import argparse
import math

import torch
from torch import nn
from torch.nn import functional as F

import gradthru
from images import check_falls, load

LATENTS, CATEGORIES = 20, 10


class VAE(nn.Module):
    def __init__(self, estimator: str) -> None:
        super().__init__()
        size = LATENTS * CATEGORIES
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(),
                                     nn.Linear(256, size))
        self.bottleneck = gradthru.nn.CategoricalBottleneck(LATENTS, CATEGORIES, estimator)
        self.decoder = nn.Sequential(nn.Linear(size, 256), nn.ReLU(), nn.Linear(256, 784))

    def forward(self, images: torch.Tensor, key: gradthru.Key) -> torch.Tensor:
        """The negative evidence lower bound per image, in nats."""
        logits = self.encoder(images)
        z = self.bottleneck(logits, key=key)
        pixels = F.binary_cross_entropy_with_logits(self.decoder(z), images.flatten(1),
                                                    reduction="sum")
        # The divergence from the uniform prior is exact: no sample in it.
        log_q = logits.view(-1, LATENTS, CATEGORIES).log_softmax(-1)
        divergence = (log_q.exp() * (log_q + math.log(CATEGORIES))).sum()
        return (pixels + divergence) / len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--estimator", default="reinmax(1.3)")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--steps", type=int, default=800)
    options = parser.parse_args()

    torch.manual_seed(0)
    images, _ = load(options.data)
    images = (images > 0.5).float()
    model = VAE(options.estimator)
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    stream = gradthru.Key(seed=0)  # names every random number of the run
    losses = []
    for _ in range(options.steps):
        batch = images[torch.randint(len(images), (100,))]
        loss = model(batch, stream.take(model.bottleneck.offsets_used))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    check_falls(losses, f"negative bound by {options.estimator}, in nats")


if __name__ == "__main__":
    main()
