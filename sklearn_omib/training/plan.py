"""What is decided before training: rows to stop by, encoders, seeds, how many networks."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.model_selection import (
    GroupShuffleSplit,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedShuffleSplit,
)

from .._typing import Array, Block
from ..data.container import ModalityDict
from ..data.ragged import Ragged
from ..information._capacity import effective_dimension
from ..nn.encoders import ENCODERS, default_encoder
from .devices import memory_bytes

MIN_SAMPLES_TO_SPLIT = 10  # below it no rows are held out
IMAGE_CHANNELS = (1, 3, 4)  # of grey, coloured and transparent images
LEAST_IMAGE = 8  # pixels of a side from which a square is suspected to be an image
# What validation_fraction="auto" holds out (benchmarks/evidence/rows.py): so many rows, within two
# shares
ROWS_HELD_OUT = 500
LEAST_HELD_OUT, MOST_HELD_OUT = 0.01, 0.15
# What n_members="auto" pays (benchmarks/evidence/levers.py): networks, and rows of all of them
MOST_MEMBERS, MEMBER_ROWS = 5, 50_000
# Of layers that were trained before (benchmarks/README.rst): 1000 texts are overfitted after two
# epochs; few rows take more, for so many steps
FINE_TUNING_EPOCHS, FINE_TUNING_BATCH, FEWEST_STEPS = 2, 32, 60
# Of networks of many layers, trained from nothing: so many rows seen, within numbers of epochs, and
# the most networks
SLOW_ROWS, FEWEST_EPOCHS, MOST_EPOCHS, MOST_SLOW = 15_000, 10, 50, 3


def count_members(
    n_members: int | str, n_samples: int, fine_tunes: bool = False, trains_slowly: bool = False
) -> int:
    """How many networks a fit averages: with "auto", five, and fewer of more than 10,000 rows.

    One where layers that were trained before are trained further, and at most three where networks
    of many layers are trained from nothing.
    """
    if isinstance(n_members, str):
        if fine_tunes:
            return 1
        most = MOST_SLOW if trains_slowly else MOST_MEMBERS
        return int(np.clip(round(MEMBER_ROWS / n_samples), 1, most))
    return n_members


def check_size(
    estimator: Any,
    shapes: Mapping[str, tuple[int, ...]],
    encoders: Mapping[str, Any],
    n_networks: int,
) -> None:
    """Raise where the networks of an estimator cannot be held in memory.

    Counted are the weights that depend on widths, with their gradients and two moments.
    """
    hidden, latent = estimator.hidden_dim, estimator.latent_dim
    widest = max(hidden, latent, getattr(estimator, "embedding_dim", 1))
    deeper = estimator.n_layers + estimator.head_layers - 2
    weights = latent * widest + sum(
        hidden * (latent + widest + deeper * hidden) + hidden * prod(shape) * (
            isinstance(encoders[name], str) and encoders[name] in ("mlp", "linear", "linear_mlp")
        )
        for name, shape in shapes.items()
    )  # fmt: skip
    needed, there = 16 * n_networks * weights, memory_bytes()
    if needed > there:
        names = ("hidden_dim", "latent_dim", "embedding_dim", "n_layers", "head_layers")
        widths = [
            f"{name}={getattr(estimator, name)}" for name in names if hasattr(estimator, name)
        ]
        raise ValueError(
            f"{', '.join(widths)} make {n_networks} network(s) of {needed / 2**30:.3g} GiB with "
            f"their gradients, and this machine has {there / 2**30:.3g} GiB. Make them smaller."
        )


class Recipe(NamedTuple):
    """How long and how fast networks are trained."""

    warmup_epochs: int
    max_epochs: int
    batch_size: int
    learning_rate: float

    @classmethod
    def of(
        cls,
        estimator: Any,
        usual: Recipe,
        n_samples: int,
        fine_tunes: bool,
        trains_slowly: bool = False,
    ) -> Recipe:
        """What an estimator's parameters say; "auto" is the usual, or what suits the encoders.

        Parameters
        ----------
        estimator : BaseMultimodal or BaseOMIBCV
        usual : Recipe
        n_samples : int
        fine_tunes : bool
            Whether layers that were trained before are trained further: few small steps.
        trains_slowly : bool, default=False
            Whether networks of many layers are trained from nothing: few epochs of small batches.
        """
        if fine_tunes:
            steps = max(n_samples // FINE_TUNING_BATCH, 1)
            epochs = max(FINE_TUNING_EPOCHS, -(-FEWEST_STEPS // steps))
            usual = cls(1, epochs, FINE_TUNING_BATCH, 1e-3)
        elif trains_slowly:
            epochs = int(np.clip(SLOW_ROWS / n_samples, FEWEST_EPOCHS, MOST_EPOCHS))
            usual = cls(2, epochs, 32, 3e-3)
        given = {name: getattr(estimator, name, None) for name in cls._fields}
        return usual._replace(
            **{name: value for name, value in given.items() if value not in (None, "auto")}
        )


USUAL = Recipe(warmup_epochs=10, max_epochs=100, batch_size=128, learning_rate=5e-4)


class Plan(NamedTuple):
    """What each network begins with.

    Attributes
    ----------
    encoders : dict of str to encoder, or None
        None where fitted networks go on.
    splits : list of (ndarray, ndarray or None)
        Rows of each network to train on, and to stop by.
    weights, draws : list of int
        Seeds of initial weights; of the order of rows, dropout and noise.
    """

    encoders: dict[str, Any] | None
    splits: list[tuple[Array, Array | None]]
    weights: list[int]
    draws: list[int]


def draw(rng: np.random.RandomState) -> int:
    """A seed."""
    return int(rng.randint(2**31 - 1))


def further(seed: int, n_networks: int) -> list[np.random.RandomState]:
    """Random states of the networks beyond the first, from its seed."""
    seeds = np.random.RandomState(seed).randint(2**31 - 1, size=n_networks - 1)
    return [np.random.RandomState(own) for own in seeds]


def validation_split(
    n_samples: int,
    labels: Array | None,
    groups: Array | None,
    seed: int,
    *,
    fraction: float | str = "auto",
    limit: int | None = None,
) -> tuple[Array, Array | None]:
    """Rows to train on and at most ``limit`` rows to stop by, split once for all phases.

    Parameters
    ----------
    n_samples : int
    labels : ndarray of shape (n_samples,) or None
        To stratify by.
    groups : ndarray of shape (n_samples,) or None
        Samples of one group stay together.
    seed : int
        The same for the same rows and fraction gives the same split.
    fraction : float or "auto", default="auto"
    limit : int, default=None

    Returns
    -------
    train, valid : ndarray of int
        ``valid`` is None where there are too few samples to hold some out.
    """
    if n_samples < MIN_SAMPLES_TO_SPLIT:
        return np.arange(n_samples), None
    wanted = _held_out_share(n_samples, groups) if isinstance(fraction, str) else fraction
    share = wanted if limit is None else min(wanted, limit / n_samples)
    if np.ceil(share * n_samples) >= n_samples:
        raise ValueError(
            f"validation_fraction={fraction} of {n_samples} samples leaves none to train on."
        )
    options = {"test_size": share, "random_state": seed}
    n_groups = n_samples if groups is None else len(np.unique(groups))
    if n_groups < 2:
        raise ValueError(
            "groups has one group only, which leaves none for validation; give no groups, or "
            "early_stopping=False."
        )
    if groups is not None and labels is not None:
        n_splits = min(max(round(1 / wanted), 2), n_groups)
        splitter = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed)
    elif groups is not None:
        splitter = GroupShuffleSplit(1, **options)
    elif labels is not None and _can_stratify(labels, share):
        splitter = StratifiedShuffleSplit(1, **options)
    else:
        splitter = ShuffleSplit(1, **options)
    train, valid = next(splitter.split(np.zeros(n_samples), labels, groups))
    if limit is not None and len(valid) > limit:  # of whole groups
        valid = np.random.RandomState(seed).permutation(valid)[:limit]
    return train, valid


def _held_out_share(n_samples: int, groups: Array | None) -> float:
    if groups is not None:  # many rows may be few groups
        return MOST_HELD_OUT
    return np.clip(ROWS_HELD_OUT / n_samples, LEAST_HELD_OUT, MOST_HELD_OUT)


def _can_stratify(labels: Array, fraction: float) -> bool:
    counts = np.bincount(labels)
    n_valid = int(np.ceil(fraction * len(labels)))
    fits = len(counts) <= min(n_valid, len(labels) - n_valid)
    return fits and counts[counts > 0].min() >= 2


def resolve_encoders(
    given: Any,
    X: ModalityDict,
    own: Mapping[str, Any] | None = None,
    *,
    hidden_dim: int,
    n_layers: int,
    narrow: str,
) -> dict[str, Any]:
    """The encoder of each modality: as named, or the default of its shape.

    Parameters
    ----------
    given : str, dict of str to encoder, torch.nn.Module or callable
    X : ModalityDict
        Training data, or a sample of them.
    own : dict of str to encoder, default=None
        What "auto" is, where not the default: parts of encoders that have prepared a modality.
    hidden_dim, n_layers : int
    narrow : str
        The encoder of tables that spread over few directions.

    Raises
    ------
    ValueError
        If a name is unknown, or reads none of the blocks.
    """
    if isinstance(given, Mapping):
        unknown = set(given) - set(X)
        if unknown:
            raise ValueError(
                f"encoders names unknown modalities {sorted(unknown)}; there are {list(X)}."
            )
    elif isinstance(given, str) and given != "auto" and given not in ENCODERS:
        known = ["auto", *sorted(ENCODERS)]
        raise ValueError(f"encoders={given!r} is unknown; known are {known}.")
    reads = ENCODERS.get(given) if isinstance(given, str) else None
    own = own or {}
    resolved = {}
    for name, block in X.items():
        chosen = given.get(name, "auto") if isinstance(given, Mapping) else given
        if reads is not None:
            # one name for all goes to the blocks it is made for: an MLP to tables
            fits = reads.block(
                block.ndim - 1, reads.sparse or sparse.issparse(block), isinstance(block, Ragged)
            )
            chosen = given if fits and (reads.dims or block.ndim == 2) else "auto"
        if isinstance(chosen, str) and chosen == "auto":
            chosen = own.get(name, "auto")
        if isinstance(chosen, str) and chosen == "auto":
            chosen = _default_encoder(block, hidden_dim, n_layers, narrow)
        resolved[name] = chosen
        by_itself = reads is None and not (isinstance(given, Mapping) and name in given)
        by_itself = by_itself and name not in own
        _warn_of_axes(name, block.shape[1:], chosen, by_itself)
    if reads and reads.dims and given not in resolved.values():
        raise ValueError(
            f"encoders={given!r} reads {reads.meaning}, but no modality is such a "
            f"block: samples have shapes {X.sample_shapes}."
        )
    return resolved


def _warn_of_axes(name: str, shape: tuple[int, ...], encoder: Any, by_itself: bool) -> None:
    """Warn of a block whose axes probably mean something else than they are taken for."""
    what = ""
    pictures = encoder == "conv2d" and len(shape) == 3
    if pictures and shape[2] in IMAGE_CHANNELS and min(shape[:2]) > max(IMAGE_CHANNELS):
        what = (
            f"an image of {shape[0]} channels. If its channels are last, put them first: "
            f"numpy.moveaxis(X[{name!r}], -1, 1)"
        )
    elif encoder == "conv1d" and by_itself and shape[0] == shape[1] >= LEAST_IMAGE:
        what = (
            f"a sequence of {shape[0]} steps. If it is an image of one channel, give it that axis, "
            f"X[{name!r}][:, None]; if it is a sequence, say so by encoders={{{name!r}: 'conv1d'}}"
        )
    if what:
        warnings.warn(
            f"A sample of modality {name!r}, of shape {tuple(shape)}, is taken for {what}.",
            UserWarning,
            stacklevel=2,
        )


def _default_encoder(block: Block, hidden_dim: int, n_layers: int, narrow: str) -> str:
    name = default_encoder(block.shape[1:], sparse.issparse(block))
    if name != "mlp" or n_layers == 1:  # of one layer it is a linear map
        return name
    # a table that spreads over many directions is mapped linearly (benchmarks/evidence/wide.py)
    wide = prod(block.shape[1:]) > hidden_dim
    return "linear" if wide and effective_dimension(block) > hidden_dim else narrow
