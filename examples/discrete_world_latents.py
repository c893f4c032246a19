"""A world model with discrete latents, as in DreamerV2 and V3, of digits that drift.

    python examples/discrete_world_latents.py

A recurrent state h_t predicts the latents z_t (the prior), the image refines the prediction (the
posterior), and h_t with z_t reconstructs the image. z_t is 16 categorical variables of 16
categories, sampled from 99 % the network's and 1 % the uniform law (uniform mix), with
straight-through gradients. Divergences are balanced as in DreamerV3, arXiv 2301.04104.
"""

from __future__ import annotations

import argparse

import torch
from torch import nn
from torch.nn import functional as F

import gradthru
from images import check_falls, load

LATENTS, CATEGORIES, STATE, MIX, FREE_NATS = 16, 16, 128, 0.01, 1.0
SIZE = LATENTS * CATEGORIES


def divergence(p_logits: torch.Tensor, q_logits: torch.Tensor) -> torch.Tensor:
    """KL(p || q) of the mixed laws, its mean over the batch, not below the free nats."""
    p, q = (MIX / CATEGORIES + (1 - MIX) * x.view(-1, LATENTS, CATEGORIES).softmax(-1)
            for x in (p_logits, q_logits))
    return (p * (p.log() - q.log())).sum((1, 2)).mean().clamp(min=FREE_NATS)


class WorldModel(nn.Module):
    def __init__(self, estimator: str) -> None:
        super().__init__()
        self.see = nn.Sequential(nn.Flatten(), nn.Linear(784, STATE), nn.ReLU())
        self.step = nn.GRUCell(SIZE, STATE)
        self.prior = nn.Linear(STATE, SIZE)
        self.posterior = nn.Linear(2 * STATE, SIZE)
        self.latents = gradthru.nn.CategoricalBottleneck(LATENTS, CATEGORIES, estimator,
                                                         uniform_mix=MIX)
        self.draw = nn.Sequential(nn.Linear(STATE + SIZE, 256), nn.ReLU(), nn.Linear(256, 784))

    def forward(self, video: torch.Tensor,
                stream: gradthru.Key) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss of the images and of the dynamics, of a video [T, B, 1, 28, 28]; nats per image."""
        h, z = video.new_zeros(video.shape[1], STATE), video.new_zeros(video.shape[1], SIZE)
        image_loss, dynamics = video.new_zeros(()), video.new_zeros(())
        for image in video:
            h = self.step(z, h)
            prior, posterior = self.prior(h), self.posterior(torch.cat([h, self.see(image)], 1))
            z = self.latents(posterior, key=stream.take(self.latents.offsets_used))
            pixels = F.binary_cross_entropy_with_logits(
                self.draw(torch.cat([h, z], 1)), image.flatten(1), reduction="none")
            image_loss = image_loss + pixels.sum(1).mean()
            # The prior learns to predict the posterior more than the other way round.
            dynamics = dynamics + (0.5 * divergence(posterior.detach(), prior)
                                   + 0.1 * divergence(posterior, prior.detach()))
        return image_loss / len(video), dynamics / len(video)


def drifting(images: torch.Tensor, frames: int) -> torch.Tensor:
    """Videos [frames, B, 1, 28, 28] where each image moves at its own pace, around the edges."""
    pace = torch.randint(-3, 4, (len(images), 2))
    return torch.stack([torch.stack([image.roll((t * dy, t * dx), (-2, -1))
                                     for image, (dy, dx) in zip(images, pace.tolist())])
                        for t in range(frames)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--estimator", default="st")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--steps", type=int, default=250)
    options = parser.parse_args()

    torch.manual_seed(0)
    images, _ = load(options.data)
    model = WorldModel(options.estimator)
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    stream, losses = gradthru.Key(seed=0), []
    for step in range(options.steps):
        video = drifting(images[torch.randint(len(images), (32,))], frames=8)
        image_loss, dynamics = model(video, stream)
        optimiser.zero_grad()
        (image_loss + dynamics).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 100)
        optimiser.step()
        losses.append(image_loss.item())
        if step % 100 == 0 or step == options.steps - 1:
            print(f"step {step}: images {image_loss.item():.1f}, dynamics {dynamics.item():.2f}")
    check_falls(losses, "loss of an image, in nats")


if __name__ == "__main__":
    main()
