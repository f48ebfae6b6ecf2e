"""Latent factors of synthetic modalities: who carries them, how they become features.

Modality m is v_m = g_m(A_m u_m + s_m e_m): u_m are the factors it carries, independent and
standard normal, A_m has orthonormal columns, e_m is standard normal noise, g_m an invertible map.
So each modality shows a factor it carries once, with noise of variance s_m^2 and apart from all
others, and g_m changes nothing that the modality tells: information is closed-form.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from numbers import Integral, Real
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .._typing import Array

Key: TypeAlias = str | tuple[str, ...]  # of one modality, or of several

DEFAULT_IMPORTANCE = {"shared": 1.0, "pairwise": 1.0, "specific": 1.0, "synergy": 0.0}
BEND = 2.0  # of the nonlinear map: a linear probe finds factors with R2 .61 instead of .80
MAX_SUBSETS_OF = 6  # modalities up to which every subset is described


class Part(NamedTuple):
    """Some factors carried by the same modalities."""

    members: tuple[int, ...]
    width: int
    share: float  # of the variance of the score; 0 where only a product counts, and in nuisance
    relevant: bool


@dataclass(frozen=True)
class FactorModel:
    """Parts by name, noise of each modality, share of the score's variance that is synergy."""

    parts: dict[str, Part]
    noise: Array
    synergy: float

    def known(self, seen: Collection[int], noise: Array) -> dict[str, float]:
        """Share of the variance of each part's factors that the modalities seen explain."""
        with np.errstate(divide="ignore"):
            precision = noise**-2.0
            return {
                name: 1 / (1 + 1 / precision[[m for m in part.members if m in seen]].sum())
                for name, part in self.parts.items()
            }

    def total_correlation(self, seen: Collection[int] | None = None) -> float:
        """sum_m h(v_m) - h(v_1, ..) of the modalities seen, in nats: for two, I(v_i; v_j)."""
        total = 0.0
        for part in self.parts.values():
            of_members = [m for m in part.members if seen is None or m in seen]
            covariance = np.diag(self.noise[of_members] ** 2) + 1
            log_det = np.linalg.slogdet(covariance)[1] if of_members else 0.0
            total += part.width / 2 * (np.log(np.diag(covariance)).sum() - log_det)
        return float(total)

    @property
    def subsets(self) -> dict[Key, tuple[int, ...]]:
        """Members by key: the position of one, a tuple of several, "all"."""
        n = len(self.noise)
        sizes = range(1, n) if n <= MAX_SUBSETS_OF else [1]
        chosen = [seen for size in sizes for seen in combinations(range(n), size)]
        return {**{modality_key(seen): seen for seen in chosen or [(0,)]}, "all": tuple(range(n))}


def modality_name(m: int) -> str:
    """As the container names the blocks of a list."""
    return f"modality_{m}"


def modality_key(seen: Sequence[int]) -> Key:
    """The name of one modality, or a tuple of names."""
    return modality_name(seen[0]) if len(seen) == 1 else tuple(map(modality_name, seen))


def per_modality(name: str, value: Any, n_modalities: int) -> list[Any]:
    """One value per modality, from one for all or a list."""
    values = [value] * n_modalities if np.isscalar(value) else list(value)
    numbers = all(isinstance(one, (Real, np.bool_)) for one in values)
    if len(values) != n_modalities or not numbers:
        raise ValueError(
            f"{name} must be one number or a list of n_modalities={n_modalities} numbers, got "
            f"{value!r}."
        )
    return values


def factor_model(
    n_modalities: int,
    widths: Mapping[str, int],
    importance: Mapping[str, float] | None,
    noise: float | Sequence[float],
) -> FactorModel:
    """Lay out the parts of the given widths by kind, and share the variance of the score out."""
    layout = [part for part in _layout(n_modalities) if widths[part[1]]]
    relevant = {name: kind for name, kind, _ in layout if kind in DEFAULT_IMPORTANCE}
    shares = _shares(relevant, importance)
    parts = {
        name: Part(members, widths[kind], shares.get(name, 0.0), name in relevant)
        for name, kind, members in layout
    }
    if shares["synergy"]:
        if n_modalities < 2:
            raise ValueError("importance of 'synergy' needs n_modalities of at least 2, got 1.")
        parts.update({f"synergy_{m}": Part((m,), 1, 0.0, True) for m in (0, 1)})
    deviations = np.array(per_modality("modality_noise", noise, n_modalities), dtype=float)
    if not (deviations >= 0).all():
        raise ValueError(f"modality_noise must not be negative, got {deviations.tolist()}.")
    return FactorModel(parts, deviations, shares["synergy"])


def _layout(n_modalities: int) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Yield name, kind and members of every part there may be."""
    everyone = tuple(range(n_modalities))
    for kind in ("shared", "shared_nuisance"):
        yield kind, kind, everyone
    for pair in combinations(everyone, 2) if n_modalities > 2 else ():
        yield "pairwise_{}_{}".format(*pair), "pairwise", pair
    for kind in ("specific", "specific_nuisance"):
        for m in everyone:
            yield f"{kind}_{m}", kind, (m,)


def _shares(kinds: Mapping[str, str], importance: Mapping[str, float] | None) -> dict[str, float]:
    """Share of the score's variance, of each part of the kinds given and of the synergy."""
    importance = {} if importance is None else importance
    kinds = {**kinds, "synergy": "synergy"}
    allowed = list(dict.fromkeys([*DEFAULT_IMPORTANCE, *kinds]))
    for name, value in importance.items():
        if name not in allowed or not value >= 0:
            raise ValueError(
                f"importance must map parts to numbers of at least 0, got {value!r} for {name!r}; "
                f"parts are {allowed}."
            )
    of_kind = {**DEFAULT_IMPORTANCE, **importance}
    raw = {name: importance.get(name, of_kind[kind]) for name, kind in kinds.items()}
    if not (total := sum(raw.values())) > 0:
        raise ValueError(f"A part must matter, got importance={importance!r} for {list(raw)}.")
    return {name: float(value / total) for name, value in raw.items()}


def draw_factors(
    model: FactorModel, n_samples: int, rng: np.random.RandomState
) -> dict[str, Array]:
    """Values of the factors of each part: arrays of shape (n_samples, width)."""
    return {name: rng.normal(size=(n_samples, part.width)) for name, part in model.parts.items()}


def draw_coefficients(
    model: FactorModel, n_targets: int, rng: np.random.RandomState
) -> dict[str, Array]:
    """Directions of each part in the score, (width, n_targets), of squared length its share."""
    coef = {}
    for name, part in model.parts.items():
        if part.share:
            direction = rng.normal(size=(part.width, n_targets))
            coef[name] = direction * np.sqrt(part.share / np.sum(direction**2, 0))
    return coef


def synergy_sign(factors: Mapping[str, Array]) -> Array:
    """Product of the signs of the two factors of the synergy: shape (n_samples, 1)."""
    return np.sign(factors["synergy_0"]) * np.sign(factors["synergy_1"])


def draw_features(
    model: FactorModel,
    factors: Mapping[str, Array],
    n_features: int | Sequence[int],
    mixing: str,
    rng: np.random.RandomState,
) -> tuple[dict[str, Array], dict[str, dict[str, Array]]]:
    """Features of each modality, and its loadings: matrices (n_features, width) by part."""
    n_samples = len(next(iter(factors.values())))
    widths = per_modality("n_features", n_features, len(model.noise))
    blocks, loadings = {}, {}
    for m, width in enumerate(widths):
        carried = [name for name, part in model.parts.items() if m in part.members]
        count = sum(model.parts[name].width for name in carried)
        if not isinstance(width, Integral) or width < max(count, 1):
            raise ValueError(
                f"n_features of {modality_name(m)!r} must be an integer no less than the number of "
                f"factors it carries, {count}, got {width!r}."
            )
        matrix = np.linalg.qr(rng.normal(size=(width, count)))[0]
        block = np.hstack([factors[name] for name in carried]) @ matrix.T if carried else 0.0
        block = block + model.noise[m] * rng.normal(size=(n_samples, width))
        edges = np.cumsum([model.parts[name].width for name in carried])[:-1]
        loadings[modality_name(m)] = dict(
            zip(carried, np.split(matrix, edges, axis=1), strict=True)
        )
        blocks[modality_name(m)] = _couple(block, rng) if mixing == "nonlinear" else block
    return blocks, loadings


def _couple(v: Array, rng: np.random.RandomState) -> Array:
    """Shift each half of the features by a random function of the other.

    Additive coupling layers (Dinh, Krueger, Bengio, "NICE", ICLR 2015 workshop): invertible, since
    what a half is shifted by can be computed again from the other and taken away.
    """
    v = v.copy()
    first, second = np.array_split(np.arange(v.shape[1]), 2)
    for moved, given in ((second, first), (first, second)):
        frequencies = rng.normal(size=(len(given), len(moved))) / np.sqrt(max(len(given), 1))
        phases = rng.uniform(0, 2 * np.pi, len(moved))
        v[:, moved] += BEND * np.cos(v[:, given] @ frequencies + phases)
    return v


def lose_modalities(
    blocks: Mapping[str, Array], missing: float | Sequence[float], rng: np.random.RandomState
) -> Array:
    """Put NaN where a sample lacks a modality; every sample keeps one. Returns what is there."""
    shares = np.array(per_modality("missing", missing, len(blocks)), dtype=float)
    if not ((shares >= 0) & (shares < 1)).all():
        raise ValueError(f"missing must lie in [0, 1), got {shares.tolist()}.")
    n_samples = len(next(iter(blocks.values())))
    present = rng.uniform(size=(n_samples, len(blocks))) >= shares
    bare = np.flatnonzero(~present.any(1))
    present[bare, rng.randint(len(blocks), size=len(bare))] = True
    for block, there in zip(blocks.values(), present.T, strict=True):
        block[~there] = np.nan
    return present
