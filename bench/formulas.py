"""The gradients of the estimators in float64, from docs/estimators, for a given sample.

What every candidate is held to before it is timed. Nothing here is meant to be fast.
"""

import torch


def jacobian_times(p: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """(diag(p) - p pᵀ) g along the last dimension."""
    return p * (g - (p * g).sum(-1, keepdim=True))


def one_hot(index: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(like).scatter_(-1, index.unsqueeze(-1), 1)


def st(theta, index, g, tau):
    return jacobian_times(torch.softmax(theta / tau, -1), g) / tau


def reinmax(theta, index, g, tau):
    middle = (torch.softmax(theta / tau, -1) + one_hot(index, theta)) / 2
    return 2 * jacobian_times(middle, g) - jacobian_times(torch.softmax(theta, -1), g) / 2


def gst(theta, index, g, tau, gap):
    top = theta.amax(-1, keepdim=True)
    drawn = one_hot(index, theta).bool()
    perturbed = torch.where(drawn, top, torch.minimum(theta, top - gap))
    return jacobian_times(torch.softmax(perturbed / tau, -1), g) / tau


def gumbel_softmax(theta, gumbels, g, tau):
    return jacobian_times(torch.softmax((theta + gumbels) / tau, -1), g) / tau


def gumbel_rao(theta, index, exponentials, g, tau):
    """`exponentials` [M, rows, K]; Z is brought to 1 first, so that nothing overflows."""
    log_p = torch.log_softmax(theta, -1)
    drawn = one_hot(index, theta).bool()
    winner = exponentials.gather(-1, index.expand(exponentials.shape[:-1]).unsqueeze(-1))
    others = -torch.logaddexp(exponentials.log() - log_p, winner.log())
    perturbed = torch.where(drawn, -winner.log(), others)
    return jacobian_times(torch.softmax(perturbed / tau, -1), g).mean(0) / tau


def by_index(spec, theta, index, g):
    """The gradient of a rule that depends on the noise only through the index; else None."""
    theta, g = theta.double(), g.double()
    if spec.method == "st":
        return st(theta, index, g, spec.tau)
    if spec.method == "reinmax":
        return reinmax(theta, index, g, spec.tau)
    if spec.method == "gst":
        return gst(theta, index, g, spec.tau, spec.gap)
    return None


def draw(spec, theta, g, generator):
    """Index and gradient of independent draws, one a row, in float64."""
    theta, g = theta.double(), g.double()

    def exponentials(*shape):
        return torch.empty(shape, dtype=torch.double).exponential_(generator=generator)

    if spec.method == "gumbel_softmax":
        gumbels = -exponentials(*theta.shape).log()
        index = (theta + gumbels).argmax(-1)
        return index, gumbel_softmax(theta, gumbels, g, spec.tau)
    index = (theta - exponentials(*theta.shape).log()).argmax(-1)
    if spec.method == "gumbel_rao":
        noise = exponentials(spec.samples, *theta.shape)
        return index, gumbel_rao(theta, index, noise, g, spec.tau)
    return index, by_index(spec, theta, index, g)
