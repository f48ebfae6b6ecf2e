"""Mutual Information Neural Estimation (Belghazi et al., ICML 2018)."""

from __future__ import annotations

import time
from math import log, nan
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from torch import nn

from .._typing import Array, RandomState
from ..nn.environment import plain_torch
from ..nn.random import seeded_initialisation
from ._critic import Critic, GaussianRatio, scores
from ._pairs import Pair, check_lengths, fewer_columns, is_count, numeric
from ._result import Measured, MIResult, MutualInformationEstimator
from ._variational import BOUNDS, Bound, donsker_varadhan

_Sides: TypeAlias = tuple[torch.Tensor, torch.Tensor]

EVALUATE_EVERY = 50
HELD_OUT_SHIFTS = 20  # pairs drawn from the product of marginals per held-out row
MAX_HELD_OUT = 1000
SMOOTHING = 5  # evaluations averaged before the best is taken
MAX_GAP = 1.0  # nats by which training may exceed the held-out bound without a warning
RISING = 0.05  # nats gained over the last evaluations that ask for more steps


class MINE(MutualInformationEstimator):
    r"""Lower bound on I(x; y) from a network T that tells pairs from shuffled pairs.

    .. math:: I(x; y) \ge \mathbb{E}_{p(x,y)}[T] - \ln \mathbb{E}_{p(x)p(y)}[e^T]

    the Donsker-Varadhan bound. Features become normal scores of their ranks; labels are one-hot. A
    fifth of the samples is held out; the value reported is the best moving average of the bound on
    these, never on training data, where the bound grows without limit.

    T begins as the log-ratio of a Gaussian fitted to the training samples, and the network learns
    what is missing from it: with 16 + 16 Gaussian columns that share 2 nats, 10,000 samples give
    1.8 without this start and 2.0 with it, and nothing was lost on dependence that is not Gaussian.

    Promised: no change under increasing maps of single columns (up to rounding).

    Parameters
    ----------
    hidden_dim : int, default=64
    n_steps : int, default=2000
    batch_size : int, default=256
    learning_rate : float, default=1e-3
    n_shuffles : int, default=4
        Shuffled pairs per pair in a batch.
    patience : int, default=10
        Evaluations, one per 50 steps, without improvement after which training ends.
    paper : bool, default=False
        Follow what the paper says of its estimator instead: standardised features, one random
        permutation per batch, hidden width 128, 1000 steps, and the mean of the last 100 values
        on *training* batches. For continuous x, I(x; x) is infinite and this number is a property
        of the training loop; it is here to reproduce the paper's M_u, not to estimate.
    random_state : int, RandomState instance or None, default=None
    bound : {"dv", "nwj", "smile", "infonce"}, default="dv"
        Donsker-Varadhan; Nguyen-Wainwright-Jordan; "smile", which is no bound and read 5.8 of 5
        nats; "infonce", which cannot exceed ln(1 + n) for the n = max(20, n_shuffles) shuffles it
        is measured with.
    ema : float or None, default=None
        Share of the new value in the moving average of E[e^T] by which the gradient of "dv" is
        made less biased, as in the paper of MINE (.01 there). It cost half a nat of 5.
    warm_start : "gaussian" or None, default="gaussian"
        What T begins as.
    pca : "auto", int or None, default="auto"
        Principal components of the normal scores that are kept per side: for "auto", at most 20
        where both sides have more columns than a tenth of the number of samples.
    discrete_target : "auto" or bool, default="auto"
        Whether y holds class labels, as in :class:`GaussianCopulaMI`.

    Attributes
    ----------
    history_ : list of float
        Held-out bound before training and at each evaluation, or the training bound per step with
        ``paper=True``.
    result_ : MIResult
        The last estimate with its standard error (none with ``paper=True``) and warnings.

    References
    ----------
    Belghazi et al., "Mutual Information Neural Estimation", ICML 2018.

    Poole et al., "On Variational Bounds of Mutual Information", ICML 2019.

    Song and Ermon, "Understanding the Limitations of Variational Mutual Information Estimators",
    ICLR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib.information import MINE
    >>> x, e = np.random.default_rng(0).normal(size=(2, 1000, 1))
    >>> mi = MINE(n_steps=300, random_state=0).estimate(x, x + e)  # truth: ln(2) / 2 = .35
    >>> bool(0.2 < mi < 0.45)
    True
    """

    _name = "mine"

    def __init__(
        self,
        hidden_dim: int = 64,
        n_steps: int = 2000,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        n_shuffles: int = 4,
        patience: int = 10,
        paper: bool = False,
        random_state: RandomState = None,
        *,
        bound: str = "dv",
        ema: float | None = None,
        warm_start: str | None = "gaussian",
        pca: str | int | None = "auto",
        discrete_target: str | bool = "auto",
    ) -> None:
        self.hidden_dim = hidden_dim
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.n_shuffles = n_shuffles
        self.patience = patience
        self.paper = paper
        self.random_state = random_state
        self.bound = bound
        self.ema = ema
        self.warm_start = warm_start
        self.pca = pca
        self.discrete_target = discrete_target

    def _result(self, x: ArrayLike, y: ArrayLike) -> MIResult:
        self._check_options()
        return self._paper_result(x, y) if self.paper else super()._result(x, y)

    @plain_torch()
    def _paper_result(self, x: ArrayLike, y: ArrayLike) -> MIResult:
        start = time.perf_counter()
        generator, seed = self._generator()
        scaler = StandardScaler().set_output(transform="default")
        x, y = numeric(x, "x"), numeric(y, "y")
        check_lengths(x, y)
        x, y = (_tensor(scaler.fit_transform(v)) for v in (x, y))
        with seeded_initialisation(seed):
            critic = Critic(x.shape[1] + y.shape[1], 128)
        optimizer = torch.optim.Adam(critic.parameters(), lr=1e-3)
        self.history_ = []
        for _ in range(1000):
            rows = torch.randint(len(x), (self.batch_size,), generator=generator)
            shuffled = rows[torch.randperm(len(rows), generator=generator)]
            bound = donsker_varadhan(critic(x[rows], y[rows]), critic(x[rows], y[shuffled])[None])
            _step(optimizer, -bound.mean(), clip=1.0)
            self.history_.append(bound.mean().item())
        return MIResult(
            value=float(np.mean(self.history_[-100:])), std_error=nan, method="mine",
            n_samples=len(x), n_columns=(x.shape[1], y.shape[1]),
            description="The mean bound on training batches, as in the paper: a property of the "
            "training loop, not an estimate.",
            history=tuple(self.history_), seconds=time.perf_counter() - start,
        )  # fmt: skip

    @plain_torch()
    def _measure(self, pair: Pair) -> Measured:
        sides = fewer_columns(pair, self.pca, limit=len(pair.x) / 10, most=20)
        x, y = sides if len(sides) == 2 else (sides[0], np.eye(pair.y.max() + 1)[pair.y])
        n_columns = x.shape[1], 1 if pair.discrete else y.shape[1]
        generator, seed = self._generator()
        order = torch.randperm(len(x), generator=generator)
        n_held = min(len(x) // 5, MAX_HELD_OUT)
        held, train = order[:n_held], order[n_held:]
        with seeded_initialisation(seed):
            critic = Critic(
                x.shape[1] + y.shape[1],
                self.hidden_dim,
                GaussianRatio(x[train], y[train]) if self.warm_start else None,
            )
        seen, unseen = ((_tensor(x[rows]), _tensor(y[rows])) for rows in (train, held))
        local = self._train(critic, seen, unseen, generator, pair)
        value = float(local.mean())
        if value < 0:
            pair.warnings.append(
                f"The held-out bound never rose above {value:.2f} nats, which is reported as 0: x "
                "and y share nothing, or there are too few samples to learn what."
            )
            local = local - value
        return Measured(
            max(value, 0.0), local, n_columns,
            "A lower bound that a network reached on held-out samples: dependence of any kind, as "
            "far as it was learned.",
            tuple(self.history_),
        )  # fmt: skip

    def _check_options(self) -> None:
        for name, allowed in (("bound", tuple(BOUNDS)), ("warm_start", ("gaussian", None))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}.")
        for name in ("hidden_dim", "n_steps", "batch_size", "n_shuffles", "patience"):
            if not is_count(getattr(self, name)):
                raise ValueError(f"{name} must be a positive int, got {getattr(self, name)!r}.")
        if not (isinstance(self.learning_rate, int | float) and self.learning_rate > 0):
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate!r}.")
        if self.ema is not None and not (self.bound == "dv" and 0 < self.ema <= 1):
            raise ValueError(
                f"ema must be None or in (0, 1], and is for bound='dv'; got {self.ema!r} with "
                f"bound={self.bound!r}."
            )

    def _generator(self) -> tuple[torch.Generator, int]:
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        return torch.Generator().manual_seed(seed), seed

    def _train(
        self, critic: nn.Module, train: _Sides, held: _Sides, generator: torch.Generator, pair: Pair
    ) -> Array:
        """Train the critic and return the best local values on the held-out rows."""
        averaged = torch.optim.swa_utils.AveragedModel(  # Polyak averaging
            critic, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
        )
        optimizer = torch.optim.AdamW(critic.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, self.n_steps, eta_min=self.learning_rate / 10
        )
        n_shifts = min(max(HELD_OUT_SHIFTS, self.n_shuffles), len(held[0]) - 1)
        local = [self._evaluate(critic, held, n_shifts, generator)]
        self.history_ = [local[0].mean()]
        objective = _Objective(BOUNDS[self.bound], self.ema)
        for step in range(1, self.n_steps + 1):
            rows = torch.randperm(len(train[0]), generator=generator)[: self.batch_size]
            x, y = (v[rows] for v in train)
            loss = objective(*scores(critic, x, y, self.n_shuffles, generator))
            _step(optimizer, loss, clip=None if self.ema else 1.0)
            schedule.step()
            averaged.update_parameters(critic)
            if step % EVALUATE_EVERY == 0:
                local.append(self._evaluate(averaged, held, n_shifts, generator))
                self.history_.append(local[-1].mean())
                if len(self.history_) - np.argmax(self.history_) > self.patience:
                    break
        self.history_ = [float(value) for value in self.history_]
        best = _best_window(local)
        self._doubt(best.mean(), averaged, train, len(held[0]), n_shifts, generator, pair)
        return best

    @torch.no_grad()
    def _evaluate(
        self, critic: nn.Module, data: _Sides, n_shuffles: int, generator: torch.Generator
    ) -> Array:
        joint, product = scores(critic, data[0], data[1], n_shuffles, generator)
        return BOUNDS[self.bound](joint, product).double().numpy()

    def _doubt(
        self,
        value: float,
        critic: nn.Module,
        train: _Sides,
        n_held: int,
        n_shifts: int,
        generator: torch.Generator,
        pair: Pair,
    ) -> None:
        """Warn of what a critic's bound should not be trusted for."""
        ceiling = log(n_held * n_shifts)
        if self.bound == "infonce":
            ceiling = log(1 + n_shifts)
        if value > ceiling - 1:
            pair.warnings.append(
                f"The bound is {value:.1f} nats, near the {ceiling:.1f} that {n_held} held-out "
                f"samples with {n_shifts} shuffles can tell. Take it for a floor."
            )
        some = train[0][:n_held], train[1][:n_held]
        gap = self._evaluate(critic, some, n_shifts, generator).mean() - self.history_[-1]
        if gap > MAX_GAP:
            pair.warnings.append(
                f"The bound on training samples is {gap:.1f} nats above that on held-out ones: "
                "more samples would raise the estimate."
            )
        recent = self.history_[-SMOOTHING - 1 :]
        if len(self.history_) > self.n_steps // EVALUATE_EVERY > SMOOTHING and (
            np.mean(recent[-2:]) - np.mean(recent[:2]) > RISING
        ):
            pair.warnings.append("The bound was still rising at the end; raise n_steps.")


class _Objective:
    """What is minimised: minus the bound, or what has its gradient by moving average."""

    def __init__(self, bound: Bound, ema: float | None) -> None:
        self.bound, self.ema = bound, ema
        self.average: torch.Tensor | None = None

    def __call__(self, joint: torch.Tensor, product: torch.Tensor) -> torch.Tensor:
        if self.ema is None:
            return -self.bound(joint, product).mean()
        mean = product.exp().mean()
        previous = mean.detach() if self.average is None else self.average
        self.average = (1 - self.ema) * previous + self.ema * mean.detach()
        return mean / self.average - joint.mean()


def _best_window(local: list[Array]) -> Array:
    """Local values of the best moving average of evaluations, or of the first evaluation."""
    window = min(SMOOTHING, len(local))
    averages = [np.mean(local[i : i + window], 0) for i in range(len(local) - window + 1)]
    return max([local[0], *averages], key=np.mean)


def _step(optimizer: torch.optim.Optimizer, loss: torch.Tensor, clip: float | None) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if clip is not None:
        nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], clip)
    optimizer.step()


def _tensor(v: ArrayLike) -> torch.Tensor:
    return torch.from_numpy(np.asarray(v, dtype=np.float32))
