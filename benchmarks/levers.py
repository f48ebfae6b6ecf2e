"""Evidence for changes beyond a parameter: do they make the defaults predict better?

    python benchmarks/levers.py                  # all levers, seed 0
    python benchmarks/levers.py ema cosine       # those whose name contains a word
    python benchmarks/levers.py --seeds 3 ema    # seeds 0 to 2

Each lever is compared with one network of the defaults as they were before any of them was taken
(``BASE`` of ``defaults.py``; "default" in the tables), on the same folds and seeds, on training
parts only: those of ``defaults.py`` but for CMU-MOSI, which cannot rank settings; digits with 400
rows, since with all of them nothing is left to gain; and four generated sets of 1000 rows. One
process; runs are appended to ``results/levers.csv``, so that an interrupted run goes on where it
was, and ``results/levers.md`` is the table made of it. Embeddings of numbers need
``rtdl_num_embeddings``.
"""

import argparse
import time
from functools import partial
from math import cos, exp, log, pi, prod
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from defaults import BASE, BENT, folds, gains, is_regression, predicted, rate, training_parts
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from skorch.callbacks import Callback
from torch import nn

from sklearn_omib import OMIBClassifier, OMIBClassifierCV, OMIBRegressor, OMIBRegressorCV
from sklearn_omib._stacked import Siblings, train_stacked
from sklearn_omib.datasets import make_multimodal_classification, make_multimodal_regression
from sklearn_omib.nn import (
    CategoricalTask,
    CrossAttentionFusion,
    LowRankFusion,
    OMIBNetwork,
)
from sklearn_omib.nn.fusion import FUSIONS
from sklearn_omib.nn.layers import mlp

RESULTS = Path(__file__).parent / "results"
SIZES = (1, 3, 5, 8)  # of ensembles
TASKS = ("classification", "regression")


# -- data -----------------------------------------------------------------------------------------
def data_sets():
    """name -> (X, y)."""
    parts = {name: (X, y) for name, (X, y, groups) in training_parts().items() if groups is None}
    X, y = parts.pop("digits")
    few = np.random.default_rng(0).permutation(len(y))[:400]
    for name, make, options in (
        ("linear", make_multimodal_classification, {}),
        ("nonlinear", make_multimodal_classification, BENT),
        ("nonlinear target", make_multimodal_regression, BENT),
        ("linear target", make_multimodal_regression, {"random_state": 100}),
    ):
        shared = {"n_modalities": 3, "n_pairwise": 1, "random_state": 0}
        data = make(1000, **{**shared, **options})
        parts[name] = data.X, np.asarray(data.y)
    return {**parts, "digits": (X[few], y[few])}


# -- levers: parents of an estimator that change one thing ----------------------------------------
class Temperature:
    """Divide the scores by the number that makes the validation part most probable.

    The number is kept beside the network, not in it, so that one fit serves with and without.
    """

    temperature_ = 1.0
    _range = (log(1 / 4), log(4))

    def _after_training(self, data):
        super()._after_training(data)
        if isinstance(self, OMIBClassifier):
            scores = torch.cat([scores for scores, *_ in self.net_.predict_batches(data[1])])
            scores, y = scores.double(), data[1].y
            fit = minimize_scalar(
                lambda t: nn.functional.cross_entropy(scores / exp(t), y).item(), bounds=self._range
            )
            self.temperature_ = exp(fit.x)


class AveragedWeights(Callback):
    """Exponential moving average of the weights; validation and the result are the average's.

    Parameters
    ----------
    epochs : float
        After which the part of a weight in the average has fallen to 1/e.
    """

    def __init__(self, epochs):
        self.epochs = epochs

    def on_train_begin(self, net, X=None, **kwargs):
        self.average_ = self.current_ = None
        if net.phase == "main":
            n_steps = -(-len(X[0]) // net.batch_size)
            self.rate_ = 1 - exp(-1 / (self.epochs * n_steps))
            net.optimizer_.register_step_post_hook(self._move)

    def _move(self, optimizer, args, kwargs):
        if self.average_ is None:
            self.average_ = optimizer.flat.detach().clone()
        self.average_.lerp_(optimizer.flat.detach(), self.rate_)

    def on_epoch_begin(self, net, **kwargs):
        if self.current_ is not None:
            net.optimizer_.flat.data.copy_(self.current_)

    def on_epoch_end(self, net, dataset_valid=None, **kwargs):
        if net.phase != "main":
            return
        flat = net.optimizer_.flat.data
        self.current_ = flat.clone()
        flat.copy_(self.average_)
        held_out = net.get_iterator(dataset_valid)
        net.run_single_epoch(held_out, False, prefix="valid", step_fn=net.validation_step)


class Averaging:
    """Average the weights over the main phase."""

    _watchers = (("average", AveragedWeights(3)),)


class Schedule(Callback):
    """Set the learning rate before each epoch of the main phase.

    Parameters
    ----------
    factor : callable
        Of the share of the phase that is over, to what the learning rate is multiplied by.
    """

    def __init__(self, factor):
        self.factor = factor

    def on_train_begin(self, net, **kwargs):
        self.epoch_ = 0

    def on_epoch_begin(self, net, **kwargs):
        if net.phase == "main":
            factor = self.factor(self.epoch_ / SCHEDULED["max_epochs"])
            net.optimizer_.param_groups[0]["lr"] = net.lr * factor
            self.epoch_ += 1


SCHEDULED = {"max_epochs": 60, "n_iter_no_change": 60}  # a schedule is for a known end


def cosine(part):
    return (1 + cos(pi * part)) / 2


def one_cycle(part, rise=0.3, low=0.04):
    return low + (1 - low) * cosine(1 - part / rise) if part < rise else cosine((part - rise) / 0.7)


class Cosine:
    """Learning rate down along half a cosine."""

    _watchers = (("schedule", Schedule(cosine)),)


class OneCycle:
    """Learning rate up for a third of the epochs, then down."""

    _watchers = (("schedule", Schedule(one_cycle)),)


class SkipNetwork(OMIBNetwork):
    """OMIB's network, and a linear map of the inputs added to its prediction."""

    def __init__(self, sample_shapes, n_outputs, **options):
        super().__init__(sample_shapes, n_outputs=n_outputs, **options)
        self.maps = nn.ModuleList(
            nn.Linear(prod(shape), n_outputs) for shape in sample_shapes.values()
        )
        for linear in self.maps:
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def _linear(self, inputs):
        return sum(linear(inputs[m]) for m, linear in zip(self.names, self.maps, strict=True))

    def predict(self, inputs):
        prediction, *others = super().predict(inputs)
        return prediction + self._linear(inputs), *others

    def forward(self, inputs):
        output = super().forward(inputs)
        return output._replace(prediction=output.prediction + self._linear(inputs))


class Skip:
    """A linear path beside the network."""

    def _make_network(self, **shared):
        return SkipNetwork(**shared, fusion=self.fusion, n_heads=self.n_heads)


class AttendedProduct(CrossAttentionFusion):
    """Cross-attention, whose tokens become xi by a low-rank product beside the linear map."""

    def __init__(self, n_modalities, latent_dim, n_heads, dropout):
        super().__init__(n_modalities, latent_dim, n_heads, dropout)
        self.product = LowRankFusion(n_modalities, latent_dim)

    def forward(self, zeta):
        fused = super().forward(zeta)
        return fused._replace(xi=fused.xi + self.product(fused.tokens).xi)


class Product:
    """A product of what the attention returns, beside the linear map of it."""

    def _make_network(self, **shared):
        return OMIBNetwork(**shared, fusion=AttendedProduct, n_heads=self.n_heads)


class WeightedMean(nn.Module):
    """A linear map of the mean of ``n_tokens`` tokens, weighted by a softmax of learned scores."""

    def __init__(self, n_tokens, width):
        super().__init__()
        self.n_tokens = n_tokens
        self.score, self.out = nn.Linear(width, 1), nn.Linear(width, width)

    def forward(self, tokens):
        tokens = tokens.unflatten(-1, (self.n_tokens, -1))
        return self.out((self.score(tokens).softmax(-2) * tokens).sum(-2))


class PooledTokens(CrossAttentionFusion):
    """Cross-attention, whose tokens become xi by attention pooling."""

    def __init__(self, n_modalities, latent_dim, n_heads, dropout):
        super().__init__(n_modalities, latent_dim, n_heads, dropout)
        self.project = WeightedMean(n_modalities, latent_dim)


class Pooling:
    """Attention pooling of what the attention returns, in place of the linear map of it."""

    def _make_network(self, **shared):
        return OMIBNetwork(**shared, fusion=PooledTokens, n_heads=self.n_heads)


class SmoothTask(CategoricalTask):
    """Cross-entropy, in training towards labels of which a share is spread over all classes."""

    smoothing = 0.05

    def forward(self, output, y):
        loss = super().forward(output, y)
        if not self.training:
            return loss
        return (1 - self.smoothing) * loss - self.smoothing * output.log_softmax(-1).mean(-1)


class Smoothing:
    """Label smoothing."""

    def _make_task(self):
        task, n_outputs = super()._make_task()
        return (SmoothTask() if isinstance(task, CategoricalTask) else task), n_outputs


class Embedded:
    """Each number embedded before the encoder's MLP (Gorishniy et al., NeurIPS 2022)."""

    embedding: str = "piecewise"
    embedding_dim: int = 8
    n_bins: int = 16

    def _learn_method(self, sample, rng):
        super()._learn_method(sample, rng)
        self._blocks = self._scaler.transform(self._as_trained(sample))

    def _make_network(self, **shared):
        shared["encoders"] = {name: self._encoder(block) for name, block in self._blocks.items()}
        del self._blocks
        return super()._make_network(**shared)

    def _encoder(self, block):
        width = block.shape[1] * self.embedding_dim
        layers = mlp(width, self.hidden_dim, self.hidden_dim, self.n_layers, self.dropout)
        return nn.Sequential(self._embedding(block), nn.Flatten(-2), layers)

    def _embedding(self, block):
        import rtdl_num_embeddings as rtdl

        if self.embedding == "periodic":
            return rtdl.PeriodicEmbeddings(
                block.shape[1], self.embedding_dim, n_frequencies=16,
                frequency_init_scale=0.1, lite=False,
            )  # fmt: skip
        edges = np.quantile(block, np.linspace(0, 1, self.n_bins + 1), axis=0).T
        bins = [np.unique(column) for column in edges.astype(np.float32)]
        bins = [column if len(column) > 1 else column[0] + np.float32([0, 1]) for column in bins]
        return rtdl.PiecewiseLinearEmbeddings(
            [torch.from_numpy(column) for column in bins],
            self.embedding_dim,
            activation=False,
            version="B",
        )


# -- what is compared -----------------------------------------------------------------------------
class Single:
    """One estimator with a lever and parameters."""

    def __init__(self, *levers, only=None, **parameters):
        self.levers, self.only, self.parameters = levers, only, {**BASE, **parameters}

    def predictions(self, name, X, y, X_test, seed):
        """variation -> prediction."""
        model = estimator(y, *self.levers)(random_state=seed, **self.parameters)
        return {name: predicted(model.fit(X, y), X_test)}


def mixture(predictions):
    """Mean and standard deviation of the mixture of normal distributions."""
    mean, std = np.swapaxes(predictions, 0, 1)
    return mean.mean(0), np.sqrt((std**2).mean(0) + mean.var(0))


def mean_variance(predictions):
    """The variance that members have on average."""
    mean, std = np.swapaxes(predictions, 0, 1)
    return mean.mean(0), np.sqrt((std**2).mean(0))


def less_spread(predictions):
    """As much below the members' variance as their mean is better than they are.

    The squared error of the mean is that of the members, on average, less the variance between
    them. A third of the members' variance is kept at least.
    """
    mean, std = np.swapaxes(predictions, 0, 1)
    own = (std**2).mean(0)
    return mean.mean(0), np.sqrt(np.maximum(own - mean.var(0), own / 3))


def mean_score(predictions):
    """Probabilities of the mean scores: the normalised geometric mean."""
    return softmax(np.log(predictions.clip(1e-30)).mean(0), axis=1)


POOLS = (  # of classifiers, of regressors
    {"": partial(np.mean, axis=0), ", scores": mean_score},
    {"": mixture, ", mean variance": mean_variance, ", less spread": less_spread},
)


class Ensemble:
    """Networks of different seeds, one behind the other in ensembles of several sizes."""

    only = None

    def predictions(self, name, X, y, X_test, seed):
        members = self._members(X, y, seed)
        each = [predicted(member, X_test) for member in members]
        pools = POOLS[is_regression(y)]
        kinds = {f"{name}{how}": (pool, each) for how, pool in pools.items()}
        if not is_regression(y):
            cooled = [
                softmax(np.log(p.clip(1e-30)) / member.temperature_, axis=1)
                for p, member in zip(each, members, strict=True)
            ]
            kinds[f"{name}, temperature"] = pools[""], cooled
        return {f"{kind} of {n}": pool(np.array(some[:n]))
                for kind, (pool, some) in kinds.items() for n in SIZES}  # fmt: skip

    def _members(self, X, y, seed):
        kind = estimator(y, Temperature)
        seeds = [seed] + [100 * (seed + 1) + k for k in range(1, max(SIZES))]
        members = [kind(random_state=s, **BASE) for s in seeds]
        families = []
        for member in members:
            data, training_seed = member._prepare(X, y, None, None)
            families.append(Siblings.seeded([member], data, training_seed))
        if train_stacked(families):
            raise RuntimeError("A member diverged.")
        return members


class Search:
    """beta by cross-validation within the bound."""

    only = None

    def predictions(self, name, X, y, X_test, seed):
        search = OMIBRegressorCV if is_regression(y) else OMIBClassifierCV
        model = search(betas=5, cv=3, random_state=seed, **BASE)
        return {name: predicted(model.fit(X, y), X_test)}


LEVERS = {
    "default": Single(),
    "ensemble": Ensemble(),
    "ema": Single(Averaging),
    "ema, learning_rate=1e-3": Single(Averaging, learning_rate=1e-3),
    "linear skip": Single(Skip),
    "encoders=linear_mlp": Single(encoders="linear_mlp"),
    "unnormed_attention, linear_mlp": Single(
        fusion="unnormed_attention", encoders="linear_mlp", only="regression"
    ),
    "modality dropout .1": Single(modality_dropout=0.1),
    "modality dropout .2": Single(modality_dropout=0.2),
    "label smoothing .05": Single(Smoothing, only="classification"),
    "cosine from 1e-3": Single(Cosine, learning_rate=1e-3, **SCHEDULED),
    "one cycle to 2e-3": Single(OneCycle, learning_rate=2e-3, **SCHEDULED),
    "head_layers=1": Single(head_layers=1),
    "max_epochs=300, n_iter_no_change=30": Single(max_epochs=300, n_iter_no_change=30),
    "hidden_dim=256": Single(hidden_dim=256),
    "warmup_epochs=20": Single(warmup_epochs=20),
    **{f"fusion={v}": Single(fusion=v) for v in FUSIONS if v not in ("cross_attention", "mean")},
    **{f"fusion={v}, linear skip": Single(Skip, fusion=v) for v in ("film", "low_rank")},
    "product of attended tokens": Single(Product),
    "attention pooling": Single(Pooling),
    "piecewise-linear embeddings": Single(Embedded, embedding="piecewise"),
    "periodic embeddings": Single(Embedded, embedding="periodic"),
    "search over beta": Search(),
}


def estimator(y, *levers):
    """The estimator for a target, with levers before it."""
    base = OMIBRegressor if is_regression(y) else OMIBClassifier
    return type(base.__name__, (*levers, base), {"__annotations__": annotations(levers)})


def annotations(levers):
    """Parameters that levers add: those of parents that are no dataclass are not collected."""
    return {k: v for lever in levers for k, v in vars(lever).get("__annotations__", {}).items()}


def evaluate(data_name, name, seed, data):
    """One row per variation: scores averaged over the folds."""
    X, y = data
    started, rates = time.perf_counter(), {}
    for train, test in folds(y, None, seed):
        predictions = LEVERS[name].predictions(name, X[train], y[train], X[test], seed)
        for variation, prediction in predictions.items():
            rates.setdefault(variation, []).append(rate(test, prediction, y))
    seconds = time.perf_counter() - started
    rows = [
        (data_name, TASKS[is_regression(y)], name, variation, seed, *np.mean(some, axis=0), seconds)
        for variation, some in rates.items()
    ]
    columns = ["data", "task", "lever", "variation", "seed", "score", "loss", "seconds"]
    return pd.DataFrame(rows, columns=columns)


def write_table(results):
    """Mean gains with their standard errors, over pairs of a data set and a seed."""
    pairs = gains(results)
    pairs = pairs[pairs.variation != "default"]
    order = pairs.variation.drop_duplicates()
    columns = {}
    for task, some in [("all", pairs), *pairs.groupby("task")]:
        for gain in ("score gain", "loss gain"):
            by = some.groupby("variation")[gain].agg(["mean", "sem"])
            columns[f"{task}: {gain}"] = [
                f"{by['mean'][v]:+.4f} ± {by['sem'][v]:.4f}" if v in by.index else "" for v in order
            ]
    by = pairs.groupby("variation")
    columns["runs"] = by.size()[order].to_numpy()
    columns["better score"] = by["score gain"].apply(lambda g: (g > 1e-6).sum())[order].to_numpy()
    columns["better loss"] = by["loss gain"].apply(lambda g: (g > 1e-6).sum())[order].to_numpy()
    text = pd.DataFrame(columns, index=order).to_markdown()
    (RESULTS / "levers.md").write_text(f"{__doc__.splitlines()[0]}\n\n{text}\n")
    print(text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs="*")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    path = RESULTS / "levers.csv"
    done = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["data", "lever", "seed"])
    keys = set(zip(done.data, done.lever, done.seed, strict=True))
    wanted = [n for n in LEVERS if not options.words or any(w in n for w in options.words)]
    parts = data_sets()
    for seed in range(options.seeds):
        for name in wanted:
            for data_name, data in parts.items():
                lever = LEVERS[name]
                is_asked = lever.only in (None, TASKS[is_regression(data[1])])
                if (data_name, name, seed) in keys or not is_asked:
                    continue
                rows = evaluate(data_name, name, seed, data)
                rows.to_csv(path, mode="a", header=not path.exists(), index=False)
                print(rows.round(4).to_string(header=False, index=False), flush=True)
    write_table(pd.read_csv(path))


if __name__ == "__main__":
    main()
