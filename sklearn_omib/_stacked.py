"""Training many prepared estimators of one kind side by side, as one stacked network.

What a search over beta needs: every network has its own rows, dropout, noise, beta and early
stopping, and ends as if it had been trained alone, up to rounding.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from joblib import Parallel, delayed, effective_n_jobs
from tqdm.auto import tqdm

from ._devices import cpu_threads
from ._optimizer import StackedAdamW
from ._tensors import PREDICT_BATCH, TensorData
from ._training import Patience, objective_terms
from .nn import GeneratorStack, set_generator, stack, unstack

MAX_NETWORKS = 64  # in one stack, which bounds memory


@dataclass
class Siblings:
    """Estimators that differ in beta alone: same rows, same seed, same initial weights.

    Their warm-up, which knows no beta, is one, and so are their random draws.

    Parameters
    ----------
    estimators : list of BaseOMIB
    data : (TensorData, TensorData or None)
    rows, noise : torch.Generator
        Of the order of rows, and of dropout and noise.
    """

    estimators: list
    data: tuple[TensorData, TensorData | None]
    rows: torch.Generator
    noise: torch.Generator

    @classmethod
    def seeded(cls, estimators, data, seed):
        """Siblings at the beginning of training."""
        rows = torch.Generator().manual_seed(seed)
        return cls(estimators, data, rows, torch.Generator(data[0].device).manual_seed(seed))

    def part(self, estimators):
        """Some of them, with generators that stand where these do; all of them are these."""
        if len(estimators) == len(self.estimators):
            return self
        return Siblings(estimators, self.data, self.rows.clone_state(), self.noise.clone_state())


def train_stacked(families, n_jobs=None, n_threads=1, verbose=0):
    """Train prepared estimators; those that diverge are left without a net.

    Parameters
    ----------
    families : list of Siblings
        All estimators have the same parameters but for beta and random_state.
    n_jobs : int, default=None
        Stacks trained at the same time, in threads.
    n_threads : int
        Of each stack.
    verbose : int

    Returns
    -------
    list of (estimator, str)
        Those that diverged, and what happened.
    """
    n_jobs = effective_n_jobs(n_jobs)
    n_networks = sum(len(family.estimators) for family in families)
    bar = tqdm(total=n_networks, desc="networks", unit="net") if verbose else None
    with cpu_threads(n_threads), bar or nullcontext():
        parallel, train = Parallel(n_jobs=n_jobs, backend="threading"), delayed(_Stack.train)
        first = families[0].estimators[0]
        failed: dict = {}
        if first.warmup_epochs:
            leaders = [Siblings([f.estimators[0]], f.data, f.rows, f.noise) for f in families]
            warmed = parallel(
                train(some, "warm-up", first.warmup_epochs) for some in _stacks(leaders, n_jobs)
            )
            for some in warmed:
                failed |= some
            families, warm = [], families
            for family in warm:
                leader = family.estimators[0]
                if leader in failed:
                    failed |= dict.fromkeys(family.estimators, failed[leader])
                else:
                    _share_warm_up(family.estimators)
                    families.append(family)
        trained = parallel(
            train(some, "main", first.max_epochs, bar) for some in _stacks(families, n_jobs)
        )
    for some in trained:
        failed |= some
    for estimator in failed:
        del estimator.net_
    for family in families:
        for estimator in family.estimators:
            if hasattr(estimator, "net_"):
                estimator._after_training(family.data)
                estimator._read_off()
    return list(failed.items())


def _stacks(families, n_jobs):
    """Cut families into lists to be stacked: batches of the same sizes, and equal work.

    The rows of a fold may decide for another kind of encoder than those of the next.
    """
    shapes: dict = {}
    for family in families:
        kinds = tuple(type(part) for part in family.estimators[0].net_.module_.encoders)
        sizes = tuple(len(part or ()) for part in family.data)
        alike = shapes.setdefault((kinds, sizes), [])
        alike += [(family, estimator) for estimator in family.estimators]
    for pairs in shapes.values():
        n_stacks = max(min(n_jobs, len(pairs)), -(-len(pairs) // MAX_NETWORKS))
        for part in np.array_split(np.arange(len(pairs)), n_stacks):
            together: dict = {}
            for family, estimator in (pairs[i] for i in part):
                together.setdefault(id(family), (family, []))[1].append(estimator)
            yield [family.part(estimators) for family, estimators in together.values()]


def _share_warm_up(estimators):
    first, *others = (estimator.net_ for estimator in estimators)
    for net in others:
        net.module_.load_state_dict(first.module_.state_dict())
        net.history.extend([dict(row) for row in first.history])


class _Stack:
    """The networks still in training, family by family.

    Parameters
    ----------
    families : list of Siblings
    bar : tqdm or None
        Counts networks that are done.
    """

    def __init__(self, families, bar=None):
        self.families, self.bar, self.failed = families, bar, {}
        self.estimators = [estimator for family in families for estimator in family.estimators]
        self.family = [i for i, family in enumerate(families) for _ in family.estimators]
        nets = [estimator.net_ for estimator in self.estimators]
        self.device = families[0].data[0].device
        self.module = stack([net.module_ for net in nets])
        self.objective = stack([net.criterion_ for net in nets])
        self.objective.beta = torch.tensor(
            [net.criterion_.beta for net in nets], device=self.device
        )
        first = self.estimators[0]
        self.batch_size, self.precision = first.batch_size, first.precision
        self.optimizer = StackedAdamW(
            self.module.parameters(), first.learning_rate, first.weight_decay
        )
        self.patience = Patience(first.n_iter_no_change, first.tol, len(nets))
        self.best = None
        self._share_generators()

    @classmethod
    def train(cls, families, phase, epochs, bar=None):
        """Stack families, run a phase and return why estimators diverged, by estimator."""
        stacked = cls(families, bar)
        stacked.run(phase, epochs)
        return stacked.failed

    def run(self, phase, epochs):
        """Train for a number of epochs; networks that settle or diverge leave before."""
        for epoch in range(epochs):
            started, n_networks = time.perf_counter(), len(self.estimators)
            if self.bar is not None:
                self.bar.set_postfix_str(f"{phase}, epoch {epoch + 1} of at most {epochs}")
            if phase == "main" and epoch:
                self.objective.reweight()
            means = {"train": self._pass(phase, 0)}
            if self.families[0].data[1] is not None:
                means["valid"] = self._pass(phase, 1)
            seconds = (time.perf_counter() - started) / n_networks
            stopped = self._record(phase, means, seconds)
            if phase == "main" and "valid" in means:
                stopped |= self._settled(np.array(means["valid"]["task_loss"]))
            self._leave(np.flatnonzero(stopped))
            if not self.estimators:
                return
        self._leave(np.arange(len(self.estimators)))

    def _pass(self, phase, part):
        """Mean terms over the training rows (part 0) or those held out (1), network by network."""
        training = part == 0
        self.module.train(training)
        size = self.batch_size if training else PREDICT_BATCH
        live = [self.families[i] for i in self._live]
        passes = [
            family.data[part].batches(size, family.rows if training else None) for family in live
        ]
        terms, sizes = [], []
        with nullcontext() if training else torch.no_grad():
            for batches in zip(*passes, strict=True):
                batch = self._side_by_side(batches)
                step = objective_terms(self.module, self.objective, phase, batch, self.precision)
                if training:
                    self.optimizer.descend(step.loss)
                terms.append(step.flat())
                sizes.append(batch[2].shape[1])
        share = torch.tensor(sizes, device=self.device) / sum(sizes)
        means = (share[:, None, None] * torch.stack(terms)).sum(0).T.tolist()
        return dict(zip(step.columns(self.module.names), means, strict=True))

    def _side_by_side(self, batches):
        """One batch per family to one per network."""
        inputs, y, weight = zip(*batches, strict=True)
        return (
            {name: self._spread([part[name] for part in inputs]) for name in inputs[0]},
            self._spread(y),
            self._spread(weight),
        )

    def _spread(self, parts):
        spread = [parts[i] for i in self._index]
        return torch.stack(spread) if torch.is_tensor(spread[0]) else spread

    def _share_generators(self):
        self._live = sorted(set(self.family))
        self._index = [self._live.index(i) for i in self.family]
        generators = GeneratorStack(
            [self.families[i].noise for i in self._live],
            torch.tensor(self._index, device=self.device),
        )
        set_generator(self.module, generators)

    def _record(self, phase, means, seconds):
        """Write an epoch into each history; returns which networks diverged."""
        weights = self.objective.weights.tolist()
        diverged = np.zeros(len(self.estimators), bool)
        for k, estimator in enumerate(self.estimators):
            net = estimator.net_
            net.phase = phase
            net.history.new_epoch()
            net.history.record("epoch", len(net.history))
            net.history.record("dur", seconds)
            for prefix, values in means.items():
                own = {name: each[k] for name, each in values.items()}
                self._check(estimator, net.record, prefix, own, weights[k])
            diverged[k] = estimator in self.failed
        return diverged

    def _check(self, estimator, check, *arguments):
        """Note the first reason for which an estimator has diverged."""
        try:
            check(*arguments)
        except ValueError as error:
            self.failed.setdefault(estimator, str(error))

    def _settled(self, losses):
        """Note the best state of each network; returns which have stopped to gain."""
        is_best, stop = self.patience.update(losses)
        state = self._state()
        if self.best is None:
            self.best = [tensor.clone() for tensor in state]
        elif is_best.any():
            rows = torch.tensor(np.flatnonzero(is_best), device=self.device)
            for best, now in zip(self.best, state, strict=True):
                best[rows] = now[rows]
        return stop

    def _state(self):
        parameters = [parameter.data for parameter in self.module.parameters()]
        return [*parameters, *self.module.buffers(), *self.objective.buffers()]

    @torch.no_grad()
    def _leave(self, rows):
        """Hand networks their best weights, and go on without them."""
        if not len(rows):
            return
        for best, now in zip(self.best or (), self._state(), strict=self.best is not None):
            now[rows] = best[rows]
        nets = [self.estimators[k].net_ for k in rows]
        unstack(self.module, [net.module_ for net in nets], rows)
        unstack(self.objective, [net.criterion_ for net in nets], rows)
        for k in rows:
            self._check(self.estimators[k], self.estimators[k].net_.check_weights)
        if self.bar is not None:
            self.bar.update(len(rows))
        kept = np.setdiff1d(np.arange(len(self.estimators)), rows)
        self.estimators = [self.estimators[k] for k in kept]
        if self.estimators:
            self._keep(kept)

    def _keep(self, kept):
        self.family = [self.family[k] for k in kept]
        self.patience.keep(kept)
        rows = torch.tensor(kept, device=self.device)
        self.optimizer.keep(rows)
        for module in (self.module, self.objective):
            for owner in module.modules():
                owner._buffers = {
                    name: None if tensor is None else tensor[rows]
                    for name, tensor in owner._buffers.items()
                }
        self.objective.beta = self.objective.beta[rows]
        self.best = None if self.best is None else [best[rows] for best in self.best]
        self._share_generators()
