"""Mutual Information Neural Estimation (Belghazi et al., ICML 2018)."""

from math import log

import numpy as np
import torch
from scipy.special import ndtri
from scipy.stats import rankdata
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from torch import nn

from ..nn.random import seeded_initialisation

EVALUATE_EVERY = 50
HELD_OUT_SHIFTS = 20  # pairs drawn from the product of marginals per held-out row
MAX_HELD_OUT = 1000
SMOOTHING = 5  # evaluations averaged before the best is taken


class MINE(BaseEstimator):
    r"""Lower bound on I(x; y) from a network T that tells pairs from shuffled pairs.

    .. math:: I(x; y) \ge \mathbb{E}_{p(x,y)}[T] - \ln \mathbb{E}_{p(x)p(y)}[e^T]

    the Donsker-Varadhan bound. Features become normal scores of their ranks, so the estimate does
    not change under monotone maps of single features. A fifth of the samples is held out; the
    value reported is the best moving average of the bound on these, never on training data, where
    the bound grows without limit.

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

    Attributes
    ----------
    history_ : list of float
        Held-out bound at each evaluation, or the training bound per step with ``paper=True``.

    References
    ----------
    Belghazi et al., "Mutual Information Neural Estimation", ICML 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_omib.information import MINE
    >>> x, e = np.random.default_rng(0).normal(size=(2, 1000, 1))
    >>> mi = MINE(n_steps=300, random_state=0).estimate(x, x + e)  # truth: ln(2) / 2 = .35
    >>> bool(0.2 < mi < 0.45)
    True
    """

    def __init__(
        self,
        hidden_dim=64,
        n_steps=2000,
        batch_size=256,
        learning_rate=1e-3,
        n_shuffles=4,
        patience=10,
        paper=False,
        random_state=None,
    ):
        self.hidden_dim = hidden_dim
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.n_shuffles = n_shuffles
        self.patience = patience
        self.paper = paper
        self.random_state = random_state

    def estimate(self, x, y):
        """Estimate I(x; y).

        Parameters
        ----------
        x : array-like of shape (n_samples, n_features_x)
        y : array-like of shape (n_samples, n_features_y)

        Returns
        -------
        float
            In nats; never negative unless ``paper=True``.

        Raises
        ------
        ValueError
            If x and y differ in length or have fewer than 10 samples.
        """
        x, y = (np.asarray(v, dtype=np.float64).reshape(len(v), -1) for v in (x, y))
        if len(x) != len(y) or len(x) < 10:
            raise ValueError(
                f"x and y need the same number of samples, at least 10; got {len(x)}, {len(y)}."
            )
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        generator = torch.Generator().manual_seed(seed)
        to_scores = (
            StandardScaler().set_output(transform="default").fit_transform
            if self.paper
            else _normal_scores
        )
        x, y = (torch.from_numpy(to_scores(v).astype(np.float32)) for v in (x, y))
        with seeded_initialisation(seed):
            critic = _Critic(x.shape[1] + y.shape[1], 128 if self.paper else self.hidden_dim)
        if self.paper:
            return self._paper_value(critic, x, y, generator)
        return self._held_out_value(critic, x, y, generator)

    def _paper_value(self, critic, x, y, generator):
        optimizer = torch.optim.Adam(critic.parameters(), lr=1e-3)
        self.history_ = []
        for _ in range(1000):
            rows = torch.randint(len(x), (self.batch_size,), generator=generator)
            shuffled = rows[torch.randperm(len(rows), generator=generator)]
            bound = donsker_varadhan(critic(x[rows], y[rows]), critic(x[rows], y[shuffled]))
            _step(optimizer, -bound)
            self.history_.append(bound.item())
        return float(np.mean(self.history_[-100:]))

    def _held_out_value(self, critic, x, y, generator):
        order = torch.randperm(len(x), generator=generator)
        n_held = min(len(x) // 5, MAX_HELD_OUT)
        held, train = order[:n_held], order[n_held:]
        averaged = torch.optim.swa_utils.AveragedModel(  # Polyak averaging
            critic, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
        )
        optimizer = torch.optim.AdamW(critic.parameters(), lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            optimizer, self.n_steps, eta_min=self.learning_rate / 10
        )
        self.history_ = [0.0]
        for step in range(1, self.n_steps + 1):
            rows = train[torch.randperm(len(train), generator=generator)[: self.batch_size]]
            joint, product = _scores(critic, x[rows], y[rows], self.n_shuffles, generator)
            _step(optimizer, -donsker_varadhan(joint, product))
            schedule.step()
            averaged.update_parameters(critic)
            if step % EVALUATE_EVERY == 0:
                with torch.no_grad():
                    scores = _scores(averaged, x[held], y[held], HELD_OUT_SHIFTS, generator)
                self.history_.append(donsker_varadhan(*scores).item())
                if len(self.history_) - np.argmax(self.history_) > self.patience:
                    break
        window = min(SMOOTHING, len(self.history_))
        smoothed = np.convolve(self.history_, np.full(window, 1 / window), "valid")
        return max(float(smoothed.max()), 0.0)


class _Critic(nn.Module):
    """T(x, y): an MLP of two hidden layers on the concatenation."""

    def __init__(self, input_dim, hidden_dim):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(input_dim, hidden_dim), nn.ReLU(),
            nn.Linear(hidden_dim, hidden_dim), nn.ReLU(),
            nn.Linear(hidden_dim, 1),
        )  # fmt: skip

    def forward(self, x, y):
        return self.layers(torch.cat([x, y], 1))[:, 0]


def donsker_varadhan(joint, product):
    """E[T] over pairs minus ln E[e^T] over shuffled pairs; scores of any number, in nats."""
    return joint.mean() - (product.logsumexp(0) - log(len(product)))


def _scores(critic, x, y, n_shuffles, generator):
    """Critic on the pairs, and on shuffles in which no row meets its own partner."""
    shifts = torch.randperm(len(x) - 1, generator=generator)[:n_shuffles] + 1
    product = torch.cat([critic(x, y.roll(int(shift), 0)) for shift in shifts])
    return critic(x, y), product


def _step(optimizer, loss):
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
    optimizer.step()


def _normal_scores(v):
    """Each column's ranks as quantiles of the standard normal distribution."""
    return ndtri(rankdata(v, axis=0) / (len(v) + 1))
