"""What the record of a fit says about its settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import log, pi
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted

from .._search import BaseOMIBCV
from ..nn.losses import MIN_VARIANCE
from ._stages import find_omib

# Thresholds. Losses and gains count as shares of the prior loss, which is what can be gained.
NOTHING = 0.02  # a gain below it is within the noise of a validation part
CLOSED = 0.1  # nats of KL, all modalities together
UNUSED = 0.05  # KL of a modality as a share of the largest
UNUSED_ALONE = 0.1  # the same, where the modality knew nothing alone
DOMINANT = 0.9  # share of all KL
JUMP = 0.15  # of a weight, from epoch to epoch; weights lie in (0, 2) for "reference"
FALLING = 0.01  # gain over the last epochs of a fit that is not settled
AT_ONCE = 3  # epochs in which the best one should not be,
RISE = 0.1  # where the loss rises by so much from there
CARRIED_OVER = 0.5  # share of the training gain that validation should see


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Attributes
    ----------
    name : str
        What it is called.
    seen : str
        What was seen, in numbers.
    change : str
        What to change, by names of parameters.
    """

    name: str
    seen: str
    change: str

    def __str__(self) -> str:
        return f"{self.name}: {self.seen}\n    {self.change}"


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """What :func:`diagnose` found. ``len`` counts the findings, ``print`` tells them.

    Attributes
    ----------
    findings : tuple of Finding
    summary : str
        The fit in one sentence.
    """

    findings: tuple[Finding, ...]
    summary: str

    @property
    def table(self) -> pd.DataFrame:
        """The findings as a DataFrame with columns name, seen and change."""
        return pd.DataFrame(self.findings, columns=["name", "seen", "change"])

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __str__(self) -> str:
        counted = f"{len(self)} finding{'s' * (len(self) != 1)}" if len(self) else "No finding"
        return "\n".join([f"{self.summary}\n{counted}.", *(f"- {one}" for one in self)])

    __repr__ = __str__


def diagnose(estimator: BaseEstimator) -> Diagnosis:
    """Read off a fitted OMIB what went wrong in its training, and what to change.

    Needs no data: everything is in ``history_`` and the fitted attributes. Looked for are

    - a representation that predicts no better than a constant, or than one branch did alone;
    - a closed bottleneck, beta above M_u or above 1 / W;
    - a modality that is unused or dominates, by the KL of its code, an upper bound on what it
      tells the representation;
    - dynamic weights that jump from epoch to epoch;
    - training that was cut short, or that does not carry over to the validation part;
    - a warm-up that learned nothing.

    Parameters
    ----------
    estimator : fitted OMIBClassifier, OMIBRegressor or their search over beta
        Or a pipeline or search that ends in one.

    Returns
    -------
    Diagnosis

    Raises
    ------
    TypeError
        If the estimator is no OMIB, or detects anomalies.
    NotFittedError
        If it is not fitted.

    Notes
    -----
    These are rules of thumb. Thresholds stand at the head of the module; losses are compared with
    ``prior_loss_``, that of the best constant prediction.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib import OMIBClassifier
    >>> from sklearn_omib.inspection import diagnose
    >>> rng = np.random.default_rng(0)
    >>> X = {"audio": rng.normal(size=(200, 3)), "video": rng.normal(size=(200, 3))}
    >>> y = X["audio"][:, 0] + X["video"][:, 0] > 0
    >>> clf = OMIBClassifier(max_epochs=4, random_state=0).fit(X, y)
    >>> [finding.name for finding in diagnose(clf)]
    ['training cut short']
    """
    estimator = find_omib(estimator)
    if isinstance(estimator, OutlierMixin):
        raise TypeError(
            "diagnose compares losses with that of a constant prediction, which a detector of "
            f"anomalies has not; got {type(estimator).__name__}."
        )
    if isinstance(estimator, BaseOMIBCV):
        return _diagnose_search(estimator)
    check_is_fitted(estimator, "history_")
    record = _Record(estimator)
    return Diagnosis(tuple(one for rule in RULES for one in rule(record)), record.summary())


def _diagnose_search(search: Any) -> Diagnosis:
    check_is_fitted(search, "estimators_")
    findings, n_networks = list(_edge_of_grid(search)), len(search.estimators_)
    for i, estimator in enumerate(search.estimators_):
        where = f"network {i}, " if n_networks > 1 else ""
        findings += [Finding(where + one.name, one.seen, one.change) for one in diagnose(estimator)]
    summary = f"{type(search).__name__}: beta {search.beta_:.2g} per nat, {n_networks} network(s)."
    return Diagnosis(tuple(findings), summary)


def _edge_of_grid(search: Any) -> Iterator[Finding]:
    betas = search.betas_
    for edge, what in ((betas.min(), "smallest"), (betas.max(), "largest")):
        if len(betas) > 1 and search.beta_ == edge > 0:
            yield Finding(
                "beta at the edge of the grid",
                f"the best beta, {edge:.2g} per nat, is the {what} of {len(betas)}.",
                "Give betas a list of values that reaches further.",
            )


class _Record:
    """The history of the last fit, in the terms of the rules."""

    def __init__(self, estimator: Any) -> None:
        history = estimator.history_
        self.estimator, self.names = estimator, list(estimator.modalities_)
        self.prior = estimator.prior_loss_
        self.main = history[history.phase == "main"].tail(estimator.n_iter_)
        # a partial_fit that follows a fit holds nothing out
        held_out = "valid_task_loss" in self.main and self.main.valid_task_loss.notna().all()
        self.part, self.part_name = ("valid", "validation") if held_out else ("train", "training")
        self.loss = self.main[f"{self.part}_task_loss"].to_numpy()
        self.kept = self.loss.argmin() if self.part == "valid" else len(self.loss) - 1
        self.gain = self.prior - self.loss[self.kept]
        self.kl = self._kl(self.main.iloc[self.kept])
        self.last_kl = self._kl(self.main.iloc[-1])
        self.alone = self._gains_alone(history[history.phase == "warm-up"])
        self.is_cut_short = (
            len(self.loss) >= estimator.recipe_.max_epochs
            and self.kept >= 0.9 * len(self.loss) - 1
            and self.recent_gain() > FALLING * abs(self.prior)
        )

    def _kl(self, row: pd.Series) -> dict[str, float]:
        return {name: row[f"{self.part}_kl_{name}"] for name in self.names}

    def _gains_alone(self, warm_up: pd.DataFrame) -> dict[str, float]:
        """By how much each branch beat a constant at the end of the warm-up, in nats.

        The less of training and validation: a small validation part may be lucky.
        """
        if not len(warm_up):
            return {}
        last = warm_up.iloc[-1]
        return {
            name: self.prior
            - max(
                self._with_fitted_variance(last[f"{part}_branch_loss_{name}"])
                for part in {"train", self.part}
            )
            for name in self.names
        }

    def _with_fitted_variance(self, loss: float) -> float:
        """A warm-up loss of regression, which takes the residual variance for 1, as in main."""
        task = self.estimator.net_.criterion_.task
        if not hasattr(task, "variance"):
            return loss
        n = len(task.variance)
        squared = max(2 * loss / n - log(2 * pi), MIN_VARIANCE)
        return n / 2 * (log(squared) + 1 + log(2 * pi))

    def recent_gain(self) -> float:
        before = max(0, len(self.loss) - 1 - self.estimator.n_iter_no_change)
        return self.loss[before] - self.loss[self.kept]

    def is_nothing(self, gain: float) -> bool:
        return gain < NOTHING * abs(self.prior)

    def summary(self) -> str:
        kl = ", ".join(f"{name} {value:.2g}" for name, value in self.kl.items())
        return (
            f"{type(self.estimator).__name__}: {len(self.loss)} epochs, number {self.kept + 1} "
            f"kept; {self.part_name} task loss {self.loss[self.kept]:.3g} nats, {self.prior:.3g} "
            f"for a constant; KL {kl} nats."
        )


# -- rules: each yields what it finds in a record --------------------------------------------------
def _cut_short(record: _Record) -> Iterator[Finding]:
    if record.is_cut_short:
        n = len(record.loss)
        yield Finding(
            "training cut short",
            f"the {record.part_name} task loss was still falling when all {n} epochs were over: "
            f"the best is number {record.kept + 1}, and the last ones gained "
            f"{record.recent_gain():.2g} nats.",
            f"Raise max_epochs above {n}, or learning_rate above "
            f"{record.estimator.recipe_.learning_rate:g}.",
        )


def _learned_nothing(record: _Record) -> Iterator[Finding]:
    if record.is_nothing(record.gain) and not record.is_cut_short:
        yield Finding(
            "no better than a constant",
            f"the task loss is {record.loss[record.kept]:.3g} nats, that of the best constant "
            f"{record.prior:.3g}.",
            f"Lower beta_scale (beta is {record.estimator.beta_:.2g} per nat); if beta=0 does not "
            "help, the target may not be in the data.",
        )


def _worse_than_alone(record: _Record) -> Iterator[Finding]:
    if not record.alone or record.is_cut_short:
        return
    best = max(record.alone, key=record.alone.__getitem__)
    lost = record.alone[best] - record.gain
    if lost > NOTHING * abs(record.prior):
        yield Finding(
            "over-compressed",
            f"at the end of the warm-up the branch of {best!r} gained {record.alone[best]:.2g} "
            f"nats alone, the representation gains {max(record.gain, 0):.2g}.",
            f"Lower beta_scale; beta is {record.estimator.beta_:.2g} per nat, M_u "
            f"{record.estimator.beta_bounds_.upper:.2g}.",
        )


def _closed(record: _Record) -> Iterator[Finding]:
    total = sum(record.last_kl.values())
    if total < CLOSED:
        yield Finding(
            "closed bottleneck",
            f"in the last epoch all codes together take {total:.2g} nats of KL, which bounds what "
            "the representation knows.",
            f"Lower beta_scale; beta is {record.estimator.beta_:.2g} per nat.",
        )


def _beta_above(record: _Record) -> Iterator[Finding]:
    estimator, bounds = record.estimator, record.estimator.beta_bounds_
    beta, limit = estimator.beta_, 1 / bounds.total_weight
    if beta > limit:
        seen = (
            f"beta is {beta:.3g} per nat; above 1/W = {limit:.3g} a nat costs more than it gains."
        )
    elif beta > 1.01 * bounds.upper:
        seen = (
            f"beta is {beta:.3g} per nat, above M_u = {bounds.upper:.3g}, where the theorem ends."
        )
    else:
        return
    yield Finding("beta above its bound", seen, "Lower beta or beta_scale, or set beta='auto'.")


def _unused(record: _Record) -> Iterator[Finding]:
    largest = max(record.kl.values())
    for name in record.names:
        share = record.kl[name] / largest if largest > CLOSED else 1.0
        knew = not record.is_nothing(record.alone.get(name, np.inf))
        if share >= (UNUSED if knew else UNUSED_ALONE):
            continue
        seen = f"its code takes {record.kl[name]:.2g} nats of KL, the largest {largest:.2g}"
        if knew:
            change = (
                "Others may say the same, or the price shuts it out: see modality_ablation, lower "
                "beta_scale, or set weighting='symmetric'."
            )
        else:
            seen += ", and its branch learned nothing in the warm-up"
            change = "Leave it out, or see modality_ablation for what it adds to others."
        yield Finding(f"unused modality {name!r}", f"{seen}.", change)


def _dominant(record: _Record) -> Iterator[Finding]:
    total = sum(record.kl.values())
    unused = any(True for _ in _unused(record))
    for name, value in record.kl.items():
        if len(record.names) > 1 and not unused and value > max(DOMINANT * total, CLOSED):
            yield Finding(
                f"dominant modality {name!r}",
                f"its code takes {value:.2g} of {total:.2g} nats of KL.",
                "If the others should tell more: raise warmup_epochs or trb_weight, set "
                "weighting='symmetric', or lower beta_scale.",
            )


def _unstable_weights(record: _Record) -> Iterator[Finding]:
    settled = record.main.iloc[len(record.main) // 2 :]
    for name in record.names:
        jumps = np.abs(np.diff(settled[f"weight_{name}"]))
        if len(jumps) and jumps.mean() > JUMP:
            yield Finding(
                f"unstable weight of {name!r}",
                f"it moves by {jumps.mean():.2g} from epoch to epoch, between "
                f"{settled[f'weight_{name}'].min():.2g} and {settled[f'weight_{name}'].max():.2g}.",
                "Set weighting='fixed', lower learning_rate, or raise dropout, so that branches do "
                "not fit their training labels exactly.",
            )


def _overfitting(record: _Record) -> Iterator[Finding]:
    if record.part != "valid":
        return
    rise = record.loss[-1] - record.loss[record.kept]
    if record.kept < AT_ONCE and rise > RISE * abs(record.prior):
        yield Finding(
            "overfitting from the start",
            f"the validation task loss is best after epoch {record.kept + 1} and {rise:.2g} nats "
            f"worse after {len(record.loss)}.",
            "Lower learning_rate, so that the best moment is not stepped over; raise dropout, "
            "input_dropout, weight_decay or beta_scale.",
        )
        return
    on_training = record.prior - record.main.iloc[record.kept].train_task_loss
    gained = on_training > 2 * NOTHING * abs(record.prior)
    if gained and record.gain < CARRIED_OVER * on_training:
        yield Finding(
            "overfitting",
            f"of {on_training:.2g} nats gained on the training part the validation part sees "
            f"{max(record.gain, 0):.2g}.",
            "Raise dropout, input_dropout, weight_decay or beta_scale, or lower hidden_dim and "
            "latent_dim.",
        )


def _warm_up_learned_nothing(record: _Record) -> Iterator[Finding]:
    if not record.alone or not all(map(record.is_nothing, record.alone.values())):
        return
    gains = ", ".join(f"{name} {max(gain, 0):.2g}" for name, gain in record.alone.items())
    found = "" if record.is_nothing(record.gain) else f"; together they gain {record.gain:.2g}"
    epochs = record.estimator.recipe_.warmup_epochs
    yield Finding(
        "warm-up learned nothing",
        f"after warmup_epochs={epochs} no branch beats a constant alone (nats gained: "
        f"{gains}){found}.",
        "If only the combination of modalities tells the target: beta_scale=0.01, dropout=0.2, "
        "input_dropout=0, n_iter_no_change=40. Else raise warmup_epochs or learning_rate.",
    )


RULES = (
    _cut_short,
    _learned_nothing,
    _worse_than_alone,
    _closed,
    _beta_above,
    _unused,
    _dominant,
    _unstable_weights,
    _overfitting,
    _warm_up_learned_nothing,
)
