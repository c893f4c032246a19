"""Nothing is timed before it is shown to draw the right law and to give the right gradient."""

import math

import torch

import formulas
import usual

SMALLEST_P = 1e-6
LARGEST_Z = 5.0
CHECKED_ELEMENTS = 1 << 20
GROUPS = 16


class Invalid(Exception):
    """A candidate does not compute what it claims to."""


def require(condition, text: str) -> None:
    if not condition:
        raise Invalid(text)


def value_and_grad(run, logits, g):
    x = logits.detach().requires_grad_()
    y = run(x)
    (grad,) = torch.autograd.grad(y, x, g)
    return y.detach(), grad


def some_rows(rows: int, categories: int) -> slice:
    """Rows spread over the whole, so few that a check in float64 stays quick."""
    wanted = max(1, CHECKED_ELEMENTS // categories)
    return slice(None, None, max(1, rows // wanted))


def drawn_index(y: torch.Tensor, exact: bool) -> torch.Tensor:
    """The index of a hard sample, which must be one-hot: exactly, or up to rounding."""
    rounded = y if exact else y.round()
    if not exact:
        rounding = 1e-5 if y.dtype == torch.float32 else 1e-2
        require((y - rounded).abs().max() < rounding, "the sample is not one-hot up to rounding")
    ones = (rounded == 1).sum(-1)
    require(torch.equal(ones, torch.ones_like(ones)) and (rounded != 0).sum() == ones.numel(),
            "the sample is not one-hot")
    return rounded.argmax(-1)


def tolerance(spec, g: torch.Tensor, dtype: torch.dtype) -> float:
    """Of a gradient computed in `dtype`; a division by the temperature scales its error too."""
    unit = 1e-5 if dtype == torch.float32 else 2 * torch.finfo(dtype).eps
    return unit * g.abs().max().item() * max(1.0, 1 / spec.tau) ** 2


def check_gradient(spec, logits, index, g, grad, expected=None) -> None:
    require(grad.isfinite().all(), "the gradient is not finite")
    rows = some_rows(*logits.shape)
    if expected is None:
        expected = formulas.by_index(spec, logits[rows], index[rows], g[rows])
    limit = tolerance(spec, g, grad.dtype)
    if grad.dtype == torch.float32:
        total = grad[rows].double().sum(-1).abs().max().item()
        require(total <= limit, f"the gradient does not sum to zero: {total:.2g} > {limit:.2g}")
    if expected is not None:
        error = (grad[rows].double() - expected).abs().max().item()
        require(error <= limit, f"the gradient is off by {error:.2g} > {limit:.2g}")


def chi_square_p(counts: torch.Tensor, probs: torch.Tensor) -> float:
    """Pearson's chi-square; cells that expect fewer than 5 are merged into one."""
    expected = probs * counts.sum()
    small = expected < 5
    counts = torch.cat([counts[~small], counts[small].sum().view(1)])
    expected = torch.cat([expected[~small], expected[small].sum().view(1)])
    kept = expected > 0
    if kept.sum() < 2:
        return 1.0
    statistic = ((counts - expected)[kept] ** 2 / expected[kept]).sum()
    freedom = (kept.sum() - 1).double()
    return torch.special.gammaincc(freedom / 2, statistic / 2).item()


def grouped(values: torch.Tensor) -> torch.Tensor:
    """Sums over neighbouring categories, so that a row of any length has at most 16 numbers."""
    groups = min(values.shape[-1], GROUPS)
    group = torch.arange(values.shape[-1]) * groups // values.shape[-1]
    out = torch.zeros(*values.shape[:-1], groups, dtype=torch.double)
    return out.index_add_(-1, group, values.double())


def check_law(index: torch.Tensor, row: torch.Tensor) -> None:
    """`index` are independent draws from the softmax of `row`."""
    categories = row.numel()
    counts = torch.bincount(index.flatten(), minlength=categories).double()
    probs = torch.softmax(row.double(), -1)
    p = chi_square_p(grouped(counts), grouped(probs))
    require(p >= SMALLEST_P, f"the index does not follow softmax(logits): chi-square p = {p:.1g}")


def check_moments(ours: torch.Tensor, reference: torch.Tensor) -> None:
    """Means of the gradient and of its square, a row a draw, against the reference's."""
    for power, name in ((1, "mean"), (2, "mean square")):
        a, b = grouped(ours) ** power, grouped(reference) ** power
        error = torch.sqrt(a.var(0) / len(a) + b.var(0) / len(b))
        difference = (a.mean(0) - b.mean(0)).abs()
        # A category that gets no gradient in either has no spread to compare with.
        z = torch.where(error > 0, difference / error, torch.where(difference > 1e-6, math.inf, 0))
        require(z.max() <= LARGEST_Z, f"the gradient's {name} is off by z = {z.max():.1f}")


def peaked_row(logits: torch.Tensor) -> torch.Tensor:
    """The first row, with four categories that share most of the probability however long it is:
    without them the gradients of a long row are too small to tell right from wrong."""
    row = logits[:1].clone()
    categories = row.shape[-1]
    row[:, [0, categories // 3, categories // 2, categories - 1]] += math.log(categories)
    return row


def collect(run, row, g, shape, wanted: int):
    """Index and gradient of `wanted` draws of one row, by calls of the timed shape."""
    logits, g = row.expand(shape).contiguous(), g[:1].expand(shape).contiguous()
    indices, grads, count = [], [], 0
    while count < wanted:
        y, grad = value_and_grad(run, logits, g)
        indices.append(drawn_index(y, exact=False))
        grads.append(grad[: wanted - count].clone())
        count += len(logits)
    return torch.cat(indices)[:wanted], torch.cat(grads)


def draws_wanted(spec, categories: int) -> int:
    return max(64, min(20000, (1 << 25) // (categories * inner_draws(spec))))


def inner_draws(spec) -> int:
    return spec.samples if spec.method == "gumbel_rao" else 1


def check_noise(spec, run, logits, g, generator) -> None:
    """Law of the index and, where noise beyond the index is hidden, moments of the gradient."""
    categories = logits.shape[-1]
    wanted = draws_wanted(spec, categories)
    row = peaked_row(logits)
    index, grad = collect(run, row, g, logits.shape, wanted)
    check_law(index, row[0])
    if not spec.noisy:
        check_gradient(spec, row.expand(wanted, -1), index, g[:1].expand(wanted, -1), grad)
        return
    reference = []
    piece = max(1, min(wanted, (1 << 22) // (categories * inner_draws(spec))))
    for _ in range(math.ceil(wanted / piece)):
        rows = row.expand(piece, -1), g[:1].expand(piece, -1)
        reference.append(formulas.draw(spec, *rows, generator)[1])
    check_moments(grad, torch.cat(reference))


def check_ours(spec, sample, logits, g, generator) -> None:
    index = None

    def run(x):
        nonlocal index
        y, index = sample(x)
        return y

    y, grad = value_and_grad(run, logits, g)
    require(torch.equal(drawn_index(y, exact=True), index), "the index is not that of the sample")
    check_gradient(spec, logits, index, g, grad)
    check_noise(spec, run, logits, g, generator)
    # Replay: any index at all, so that rare categories are seen too.
    given = torch.randint(logits.shape[-1], logits.shape[:1], generator=generator)
    y, grad = value_and_grad(lambda x: sample(x, given)[0], logits, g)
    require(torch.equal(drawn_index(y, exact=True), given), "a given index is not followed")
    check_gradient(spec, logits, given, g, grad)


def check_opaque(spec, run, logits, g, generator) -> None:
    """A candidate that shows neither its index nor its noise, such as a compiled one."""
    y, grad = value_and_grad(run, logits, g)
    check_gradient(spec, logits, drawn_index(y, exact=False), g, grad)
    check_noise(spec, run, logits, g, generator)


def check_whole_call(variant, logits, g) -> None:
    """F.gumbel_softmax, with the noise that it drew drawn again."""
    torch.manual_seed(5)
    y, grad = value_and_grad(variant, logits, g)
    torch.manual_seed(5)
    gumbels = -torch.empty_like(logits).exponential_().log()
    index = drawn_index(y, exact=False)
    require(torch.equal(index, (logits + gumbels).argmax(-1)), "the index is not the largest")
    rows = some_rows(*logits.shape)
    expected = formulas.gumbel_softmax(logits[rows].double(), gumbels[rows].double(),
                                       g[rows].double(), variant.spec.tau)
    check_gradient(variant.spec, logits, index, g, grad, expected)


def check_rao_given(spec, logits, g, generator) -> None:
    """The materialised form on a few rows, with noise that both sides get."""
    rows = max(1, min(len(logits), (1 << 20) // (logits.shape[-1] * spec.samples)))
    logits, g = logits[:rows], g[:rows]
    index = torch.randint(logits.shape[-1], (rows,), generator=generator)
    noise = torch.empty(spec.samples, *logits.shape).exponential_(generator=generator)
    y, grad = value_and_grad(
        lambda x: usual.gumbel_rao_given(x, index.unsqueeze(-1), noise, spec.tau), logits, g)
    require(torch.equal(drawn_index(y, exact=False), index), "a given index is not followed")
    expected = formulas.gumbel_rao(logits.double(), index, noise.double(), g.double(), spec.tau)
    limit = tolerance(spec, g, torch.float32)
    error = (grad.double() - expected).abs().max().item()
    require(error <= limit, f"the gradient is off by {error:.2g} > {limit:.2g}")


def check_usual(variant, logits, g, generator) -> None:
    spec = variant.spec
    if isinstance(variant, usual.WholeCall):
        check_whole_call(variant, logits, g)
        return
    wanted = draws_wanted(spec, logits.shape[-1])
    rows = peaked_row(logits).expand(wanted, -1).contiguous()
    check_law(variant.draw(rows, rows.softmax(-1)), rows[0])
    if spec.noisy:
        check_rao_given(spec, logits, g, generator)
    else:
        y, grad = value_and_grad(variant, logits, g)
        check_gradient(spec, logits, drawn_index(y, exact=False), g, grad)


def check_floor(logits, copy, total) -> None:
    require(torch.equal(copy, logits) and torch.equal(total, logits + logits),
            "the copy is not the original")
