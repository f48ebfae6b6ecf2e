"""Randomness from a generator of the network's own.

torch draws dropout masks and noise from one generator per process, so two fits in two threads
would disturb each other. Every random module here draws from its attribute ``generator`` instead;
:func:`set_generator` hands the same generator to all of them, and None takes torch's.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import torch
from torch import Tensor, nn

Draw: TypeAlias = Callable[[Tensor, torch.Generator | None], Tensor]  # in place

_INIT_LOCK = threading.Lock()
# of torch's generator, network by network, while initial weights are drawn
_states: list[Tensor] = []


@contextmanager
def seeded_initialisation(*seeds: int) -> Iterator[None]:
    """Draw initial weights from seeds of our own, leaving torch's generator as it was.

    Layers draw theirs from the one generator a process has, so threads take turns. With several
    seeds each network draws from its own, and begins as it would alone.
    """
    with _INIT_LOCK, torch.random.fork_rng(devices=[]):
        _states[:] = [torch.Generator().manual_seed(seed).get_state() for seed in seeds]
        torch.default_generator.set_state(_states[0])
        try:
            yield
        finally:
            _states.clear()


def each_network(stack: int) -> Iterator[int]:
    """Count networks; while one is counted, what torch draws is from its seed."""
    for k in range(stack):
        if not _states:
            yield k
            continue
        torch.default_generator.set_state(_states[k])
        yield k
        _states[k] = torch.default_generator.get_state()


class GeneratorStack:
    """Generators of networks side by side: network k draws from ``generators[index[k]]``.

    Networks of one seed share their draws, as they would have the same ones when trained apart.

    Parameters
    ----------
    generators : sequence of torch.Generator
    index : sequence of int
    """

    def __init__(self, generators: Iterable[torch.Generator], index: Iterable[int]) -> None:
        self.generators, self.index = list(generators), list(index)
        self.shared = len(self.generators) < len(self.index)
        device = self.generators[0].device
        self._index = torch.tensor(self.index, device=device) if self.shared else None

    def draw(self, draw: Draw, x: Tensor) -> Tensor:
        """``draw(tensor, generator)`` into a new tensor like x, seed by seed."""
        draws = x.new_empty(len(self.generators), *x.shape[1:])
        for one, own in zip(draws, self.generators, strict=True):
            draw(one, own)
        return draws

    def spread(self, draws: Tensor) -> Tensor:
        """Draws seed by seed to draws network by network."""
        return draws if self._index is None else draws.index_select(0, self._index)


AnyGenerator: TypeAlias = torch.Generator | GeneratorStack | None


def _drawn(
    draw: Draw,
    x: Tensor,
    generator: AnyGenerator,
    finish: Callable[[Tensor], Tensor] = lambda draws: draws,
) -> Tensor:
    """Draws like x, seed by seed; ``finish`` turns all of them into what is wanted at once."""
    if isinstance(generator, GeneratorStack):
        return generator.spread(finish(generator.draw(draw, x)))
    return finish(draw(torch.empty_like(x), generator))


class Dropout(nn.Module):
    """Set entries to zero with probability p while training, and scale the rest by 1/(1 - p).

    Parameters
    ----------
    p : float in [0, 1)
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.generator: AnyGenerator = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        return x * _drawn(_uniform, x, self.generator, self._mask)

    def _mask(self, draws: Tensor) -> Tensor:
        # uniform draws compared with p cost a fraction of bernoulli_, and floats less than bools
        return draws.ge_(self.p).mul_(1 / (1 - self.p))

    def extra_repr(self) -> str:
        return f"p={self.p}"


def _uniform(tensor: Tensor, generator: torch.Generator | None) -> Tensor:
    return tensor.uniform_(generator=generator)


def _normal(tensor: Tensor, generator: torch.Generator | None) -> Tensor:
    return tensor.normal_(generator=generator)


def standard_normal_like(x: Tensor, generator: AnyGenerator) -> Tensor:
    """Draw N(0, I) noise of the shape, type and device of x."""
    return _drawn(_normal, x, generator)


def set_generator(module: nn.Module, generator: AnyGenerator) -> None:
    """Give every random submodule the same generator, or None.

    Parameters
    ----------
    module : torch.nn.Module
    generator : torch.Generator, GeneratorStack or None
    """
    if "generator" in module.__dict__:
        module.__dict__["generator"] = generator
    hand_out = getattr(module, "hand_out", None)
    if hand_out is not None:  # it knows which of its modules draws from which
        hand_out(generator)
        return
    for child in module.children():
        set_generator(child, generator)
