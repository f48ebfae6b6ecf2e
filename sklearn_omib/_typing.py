"""Types that the hints of several modules name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])


class HasShape(Protocol):
    """An array, DataFrame, sparse matrix, tensor, array outside memory, or a ModalityDict."""

    @property
    def shape(self) -> Any: ...


class HasModalities(Protocol):
    """What is used of MuData."""

    @property
    def mod(self) -> Mapping[str, Any]: ...


class SameSignature(Protocol):
    """A decorator that leaves the signature of a function as it is."""

    def __call__(self, function: F, /) -> F: ...


Array: TypeAlias = NDArray[Any]
Block: TypeAlias = Any  # one modality: array, DataFrame, CSR matrix, tensor or LazyBlock
Blocks: TypeAlias = Mapping[str, Block] | Sequence[Block] | HasModalities
Modalities: TypeAlias = Blocks | HasShape
RandomState: TypeAlias = int | np.random.RandomState | None
