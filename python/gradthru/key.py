"""Names of random numbers."""

from __future__ import annotations

import dataclasses

import torch

from ._library import ops


@dataclasses.dataclass
class Key:
    """Names the random numbers of one call.

    Noise is a pure function of (seed, offset, row, column) through Philox4x32-10: the same key gives
    the same draws on every machine, thread count and batch split, and a backward recomputes them.

    Args:
        seed: any integer; taken modulo 2**64.
        offset: in [0, 2**47), which is not checked.
        row0: added to row numbers: the position of this piece in the whole batch.

    Source: Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011.

    Examples:
        >>> import gradthru
        >>> stream = gradthru.Key(seed=7)
        >>> first = stream.take(2)
        >>> (first.offset, stream.offset)
        (0, 2)
    """

    seed: int
    offset: int = 0
    row0: int = 0

    def take(self, n: int) -> Key:
        """The current key; moves the offset on, so that no later draw shares a cell with it.

        Args:
            n: offsets that the call with this key uses, as `gradthru.offsets_used` or a module's
                ``offsets_used`` says.
        """
        current = Key(self.seed, self.offset, self.row0)
        self.offset += n
        return current


def signed(seed: int) -> int:
    """The seed as the operators want it, a signed 64-bit number."""
    return (seed + 2**63) % 2**64 - 2**63


def key_from(generator: torch.Generator | None = None) -> Key:
    """A key whose seed is one 64-bit draw of a generator.

    Args:
        generator: a CPU generator; Torch's default one if None.

    Raises:
        ValueError: under `torch.compile`, which cannot trace a generator.

    Examples:
        >>> import torch, gradthru
        >>> g = torch.Generator().manual_seed(1)
        >>> gradthru.key_from(g) == gradthru.key_from(g.manual_seed(1))
        True
    """
    if torch.compiler.is_compiling():
        raise ValueError("a generator cannot be traced: give a key under torch.compile")
    return Key(int(ops.random_seed(generator)))


def chosen(key: Key | None, generator: torch.Generator | None) -> Key:
    """The key of a call that takes either."""
    if key is not None and generator is not None:
        raise ValueError("give a key or a generator, not both")
    return key_from(generator) if key is None else key
