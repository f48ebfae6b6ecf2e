"""Randomness from a generator of the network's own.

torch draws dropout masks and noise from one generator per process, so two fits in two threads
would disturb each other. Every random module here draws from its attribute ``generator`` instead;
:func:`set_generator` hands the same generator to all of them, and None takes torch's. What is not
ours, a user's encoder and the initial weights of torch's layers, is made to by :class:`Drawing`.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

Draw: TypeAlias = Callable[[Tensor, torch.Generator | None], Tensor]  # in place


class Drawing(TorchDispatchMode):
    """While it is entered, what torch would draw from its own generator comes from another.

    That of the process is neither read nor moved, in this thread alone: others may draw from it.

    Parameters
    ----------
    generator : torch.Generator
        Tensors on devices other than its own are drawn as ever.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        draw = _drawn_by(func)
        if draw is None or kwargs.get("generator") is not None or not self._is_here(args, kwargs):
            return func(*args, **kwargs)
        return draw(*args, **{**kwargs, "generator": self.generator})

    def _is_here(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        tensors = [part for part in args if torch.is_tensor(part)]
        device = kwargs.get("device") or (tensors[0].device if tensors else "cpu")
        return torch.device(device).type == self.generator.device.type


@cache
def _drawn_by(func: Any) -> Callable[..., Any] | None:
    """What does as a random operation of torch does, from a generator; None for others."""
    if any(argument.name == "generator" for argument in func._schema.arguments):
        return func
    packet, overload = func.overloadpacket, func._overloadname
    name = packet.__name__
    if name in ("rand_like", "randn_like"):
        fill = _uniform if name == "rand_like" else _normal
        return lambda x, generator, **options: fill(torch.empty_like(x, **options), generator)
    if name == "randint_like":
        return _integers
    if name == "native_dropout":
        return _dropped
    with_generator = "generator" if overload == "default" else f"{overload}_generator"
    is_random = name in ("rand", "randn", "randint", "randperm")
    return getattr(packet, with_generator, None) if is_random else None


def _integers(x: Tensor, *bounds: int, generator: torch.Generator, **options: Any) -> Tensor:
    """What ``randint_like(x, high)`` or ``(x, low, high)`` gives."""
    low, high = bounds if len(bounds) > 1 else (0, *bounds)
    return torch.empty_like(x, **options).random_(low, high, generator=generator)


def _dropped(x: Tensor, p: float, train: bool | None, generator: torch.Generator) -> Any:
    """What torch's fused dropout gives: x with entries dropped, and which are kept."""
    kept = torch.empty_like(x, dtype=torch.bool)
    if train is False:
        return x.clone(), kept.fill_(True)
    kept.bernoulli_(1 - p, generator=generator)
    return x * kept * (1 / (1 - p) if p < 1 else 0.0), kept


class _Initialising(threading.local):
    """Who draws initial weights in this thread, network by network."""

    drawing: Drawing | None = None
    generators: list[torch.Generator]


_initialising = _Initialising()


@contextmanager
def seeded_initialisation(*seeds: int) -> Iterator[None]:
    """Draw initial weights from seeds of our own, leaving torch's generator alone.

    With several seeds each network draws from its own, and begins as it would alone.
    """
    before = dict(vars(_initialising))
    _initialising.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    try:
        with Drawing(_initialising.generators[0]) as _initialising.drawing:
            yield
    finally:
        vars(_initialising).clear()
        vars(_initialising).update(before)


def each_network(stack: int) -> Iterator[int]:
    """Count networks; while one is counted, what torch draws is from its seed."""
    for k in range(stack):
        if _initialising.drawing is not None:
            _initialising.drawing.generator = _initialising.generators[k]
        yield k


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


def uniform_like(x: Tensor, generator: AnyGenerator) -> Tensor:
    """Draw from [0, 1) in the shape, type and device of x."""
    return _drawn(_uniform, x, generator)


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
