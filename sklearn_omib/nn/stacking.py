"""Networks side by side: modules that are no layers of ours, and taking some of the networks.

Layers of ours have a dimension for the network in every tensor. Any other module (convolutions,
recurrent layers, a user's own) becomes one copy per network, called in turn: whatever it is made
of, frozen, tied or lazy, it behaves as in a network alone.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from .random import AnyGenerator, Drawing, GeneratorStack, each_network, set_generator

M = TypeVar("M", bound=nn.Module)


class Copies(nn.Module):
    """One module for each network: y_k = module_k(x_k).

    Parameters
    ----------
    networks : sequence of torch.nn.Module
    foreign : bool, default=False
        Whether they may draw from torch's generator, as modules of a user may (by other kinds of
        dropout, say): in training they are made to draw from their own.
    """

    def __init__(self, networks: Iterable[nn.Module], foreign: bool = False) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.foreign = foreign
        self.generator: AnyGenerator = None

    def forward(self, x: Tensor | Sequence[Any], *more: Tensor) -> Tensor:
        # a module may work in place, on memory that others, or a reconstruction, read too
        is_input = not (torch.is_tensor(x) and x.requires_grad)
        parts = [_own_memory(part) for part in x] if is_input else x
        outputs = [
            self._answer(k, parts[k], *(other[k] for other in more)) for k in self._in_turn()
        ]
        shapes = list(dict.fromkeys(map(shape_of, outputs)))
        if len(shapes) > 1 or not torch.is_tensor(outputs[0]):
            raise ValueError(f"it returned {' and '.join(shapes)}.")
        answers = torch.stack(outputs)
        return answers.float() if self.foreign else answers  # whatever a module is made in

    def _answer(self, k: int, *parts: Any) -> Tensor:
        own = self._generator_of(k)
        if not (self.foreign and self.training and own is not None):
            return self.networks[k](*parts)
        with Drawing(own):
            return self.networks[k](*parts)

    def _generator_of(self, k: int) -> torch.Generator | None:
        stack = self.generator
        return stack.generators[stack.index[k]] if isinstance(stack, GeneratorStack) else stack

    def _in_turn(self) -> Iterator[int]:
        """Count the networks; twins find their generator where the first of them did."""
        stack = self.generator
        if not isinstance(stack, GeneratorStack) or not stack.shared:
            yield from range(len(self.networks))
            return
        begun = [generator.get_state() for generator in stack.generators]
        for k, family in enumerate(stack.index):
            stack.generators[family].set_state(begun[family])
            yield k

    def hand_out(self, generator: AnyGenerator) -> None:
        """Give each network its own generator."""
        for k, network in enumerate(self.networks):
            set_generator(network, self._generator_of(k))

    def keep(self, rows: Iterable[int]) -> None:
        """Go on with some of the networks; one that is wanted twice is copied."""
        seen: set[int] = set()
        kept = []
        for k in rows:
            kept.append(copy_module(self.networks[k]) if k in seen else self.networks[k])
            seen.add(k)
        self.networks = nn.ModuleList(kept)

    def tensors(self, k: int) -> list[Tensor]:
        """What network k has learned."""
        learned = [p.data for p in self.networks[k].parameters() if p.requires_grad]
        return [*learned, *self.networks[k].buffers()]


def shape_of(output: Any, skipped: int = 0) -> str:
    """The shape of what a module returned, or its type, for messages."""
    shape = getattr(output, "shape", None)
    return type(output).__name__ if shape is None else f"shape {tuple(shape[skipped:])}"


def _own_memory(part: Any) -> Any:
    """A copy of an input, a tensor or a named tuple of them."""
    if torch.is_tensor(part):
        return part.clone()
    return part._make(tensor.clone() for tensor in part)


def copy_module(module: M, known: Mapping[int, Any] | None = None) -> M:
    """A copy of a module that shares with it what is frozen, and has no generator.

    Parameters
    ----------
    module : torch.nn.Module
    known : dict of int to object, default=None
        What takes the place of parts of it, by their ids.
    """
    kept: dict[int, Any] = {id(p): p for p in module.parameters() if not p.requires_grad}
    generators = [part.__dict__.get("generator") for part in module.modules()]
    kept |= {id(own): None for own in generators if own is not None}
    return copy.deepcopy(module, kept | dict(known or {}))


def side_by_side(
    make: Callable[[], nn.Module], stack: int | None, foreign: bool = False
) -> nn.Module:
    """The module that ``make()`` returns, or one for each of several networks."""
    return make() if stack is None else Copies([make() for _ in each_network(stack)], foreign)


@torch.no_grad()
def abreast(modules: Sequence[M]) -> M:
    """Modules of several networks and of one structure as one, with a dimension for the module.

    Parameters
    ----------
    modules : sequence of torch.nn.Module
        Of linear maps and what works elementwise: x and y of shape (n_networks, ...).

    Returns
    -------
    torch.nn.Module
        x and y of shape (n_networks, n_modules, ...).
    """
    whole = copy_module(modules[0])
    for into, *each in zip(owners(whole), *map(owners, modules), strict=True):
        for name, parameter in into._parameters.items():
            if parameter is not None:
                parameter.data = torch.stack([one.get_parameter(name) for one in each], 1)
    return whole


def owners(module: nn.Module) -> Iterator[nn.Module]:
    """Modules whose own tensors have a dimension for the network."""
    if isinstance(module, Copies):
        return
    yield module
    for child in module.children():
        yield from owners(child)


def copies(module: nn.Module) -> list[Copies]:
    """The modules that are one per network."""
    return [part for part in module.modules() if isinstance(part, Copies)]


def _own(module: nn.Module) -> list[Tensor]:
    """Parameters and buffers that have a dimension for the network."""
    return [
        tensor
        for owner in owners(module)
        for own in (owner._parameters, owner._buffers)
        for tensor in own.values()
        if tensor is not None
    ]


def tensors(module: nn.Module) -> list[Tensor]:
    """All that networks side by side have learned."""
    each = [
        t for part in copies(module) for k in range(len(part.networks)) for t in part.tensors(k)
    ]
    return [tensor.detach() for tensor in _own(module)] + each


@torch.no_grad()
def write(module: nn.Module, values: Iterable[Tensor]) -> None:
    """Write what networks of a structure had learned, as :func:`tensors` gives it, over others."""
    for tensor, value in zip(tensors(module), values, strict=True):
        tensor.copy_(value)


@torch.no_grad()
def keep(module: nn.Module, rows: Iterable[int]) -> None:
    """Go on with some of the networks, in place.

    Parameters
    ----------
    module : torch.nn.Module
        Of networks side by side.
    rows : sequence of int
        Which, in which order; twins where one comes twice.
    """
    rows = list(rows)
    for owner in owners(module):
        for parameter in owner._parameters.values():
            if parameter is not None:
                parameter.data = parameter.data[rows]
        for name, buffer in owner._buffers.items():
            if buffer is not None:
                setattr(owner, name, buffer[rows])
    for part in copies(module):
        part.keep(rows)


def select(module: M, rows: Iterable[int]) -> M:
    """Some of the networks, as a module of their own.

    Examples
    --------
    >>> import torch
    >>> from sklearn_omib.nn import StackedLinear
    >>> layers, x = StackedLinear(3, 2, stack=4), torch.randn(4, 5, 3)
    >>> torch.allclose(select(layers, [2])(x[2:3]), layers(x)[2:3])
    True
    """
    rows = list(rows)
    known: dict[int, Any] = {}
    for owner in owners(module):
        for p in owner._parameters.values():
            if p is not None:
                known[id(p)] = nn.Parameter(p.data[rows], p.requires_grad)
        known |= {id(b): b[rows] for b in owner._buffers.values() if b is not None}
    for part in copies(module):
        known |= {id(one): None for k, one in enumerate(part.networks) if k not in rows}
    selected = copy_module(module, known)
    for part in copies(selected):
        part.keep(rows)
    return selected


@torch.no_grad()
def put(target: nn.Module, source: nn.Module, into: Iterable[int], rows: Iterable[int]) -> None:
    """Write networks ``rows`` of one module over networks ``into`` of another of its structure."""
    into, rows = list(into), list(rows)
    places: list[Tensor] = []
    values: list[Tensor] = []
    for stored, tensor in zip(_own(target), _own(source), strict=True):
        places += [stored[k] for k in into]
        values += [tensor[row] for row in rows]
    for to, of in zip(copies(target), copies(source), strict=True):
        for k, row in zip(into, rows, strict=True):
            places += to.tensors(k)
            values += of.tensors(row)
    if places:
        torch._foreach_copy_(places, values)


def are_finite(module: nn.Module, stack: int) -> Tensor:
    """Which of several networks have finite weights.

    Returns
    -------
    Tensor of shape (stack,), bool
    """
    tensors = [p for owner in owners(module) for p in owner._parameters.values() if p is not None]
    finite = [tensor.isfinite().view(stack, -1).all(1) for tensor in tensors]
    for part in copies(module):
        own = [all(bool(p.isfinite().all()) for p in network.parameters())
               for network in part.networks]  # fmt: skip
        finite.append(torch.tensor(own, device=finite[0].device if finite else None))
    return torch.stack(finite).all(0)
