"""What the engine costs, as ratios measured side by side in one run.

    python benchmarks/engine.py                      # everything, some 15 minutes on two cores
    python benchmarks/engine.py fit search           # some sections; the others keep their numbers

Every figure is the median of several rounds in which the contestants take turns, with one torch
thread each. Numbers go to results/engine.csv; table and pictures to docs/.
"""

import argparse
import os
import subprocess
import sys
import time
import warnings
from itertools import product
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import handwritten
import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from skorch import NeuralNet

from sklearn_omib import ModalityDict, OMIBClassifier, OMIBClassifierCV

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "engine.csv"
DOCS = HERE.parent / "docs"
DEVICE = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
EPOCHS, WARMUP, BETA = 8, 4, 0.01


# -- data and contestants -------------------------------------------------------------------------
def make_data(n_samples, columns=(100, 50), seed=0):
    """Tables that share ten directions, of which the first decides between two classes."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n_samples, 10), dtype=np.float32)
    X = ModalityDict({
        f"m{i}": shared @ rng.standard_normal((10, n), dtype=np.float32)
        + rng.standard_normal((n_samples, n), dtype=np.float32)
        for i, n in enumerate(columns)
    })  # fmt: skip
    y = shared[:, 0] + 0.5 * rng.standard_normal(n_samples, dtype=np.float32) > 0
    return X, y.astype(int)


def seconds(call, *args):
    start = time.perf_counter()
    call(*args)
    return time.perf_counter() - start


def take_turns(contestants, rounds):
    """Median seconds of each contestant, the first of which is ours, after one idle round."""
    times = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, call in contestants.items():
            took = seconds(call)
            if turn:
                times[name].append(took)
    return {name: float(np.median(values)) for name, values in times.items()}


def estimator(batch_size, dropout=(0.5, 0.2), **options):
    return OMIBClassifier(
        batch_size=batch_size, dropout=dropout[0], input_dropout=dropout[1], beta=BETA,
        n_members=1, warmup_epochs=WARMUP, max_epochs=EPOCHS, n_iter_no_change=100,
        random_state=0, **options,
    )  # fmt: skip


class Prepared:
    """The weights, rows and seed one of our fits begins with, for the loop written by hand."""

    def __init__(self, clf, X, y):
        self.clf = clf
        (self.train, self.valid), self.seed = clf._prepare(X, y, None, None)

    def network(self, dropout_class):
        clf = self.clf
        widths = [block.shape[1] for block in self.train.blocks.values()]
        network = handwritten.Network(
            widths, 2, clf.hidden_dim, clf.latent_dim, clf.n_heads, clf.dropout,
            clf.input_dropout, dropout_class,
        )  # fmt: skip
        handwritten.load(network, clf.net_.module_)
        return network

    def by_hand(self, dropout_class=handwritten.Dropout):
        clf = self.clf
        return handwritten.fit(
            self.network(dropout_class),
            list(self.train.blocks.values()), self.train.y,
            list(self.valid.blocks.values()), self.valid.y,
            beta=BETA, lr=clf.learning_rate, weight_decay=clf.weight_decay,
            batch_size=clf.batch_size, warmup_epochs=WARMUP, max_epochs=EPOCHS,
            patience=clf.n_iter_no_change, tol=clf.tol, seed=self.seed,
        )  # fmt: skip

    def stock_skorch(self):
        """The same network and objective in skorch as it comes, one call of fit per phase."""
        network = self.network(torch.nn.Dropout)
        arrays = {name: block.numpy() for name, block in self.train.blocks.items()}
        net = StockNet(
            Both, module__network=network, criterion=torch.nn.CrossEntropyLoss,
            optimizer=torch.optim.AdamW, optimizer__fused=True, lr=self.clf.learning_rate,
            optimizer__weight_decay=self.clf.weight_decay, batch_size=self.clf.batch_size,
            iterator_train__shuffle=True, train_split=None, verbose=0,
        ).initialize()  # fmt: skip
        for warming_up, epochs in ((True, WARMUP), (False, EPOCHS)):
            net.module_.warming_up = warming_up
            net.partial_fit(arrays, self.train.y.numpy(), epochs=epochs)


class Both(torch.nn.Module):
    """The network by hand with one forward for both phases, as skorch wants it."""

    def __init__(self, network):
        super().__init__()
        self.network, self.warming_up = network, True

    def forward(self, **blocks):
        blocks = list(blocks.values())
        if self.warming_up:
            return self.network.warm_up(blocks, None)
        prediction, branches, mu, sigma = self.network(blocks, None)
        return [*branches, prediction], mu, sigma


class StockNet(NeuralNet):
    def get_loss(self, output, y, *args, **kwargs):
        kl = 0.0
        if not self.module_.warming_up:
            output, mu, sigma = output
            kl = 0.5 * (mu.square() + sigma.square() - 1 - 2 * sigma.log()).sum(-1).mean(0).sum()
        return sum(self.criterion_(prediction, y) for prediction in output) + BETA * kl


# -- sections: rows of (setting, what, value, unit) -----------------------------------------------
def fit(rounds):
    X, y = make_data(4000)
    for batch_size in (64, 128, 256):
        prepared = Prepared(estimator(batch_size, (0.0, 0.0)), X, y)
        ours = estimator(batch_size, (0.0, 0.0)).fit(X, y).history_.train_loss.to_numpy()
        theirs = [loss for _, loss, _ in prepared.by_hand()]
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)  # the same mathematics
        prepared = Prepared(estimator(batch_size), X, y)
        n_weights = sum(p.numel() for p in prepared.clf.net_.module_.parameters())
        width = int(n_weights / (sum(block.shape[1] for block in X.values()) + 1))
        mlp = MLPClassifier(
            (width,), batch_size=batch_size, max_iter=WARMUP + EPOCHS, n_iter_no_change=100
        )
        table = np.asarray(X)
        medians = take_turns({
            "ours": lambda b=batch_size: estimator(b).fit(X, y),
            "by hand": prepared.by_hand,
            "by hand, torch.nn.Dropout": lambda p=prepared: p.by_hand(torch.nn.Dropout),
            "stock skorch": prepared.stock_skorch,
            "MLPClassifier of as many weights": lambda m=mlp, t=table: m.fit(t, y),
        }, rounds)  # fmt: skip
        yield f"batch {batch_size}", "ours", medians["ours"], "s"
        for name in list(medians)[1:]:
            yield f"batch {batch_size}", f"ours / {name}", medians["ours"] / medians[name], "ratio"


def predict(rounds):
    X, y = make_data(20_000)
    clf = estimator(128).fit(X[:2000], y[:2000])
    network = clf.net_.module_.eval()
    standardised = clf._tensor_data(X).blocks
    scales = {
        name: (torch.tensor(s.mean_, dtype=torch.float32), torch.tensor(s.scale_).float())
        for name, s in clf._scaler.scalers_.items()
    }

    def forward(standardise):
        with torch.inference_mode():
            for start in range(0, len(X), 4096):
                rows, part = slice(start, start + 4096), {}
                for name, (mean, scale) in scales.items():
                    if standardise:
                        part[name] = torch.from_numpy(X[name][rows]).sub(mean).div_(scale)
                    else:
                        part[name] = standardised[name][rows]
                network.predict(part)[0].argmax(1).numpy()

    medians = take_turns({
        "ours": lambda: clf.predict(X),
        "raw": lambda: forward(True),
        "raw, inputs standardised before": lambda: forward(False),
    }, 5 * rounds)  # fmt: skip
    for name in ("raw", "raw, inputs standardised before"):
        ratio = medians["ours"] / medians[name]
        yield "20,000 rows", f"predict / forward passes, {name}", ratio, "ratio"
    row = X[:1]
    took = np.median([seconds(clf.predict, row) for _ in range(500)])
    yield "one row", "predict", 1000 * took, "ms"


def search(rounds):
    X, y = make_data(2000)
    betas = np.geomspace(1e-4, 1e-2, 8)
    for hidden_dim, batch_size in ((128, 128), (64, 128), (32, 64)):
        options = {"hidden_dim": hidden_dim, "batch_size": batch_size, "n_members": 1,
                   "random_state": 0}  # fmt: skip
        stacked = OMIBClassifierCV(betas=betas, cv=5, n_jobs=2, **options)
        grid = GridSearchCV(OMIBClassifier(**options), {"beta": betas.tolist()}, cv=5, n_jobs=2)
        contestants = {
            "stacked": lambda s=stacked: s.fit(X, y),
            "grid": lambda g=grid: g.fit(X, y),
            "one": lambda o=options: OMIBClassifier(**o, beta=betas[4]).fit(X, y),
        }
        medians = take_turns(contestants, max(rounds // 2, 1))
        scores = stacked.cv_results_["mean_test_score"], grid.cv_results_["mean_test_score"]
        np.testing.assert_allclose(*scores, atol=2e-3)  # the same search
        setting = f"hidden_dim {hidden_dim}, batch {batch_size}"
        ratio = medians["stacked"] / medians["grid"]
        yield setting, "OMIBClassifierCV / GridSearchCV, 2 jobs each", ratio, "ratio"
        yield setting, "OMIBClassifierCV", medians["stacked"], "s"
        yield setting, "OMIBClassifierCV / one fit", medians["stacked"] / medians["one"], "ratio"


def scale(rounds):
    """Seconds per epoch over rows, modalities and columns, and the peak of memory over rows."""
    for n_samples in (10_000, 100_000, 1_000_000):
        code = (
            f"import resource; from engine import *; X, y = make_data({n_samples}, (30, 20)); "
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; "
            "clf = estimator(256).set_params(warmup_epochs=0, max_epochs=3).fit(X, y); "
            "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; "
            "print(clf.history_.seconds.median(), before / 1024, after / 1024)"
        )
        shown = subprocess.run(
            [sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=True
        )
        per_epoch, before, after = map(float, shown.stdout.split())
        setting = f"{n_samples:,} rows of 30 + 20 columns"
        yield setting, "seconds per epoch", per_epoch, "s"
        yield setting, "peak memory before fit", before, "MiB"
        yield setting, "peak memory of fit", after, "MiB"
    for n_modalities in (2, 4, 8, 16):
        X, y = make_data(4000, (20,) * n_modalities)
        yield f"{n_modalities} modalities of 20 columns", "seconds per epoch", epoch(X, y), "s"
    for n_columns, kind in product((10, 100, 1000, 20_000), ("dense", "sparse")):
        X = random_block(4000, n_columns, kind)
        y = np.arange(4000) % 2
        yield f"2 x {n_columns:,} {kind} columns", "seconds per epoch", epoch(X, y), "s"


def random_block(n_samples, n_columns, kind):
    rng = np.random.default_rng(0)
    if kind == "sparse":  # ten entries a row, but no more than half
        density = min(10 / n_columns, 0.5)
        return ModalityDict({
            name: sparse.random(n_samples, n_columns, density, "csr", np.float32, random_state=rng)
            for name in "ab"
        })  # fmt: skip
    shape = n_samples, n_columns
    return ModalityDict({name: rng.standard_normal(shape, dtype=np.float32) for name in "ab"})


def epoch(X, y):
    clf = estimator(128).set_params(warmup_epochs=0, max_epochs=3).fit(X, y)
    return clf.history_.seconds.median()


def imports(rounds):
    def importing(modules):
        code = f"import time; t = time.perf_counter(); import {modules}; "
        code += "print(time.perf_counter() - t)"
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        return float(shown.stdout)

    pairs = [
        (importing("torch, sklearn.base, sklearn_omib"), importing("torch, sklearn.base"))
        for _ in range(3 * rounds)
    ]
    more = np.median([ours - theirs for ours, theirs in pairs[1:]])
    yield "import sklearn_omib", "over importing torch and sklearn", 1000 * more, "ms"


def gpu(rounds):
    """Only where there is a GPU: throughput, and the share of a step spent launching kernels."""
    if not torch.cuda.is_available():
        return
    X, y = make_data(200_000)
    for batch_size in (128, 1024, 8192):
        clf = estimator(batch_size).set_params(
            warmup_epochs=0, max_epochs=3, validation_fraction=0.15
        )
        clf.fit(X, y)
        rate = 0.85 * len(X) / clf.history_.seconds.min()
        yield f"batch {batch_size}, {DEVICE}", "rows per second", rate, "1/s"
        with torch.profiler.profile() as profile:
            clf.set_params(max_epochs=1).fit(X, y)
        busy = sum(event.self_device_time_total for event in profile.key_averages()) / 1e6
        share = busy / clf.history_.seconds.sum()
        yield f"batch {batch_size}, {DEVICE}", "kernels running, share of time", share, "ratio"


SECTIONS = {
    "fit": fit, "predict": predict, "search": search, "scale": scale, "imports": imports,
    "gpu": gpu,
}  # fmt: skip


# -- table and pictures ---------------------------------------------------------------------------
def write_docs(results):
    """docs/engine.rst, a table per section, and its pictures."""
    picture(results, DOCS / "engine.png")
    lines = [
        "Speed and memory", "================", "",
        "Written by ``python benchmarks/engine.py``: medians of rounds in which the contestants",
        "took turns on one machine, one thread and one network each. Below 1 a ratio means that",
        "ours was faster.",
        "", ".. image:: engine.png", "",
    ]  # fmt: skip
    for section, rows in results.groupby("section", sort=False):
        machine = rows.iloc[0]
        lines += [section.capitalize(), "-" * len(section), "",
                  f"On {machine.device}, {machine.n_cores} cores, torch {machine.torch}.", "",
                  ".. list-table::", "   :header-rows: 1", "", "   * - setting", "     - what",
                  "     - value"]  # fmt: skip
        for row in rows.itertuples():
            unit = "" if row.unit == "ratio" else f" {row.unit}"
            digits = f"{row.value:,.0f}" if row.value >= 1000 else f"{row.value:.3g}"
            lines += [f"   * - {row.setting}", f"     - {row.what}", f"     - {digits}{unit}"]
        lines.append("")
    (DOCS / "engine.rst").write_text("\n".join(lines))


def picture(results, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    ratios = results[(results.section == "fit") & (results.unit == "ratio")]
    for name, rows in ratios.groupby("what", sort=False):
        batch = rows.setting.str.extract(r"(\d+)")[0].astype(int)
        left.plot(batch, rows.value, "o-", label=name.removeprefix("ours / "))
    left.axhline(1, color="grey", lw=0.8)
    left.set(xscale="log", xticks=[64, 128, 256], xticklabels=[64, 128, 256], ylim=(0, None),
             xlabel="batch size", ylabel="seconds of ours / of the other", title="fit")  # fmt: skip
    left.minorticks_off()
    left.legend(fontsize=7, frameon=False)
    rows = results[(results.section == "search") & results.what.str.contains("GridSearchCV")]
    middle.barh(rows.setting, rows.value)
    middle.axvline(0.25, color="grey", lw=0.8)
    middle.set(xlabel="seconds of OMIBClassifierCV / of GridSearchCV", title="8 betas x 5 folds")
    per_epoch = results[(results.section == "scale") & results.setting.str.contains(" rows of ")
                        & (results.what == "seconds per epoch")]  # fmt: skip
    n_rows = per_epoch.setting.str.split(" ").str[0].str.replace(",", "").astype(int)
    right.loglog(n_rows, per_epoch.value, "o-")
    right.set(xlabel="rows", ylabel="seconds per epoch", title="scale")
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="section", help=", ".join(SECTIONS))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    torch.set_num_threads(1)
    machine = {"device": DEVICE, "n_cores": os.cpu_count(), "torch": torch.__version__}
    results = pd.read_csv(RESULTS) if RESULTS.exists() else pd.DataFrame(columns=["section"])
    for section in arguments.sections or SECTIONS:
        rows = []
        for setting, what, value, unit in SECTIONS[section](arguments.rounds):
            print(f"{section:8} {setting:36} {what:46} {value:10.3f} {unit}", flush=True)
            rows.append({"section": section, "setting": setting, "what": what, "value": value,
                         "unit": unit, **machine})  # fmt: skip
        results = pd.concat([results[results.section != section], pd.DataFrame(rows)])
    results = results.sort_values(
        "section", key=lambda s: s.map(list(SECTIONS).index), kind="stable"
    )
    results.to_csv(RESULTS, index=False, float_format="%.4g")
    write_docs(results)


if __name__ == "__main__":
    main()
