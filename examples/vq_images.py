"""A vector-quantized autoencoder: an image becomes 7x7 codes of a codebook of 128.

    python examples/vq_images.py                        # nearest code, rotation trick, EMA codebook
    python examples/vq_images.py --estimator reinmax    # sampled codes
"""

from __future__ import annotations

import argparse

import torch
from torch import nn
from torch.nn import functional as F

import gradthru
from images import check_falls, load

DIM, CODES = 16, 128


class Autoencoder(nn.Module):
    def __init__(self, estimator: str) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 32, 4, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(32, 32, 4, stride=2, padding=1), nn.ReLU(), nn.Conv2d(32, DIM, 1))
        nearest = estimator == "nearest"
        self.quantizer = gradthru.nn.VectorQuantizer(
            CODES, DIM, estimator, rotation=nearest, ema=0.95 if nearest else None,
            dead_code=0.1 if nearest else None, tau=0.02)  # tau: of sampled codes
        self.decoder = nn.Sequential(
            nn.Conv2d(DIM, 32, 1), nn.ReLU(),
            nn.ConvTranspose2d(32, 32, 4, stride=2, padding=1), nn.ReLU(),
            nn.ConvTranspose2d(32, 1, 4, stride=2, padding=1))

    def forward(self, images: torch.Tensor,
                key: gradthru.Key) -> tuple[torch.Tensor, gradthru.nn.Quantized]:
        """Reconstructed images, and what the quantizer says."""
        vectors = self.encoder(images).movedim(1, -1)  # channels last: the quantizer's vectors
        z = self.quantizer(vectors, key=key)
        return self.decoder(z.quantized.movedim(-1, 1)), z


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--estimator", default="nearest")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args()

    torch.manual_seed(0)
    images, _ = load(options.data)
    model = Autoencoder(options.estimator)
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    stream = gradthru.Key(seed=0)
    losses = []
    for step in range(options.steps):
        batch = images[torch.randint(len(images), (64,))]
        reconstructed, z = model(batch, stream.take(model.quantizer.offsets_used))
        error = F.mse_loss(reconstructed, batch)
        optimiser.zero_grad()
        (error + z.loss).backward()
        optimiser.step()
        losses.append(error.item())
        if step % 100 == 0 or step == options.steps - 1:
            print(f"step {step}: error {error.item():.4f}, perplexity {z.perplexity.item():.1f}")
    check_falls(losses, "squared error per pixel")


if __name__ == "__main__":
    main()
