"""Whether the data are what the theory of OMIB supposes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from .._typing import Array, Modalities, RandomState
from ..data.container import ModalityDict, check_modalities
from ..data.per_sample import check_entries
from ..information import estimate_beta_bounds, mutual_information
from ..information._pairs import is_count, normal_scores, numeric, principal_components
from ._target import Target

Verdict: TypeAlias = tuple[str, bool, str, str]  # assumption, holds, seen, meaning

MAX_COMPONENTS = 10  # of each modality, where dependence given the target is tested
ALPHA = 0.05  # level of the test, for all pairs together
STABLE = 0.1  # relative width of the interval of M_u
DETERMINED = 0.9  # share of H(y) from which the target counts as determined


@dataclass(frozen=True, repr=False)
class AssumptionReport:
    """What :func:`check_assumptions` found; ``print`` tells it in words.

    Attributes
    ----------
    verdicts : DataFrame
        One row per assumption: ``holds``, ``seen`` (in numbers) and ``meaning``. Two of them are
        about several modalities and left out where there is one.
    modalities : DataFrame
        Information on y in nats, for each modality and all of them: ``alone`` and ``given_rest``,
        I(y; v_m | the others), with standard errors.
    pairs : DataFrame
        One row per pair of modalities: the decomposition of their information on y in nats
        (``redundant``, ``unique_first``, ``unique_second``, ``synergy``, ``co_information``), and
        ``dependence``, I(v_i; v_j | y), with ``p_value``.
    bound : Series
        M_u: ``upper``, from all samples; ``low`` and ``high``, the interval; ``drift``, the mean
        over half samples relative to ``upper``.
    target_entropy : float
        H(y) in nats for labels; NaN for numbers.
    """

    verdicts: pd.DataFrame
    modalities: pd.DataFrame
    pairs: pd.DataFrame
    bound: pd.Series
    target_entropy: float

    @property
    def table(self) -> pd.DataFrame:
        """The verdicts."""
        return self.verdicts

    def __str__(self) -> str:
        lines = []
        for name, row in self.verdicts.iterrows():
            lines += [f"[{'holds' if row.holds else 'does not hold'}] {name}"]
            lines += [f"    {row.seen}", f"    {row.meaning}"]
        return "\n".join(lines)

    __repr__ = __str__


def check_assumptions(
    X: Modalities,
    y: ArrayLike,
    *,
    model: BaseEstimator | None = None,
    cv: Any = 5,
    weighting: str = "reference",
    n_permutations: int = 100,
    n_resamples: int = 20,
    n_jobs: int | None = None,
    random_state: RandomState = None,
) -> AssumptionReport:
    r"""Check on data what the theory of OMIB supposes of modalities and target.

    **Information on the target** is what a cross-validated model gains over a constant: with
    labels I(y; v) >= H(y) - cross-entropy, with numbers, brought to normal scores,
    I(y; v) >= 1/2 ln(det Cov(y) / det Cov(error)). These are lower bounds, as good as the model:
    a linear one, the default, overlooks what only interactions tell.

    **Decomposition.** For two modalities, I(y; v_1, v_2) is split as redundant + unique + unique +
    synergy with the redundancy of Barrett (2015), min(I(y; v_1), I(y; v_2)): for jointly Gaussian
    variables and a single y, that of every decomposition whose redundancy depends on nothing but
    how each modality goes with y. The co-information I(y; v_1) + I(y; v_2) - I(y; v_1, v_2),
    redundancy minus synergy, depends on no such choice.

    **Dependence given the target**, I(v_1; v_2 | y), is a Gaussian-copula mutual information of
    normal scores within classes, or of what linear regression on y leaves of them; of the first
    principal components where a modality is wide. It is tested against permutations (within
    classes) of one modality's rows.

    **Stability of M_u** is its interval over random halves of the samples, whose spread is that of
    the estimate from all of them.

    Parameters
    ----------
    X : dict, ModalityDict or any form :func:`~sklearn_omib.check_modalities` accepts
        Blocks outside memory are loaded.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Labels: strings, booleans and integers of few distinct values; else numbers.
    model : estimator, default=None
        What measures information on y: a classifier with ``predict_proba`` or a regressor, of the
        flattened modalities side by side. None is logistic or ridge regression of standardised
        columns.
    cv : int or splitter, default=5
        Folds of the model; an int shuffles, and stratifies by label.
    weighting : {"reference", "symmetric", "fixed"}, default="reference"
        Of the bound.
    n_permutations : int, default=100
        Of the test; p is at least 1 / (n_permutations + 1), and so is the level at which each pair
        is judged: for 5 % over all pairs together, take 20 per pair or more.
    n_resamples : int, default=20
        Random halves of the samples.
    n_jobs : int, default=None
        Folds fitted at the same time, by joblib.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    AssumptionReport

    Raises
    ------
    ValueError
        If X and y differ in length or hold NaN, y is constant or an output of it is determined by
        the others, or ``n_permutations`` or ``n_resamples`` is not a positive int.

    References
    ----------
    Barrett, "Exploration of synergistic and redundant information sharing in static and dynamical
    Gaussian systems", Physical Review E 91, 2015. Xu et al., "A theory of usable information under
    computational constraints", ICLR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib.inspection import check_assumptions
    >>> rng = np.random.default_rng(0)
    >>> X = {"audio": rng.normal(size=(300, 3)), "video": rng.normal(size=(300, 3))}
    >>> y = (X["audio"][:, 0] > 0).astype(int)
    >>> report = check_assumptions(X, y, n_permutations=20, random_state=0)
    >>> report.verdicts["holds"].tolist()
    [True, False, True, False, True]
    >>> list(report.modalities.index[report.modalities.alone > 0.1])
    ['audio', 'all']
    """
    for name, value in (("n_permutations", n_permutations), ("n_resamples", n_resamples)):
        if not is_count(value):
            raise ValueError(f"{name} must be a positive int, got {value!r}.")
    X = check_modalities(X)
    y = np.asarray(check_entries("y", y, len(X)))
    if (y == y[:1]).all():
        raise ValueError("y is constant; there is nothing to know of it.")
    rng = check_random_state(random_state)
    blocks = {name: numeric(block, f"Modality {name!r}") for name, block in X.items()}
    empty = [name for name, block in blocks.items() if not block.size]
    if empty:
        raise ValueError(f"Modality {empty[0]!r} has no values: samples of {X.sample_shapes}.")
    target = Target(y, model, cv, n_jobs, rng.randint(2**31 - 1))

    @cache
    def local(*names: str) -> Array:
        return target.local_information(np.hstack([blocks[name] for name in names]))

    modalities = _information(list(blocks), local)
    pairs = _pairs(blocks, local, target, n_permutations, rng)
    bound = _bound(X, weighting, n_resamples, rng)
    verdicts = [*_determined(modalities, target), _stability(bound)]
    if len(blocks) > 1:
        level = max(ALPHA / len(pairs), 1 / (n_permutations + 1))  # the least p there is
        verdicts = [_independence(pairs, level), _every_one_adds(modalities), *verdicts]
    table = pd.DataFrame(verdicts, columns=["assumption", "holds", "seen", "meaning"])
    return AssumptionReport(table.set_index("assumption"), modalities, pairs, bound, target.entropy)


def _information(names: list[str], local: Callable[..., Array]) -> pd.DataFrame:
    """Table of I(y; v_m) and I(y; v_m | rest), and of I(y; all)."""
    everything = local(*names)
    rows = {}
    for name in names:
        rest = [other for other in names if other != name]
        added = everything - local(*rest) if rest else everything
        rows[name] = _with_error("alone", local(name)) | _with_error("given_rest", added)
    rows["all"] = _with_error("alone", everything) | {"given_rest": np.nan, "given_rest_se": np.nan}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("modality")


def _with_error(name: str, local: Array) -> dict[str, float]:
    return {name: local.mean(), f"{name}_se": local.std(ddof=1) / np.sqrt(len(local))}


def _pairs(
    blocks: Mapping[str, Array],
    local: Callable[..., Array],
    target: Target,
    n_permutations: int,
    rng: np.random.RandomState,
) -> pd.DataFrame:
    """Table of how two modalities share what they know of y, and of their dependence given y."""
    n_components = min(MAX_COMPONENTS, max(2, len(target.values) // 50))
    left = {
        name: target.remove_from(principal_components(normal_scores(block), n_components))
        for name, block in blocks.items()
    }
    rows = {}
    for a, b in combinations(blocks, 2):
        known = [max(local(*names).mean(), 0) for names in ((a,), (b,), (a, b))]
        rows[f"{a}, {b}"] = _decomposition(*known) | _dependence(
            left[a], left[b], target, n_permutations, rng
        )
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("pair")


def _decomposition(first: float, second: float, both: float) -> dict[str, float]:
    redundant = min(first, second)
    return {
        "redundant": redundant,
        "unique_first": first - redundant,
        "unique_second": second - redundant,
        "synergy": both - max(first, second),
        "co_information": first + second - both,
    }


def _dependence(
    a: Array, b: Array, target: Target, n_permutations: int, rng: np.random.RandomState
) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of ties, once per permutation

        def measure(order: Array) -> float:
            return mutual_information(a[order], b, method="copula", discrete_target=False).value

        seen = measure(np.arange(len(a)))
        null = [measure(target.permutation(rng)) for _ in range(n_permutations)]
    p_value = (1 + sum(value >= seen for value in null)) / (1 + n_permutations)
    return {"dependence": seen - float(np.mean(null)), "p_value": p_value}


def _bound(
    X: ModalityDict, weighting: str, n_resamples: int, rng: np.random.RandomState
) -> pd.Series:
    """M_u of all samples, and over random halves of them."""
    upper = estimate_beta_bounds(X, weighting=weighting).upper
    halves = np.array(
        [
            estimate_beta_bounds(
                X[rng.permutation(len(X))[: len(X) // 2]], weighting=weighting
            ).upper
            for _ in range(n_resamples)
        ]
    )
    low, high = upper + np.quantile(halves - halves.mean(), [0.025, 0.975])
    drift = halves.mean() / upper - 1
    return pd.Series({"upper": upper, "low": low, "high": high, "drift": drift}, name="M_u")


# -- verdicts --------------------------------------------------------------------------------------
def _independence(pairs: pd.DataFrame, level: float) -> Verdict:
    dependent = pairs[pairs.p_value <= level]
    seen = "; ".join(
        f"I({pair} | y) = {row.dependence:.2g} nats, p = {row.p_value:.2g}"
        for pair, row in (dependent if len(dependent) else pairs).iterrows()
    )
    meaning = "What they have in common is the target's."
    if len(dependent):
        meaning = (
            "Where y is known, one tells of the other: they share nuisance, which may be coded "
            "twice, or y combines them (synergy, in the table of pairs). The step of the proof "
            "that takes zeta_2 as independent of z_1 given zeta_1 (eq. 40) is not exact."
        )
    return "modalities are independent given the target", not len(dependent), f"{seen}.", meaning


def _determined(modalities: pd.DataFrame, target: Target) -> Iterator[Verdict]:
    known, error = modalities.loc["all", ["alone", "alone_se"]]
    if target.discrete:
        share = known / target.entropy
        seen = f"I(y; all) >= {known:.2g} +- {error:.1g} of H(y) = {target.entropy:.2g} nats."
    else:
        share = 1 - np.exp(-2 * known / target.values.shape[1])
        seen = f"I(y; all) >= {known:.2g} +- {error:.1g} nats, a share of variance of {share:.2g}."
    yield (
        "the modalities tell of the target",
        known > 2 * error,
        seen,
        "A model of them together is compared with a constant, on rows it has not seen.",
    )
    yield (
        "the target is a function of the modalities",
        share >= DETERMINED,
        f"The model explains {max(share, 0):.0%} of it.",
        "The theorem supposes no noise. With noise, or with a weak signal, a piece of information "
        "is kept only below a beta of its own, so search for beta below M_u."
        if share < DETERMINED
        else "As the theorem supposes.",
    )


def _every_one_adds(modalities: pd.DataFrame) -> Verdict:
    table = modalities.drop(index="all")
    adds = table.given_rest > 2 * table.given_rest_se
    seen = "; ".join(
        f"{name} {row.given_rest:.2g} +- {row.given_rest_se:.1g}" for name, row in table.iterrows()
    )
    meaning = "Each knows something of the target that the others do not."
    if not adds.all():
        meaning = (
            f"Not seen to add anything: {', '.join(table.index[~adds])}. Redundant or useless; "
            "modality_ablation tells what leaving it out costs."
        )
    return ("every modality adds to the others", bool(adds.all()),
            f"I(y; v_m | the others), nats: {seen}.", meaning)  # fmt: skip


def _stability(bound: pd.Series) -> Verdict:
    width = (bound.high - bound.low) / bound.upper
    seen = (
        f"M_u = {bound.upper:.3g} per nat, [{bound.low:.3g}, {bound.high:.3g}]; half the samples "
        f"give {bound.drift:+.1%}."
    )
    stable = bool(width <= STABLE and abs(bound.drift) <= STABLE)
    meaning = (
        "The bound hardly depends on which samples are seen."
        if stable
        else "Take M_u for a scale only: search over beta_scale, or reduce wide modalities (PCA)."
    )
    return "M_u is stable", stable, seen, meaning
