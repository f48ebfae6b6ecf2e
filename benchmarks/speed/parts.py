"""What is measured, part by part: each yields figures of contestants that took turns."""

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from speed.child import make_data
from speed.turns import Figure, Process, fresh, seconds, take_turns, version_of
from speed.twin import Twin

from sklearn_omib import ModalityDict, OMIBClassifier, OMIBClassifierCV
from sklearn_omib.information import estimate_beta_bounds

SKLEARN = ("MLPClassifier", "HistGradientBoostingClassifier")
BOOSTING = SKLEARN[1]
PRECISIONS = ("float32", "bfloat16")
TARGETS = {  # what a figure should not be above
    "earlier": 0.6, "start": 0.15, "five networks": 2.2, "one row": 1.5, "grid": 0.25,
    "single fits": 4.0, "one row more": 1.1,
}  # fmt: skip


class Sizes(NamedTuple):
    """How much is measured; a shape is (rows, modalities, columns of each)."""

    fit: Mapping = {"small": (300, 2, 20), "medium": (2000, 3, 50), "wide": (250, 3, 2000)}
    small: tuple = (300, 2, 20)
    medium: tuple = (2000, 3, 50)
    large: tuple = (50_000, 5, 50)
    calls: int = 20  # of predict in a turn; ten times as many of one row
    betas: int = 8
    folds: int = 5
    jobs: int = 2  # of GridSearchCV
    rows: tuple = (10_000, 10_001, 8_000, 12_000, 16_000, 24_000)  # beside the first
    gpu_rows: int = 100_000
    batches: tuple = (64, 128, 256)
    gpu_batches: tuple = (128, 1024, 8192)
    few: Mapping = {"warmup_epochs": 1, "max_epochs": 3}  # where epochs are not the point
    steps: Mapping = {"warmup_epochs": 4, "max_epochs": 8}  # where steps are
    default: Mapping = {}  # what is changed in a fit that is to be a default one


QUICK = Sizes(
    fit={"small": (60, 2, 3), "wide": (40, 2, 30)}, small=(60, 2, 3), medium=(90, 2, 4),
    large=(200, 2, 4), calls=2, betas=2, folds=2, jobs=1, rows=(100, 101, 80), gpu_rows=64,
    batches=(32,), gpu_batches=(32,), few={"warmup_epochs": 1, "max_epochs": 2},
    steps={"warmup_epochs": 1, "max_epochs": 2}, default={"warmup_epochs": 1, "max_epochs": 2},
)  # fmt: skip


class Run(NamedTuple):
    rounds: int
    sizes: Sizes
    against: Path | None


def described(shape):
    n_samples, n_modalities, n_columns = shape
    return f"{n_samples:,} rows of {n_modalities} x {n_columns:,} columns"


def fit(run):
    """A default fit beside that of another checkout, and beside scikit-learn's."""
    with ExitStack() as stack:
        process = stack.enter_context(Process())
        makers = {"OMIB": process}
        if run.against:
            earlier = version_of(run.against)
            makers[earlier] = stack.enter_context(Process(run.against))
        makers |= {name: process for name in SKLEARN}
        for name, do in makers.items():  # what only the first fit of a process takes
            _fit(do, name, run.sizes.small, run.sizes.few, 0)
        for size, shape in run.sizes.fit.items():
            took = take_turns(
                {n: partial(_fit, do, n, shape, run.sizes.default) for n, do in makers.items()},
                run.rounds,
            )
            setting = f"{size}: {described(shape)}"
            ours = took.pop("OMIB")
            yield Figure(setting, "a default fit", ours, "s")
            for name, theirs in took.items():
                aim = np.nan if name in SKLEARN else TARGETS["earlier"]
                yield Figure(setting, f"a default fit / that of {name}", ours / theirs, target=aim)


def _fit(process, name, shape, options, turn):
    """Each round has other rows, the same for all."""
    model = name if name in SKLEARN else "OMIB"
    return process("fit", model=model, shape=shape, seed=turn, options=options)["seconds"]


def start(run):
    """The first fit of a process beside later ones."""
    job = partial(fresh, "start", shape=run.sizes.small, options=run.sizes.few)
    took = take_turns({"start": lambda turn: job()}, run.rounds)["start"]
    setting = f"few epochs: {_epochs(run.sizes.few)}, {described(run.sizes.small)}"
    more = took["first"] - took["later"]
    yield Figure(setting, "first fit - a later fit", more, "s", TARGETS["start"])
    yield Figure(setting, "first fit / a later fit", took["first"] / took["later"])
    behind = "import of sklearn_omib behind torch and scikit-learn"
    yield Figure("import", behind, took["import"], "s")


def _epochs(options):
    return "{warmup_epochs} + {max_epochs} epochs".format(**options)


def predict(run):
    """Five networks beside one, on many rows and on one."""
    X, y = make_data(run.sizes.medium)
    networks = {
        n: OMIBClassifier(n_members=n, random_state=0, **run.sizes.few).fit(X, y) for n in (5, 1)
    }
    one = {name: block[:1] for name, block in X.items()}
    many, single = f"many rows: {described(run.sizes.medium)}", "one row"
    for setting, rows, times in ((many, X, run.sizes.calls), (single, one, 10 * run.sizes.calls)):
        contestants = {n: partial(_predict, clf, rows, times) for n, clf in networks.items()}
        took = take_turns(contestants, run.rounds)
        of_ratio = TARGETS["five networks"] if setting == many else np.nan
        of_time = TARGETS["one row"] if setting == single else np.nan
        what = "predict_proba, five networks"
        yield Figure(setting, what, 1000 * took[5], "ms", of_time)
        yield Figure(setting, f"{what} / one network", took[5] / took[1], target=of_ratio)


def _predict(clf, rows, times, turn):
    return seconds(clf.predict_proba, rows, times=times)


def search(run):
    """The search over beta beside a grid of fits, and beside one fit."""
    X, y = make_data(run.sizes.medium)
    X = ModalityDict(X)
    options = {"random_state": 0, **run.sizes.default}
    upper = estimate_beta_bounds(X).upper
    betas = np.geomspace(0.01, 1, run.sizes.betas) * upper
    single = OMIBClassifier(n_members=1, **options)
    grid = GridSearchCV(single, {"beta": betas.tolist()}, cv=run.sizes.folds, n_jobs=run.sizes.jobs)
    searches = _searches(betas=betas, cv=run.sizes.folds, **options)
    clone(grid).set_params(estimator__max_epochs=1).fit(X[:60], y[:60])  # starts its processes
    models = {**searches, "grid": grid, "one": single, "default": OMIBClassifier(**options)}
    took = take_turns({name: partial(_fit_here, m, X, y) for name, m in models.items()}, run.rounds)
    setting = f"{len(betas)} betas x {run.sizes.folds} folds: {described(run.sizes.medium)}"
    for name, model in searches.items():
        ours = took[name]
        yield Figure(setting, name, ours, "s")
        with_jobs = f"GridSearchCV of one network, n_jobs={grid.n_jobs}"
        for other, what, aim in (
            ("grid", with_jobs, TARGETS["grid"]),
            ("one", "a fit of one network", TARGETS["single fits"]),
            ("default", "a default fit", np.nan),
        ):
            yield Figure(setting, f"{name} / {what}", ours / took[other], target=aim)
        apart = model.cv_results_["mean_test_score"] - grid.cv_results_["mean_test_score"]
        yield Figure(setting, f"{name}, largest difference of a mean accuracy from the grid's",
                     np.abs(apart).max(keepdims=True), "share")  # fmt: skip


def _searches(**options):
    """The search, in each of the ways it offers."""
    search = OMIBClassifierCV(**options)
    if "method" not in search.get_params():
        return {"OMIBClassifierCV": search}
    return {
        f'OMIBClassifierCV, method="{method}"': clone(search).set_params(method=method)
        for method in ("path", "independent")
    }


def _fit_here(model, X, y, turn):
    return seconds(model.fit, X, y)


def rows(run):
    """Time over the number of rows, around that from which a fit has fewer networks."""
    clf = OMIBClassifier(random_state=0, **run.sizes.few)
    contestants = {}
    for n in run.sizes.rows:
        X, y = make_data((n, *run.sizes.medium[1:]))
        contestants[n] = partial(_fit_here, clf, X, y)
    _fit_here(clf, X, y, 0)  # what the first fit of a process takes
    took = take_turns(contestants, run.rounds)
    base, next_to_it, *_ = run.sizes.rows
    columns = "{} x {} columns".format(*run.sizes.medium[1:])
    setting = f"few epochs: {_epochs(run.sizes.few)}, {columns}"
    yield Figure(setting, f"fit of {base:,} rows", took[base], "s")
    for n in run.sizes.rows[1:]:
        aim = TARGETS["one row more"] if n == next_to_it else np.nan
        ratio = took[n] / took[base]
        yield Figure(setting, f"fit of {n:,} rows / of {base:,}", ratio, target=aim)


def large(run):
    """Time and peak memory of a default fit of many rows, each in a fresh process."""
    shape, models = run.sizes.large, ("OMIB", BOOSTING)
    took = take_turns({name: partial(_cost, name, run) for name in models}, run.rounds)
    ours, theirs = took["OMIB"], took[BOOSTING]
    setting = described(shape)
    for what, key, unit in (("time", "seconds", "s"), ("peak memory", "mebibytes", "MiB")):
        yield Figure(setting, f"{what} of a default fit", ours[key], unit)
        yield Figure(setting, f"{what} of {BOOSTING}", theirs[key], unit)
        yield Figure(setting, f"{what} / that of {BOOSTING}", ours[key] / theirs[key])


def _cost(model, run, turn):
    shape, options = run.sizes.large, run.sizes.default
    return fresh("fit", model=model, shape=shape, seed=turn, options=options)


def step(run):
    """A step of training beside one written by hand."""
    X, y = make_data(run.sizes.medium)
    for batch_size in run.sizes.batches:
        twins = {
            n: Twin(n, X, y, batch_size=batch_size, device="cpu", **run.sizes.steps) for n in (1, 5)
        }
        took = take_turns(
            {
                (who, n): lambda turn, twin=twin, who=who: getattr(twin, who)() / twin.n_steps
                for n, twin in twins.items() for who in ("ours", "by_hand")
            },
            run.rounds,
        )  # fmt: skip
        setting = f"batch {batch_size}"
        for n, networks in ((1, "one network"), (5, "five networks")):
            ours = took["ours", n]
            yield Figure(setting, f"a step of {networks}", 1000 * ours, "ms")
            yield Figure(setting, f"a step of {networks} / by hand", ours / took["by_hand", n])
        yield Figure(setting, "a step of five networks / of one", took["ours", 5] / took["ours", 1])


def gpu(run, device="cuda"):
    """Rows per second and kernels per step by batch size, precision and number of networks."""
    if device == "cuda" and not torch.cuda.is_available():
        print("gpu: left out, torch finds no GPU here.")
        return
    X, y = make_data((run.sizes.gpu_rows, *run.sizes.medium[1:]))
    variants = [(precision, n) for precision in PRECISIONS for n in (1, 5)]
    for batch_size in run.sizes.gpu_batches:
        setting = f"batch {batch_size:,}: {described((len(y), *run.sizes.medium[1:]))}"
        clfs = {
            (precision, n): OMIBClassifier(
                n_members=n, precision=precision, batch_size=batch_size, device=device,
                early_stopping=False, warmup_epochs=0, max_epochs=3, random_state=0,
            )
            for precision, n in variants
        }  # fmt: skip
        contestants = {v: partial(_rate, clf, X, y) for v, clf in clfs.items()}
        take_turns(contestants, 1)  # kernels are loaded when first used
        rates = take_turns(contestants, run.rounds)
        for (precision, n), clf in clfs.items():
            variant = f"{precision}, {n} network{'s' * (n > 1)}"
            yield Figure(setting, f"rows per second, {variant}", rates[precision, n], "1/s")
            launched = _launches(clf, X, y)
            yield Figure(setting, f"kernel launches per step, {variant}", [launched], "count")
        for n in (1, 5):
            ratio = rates["bfloat16", n] / rates["float32", n]
            what = f"rows per second, bfloat16 / float32, {n} network{'s' * (n > 1)}"
            yield Figure(setting, what, ratio)
        for precision in PRECISIONS:
            ratio = rates[precision, 1] / rates[precision, 5]
            yield Figure(setting, f"a step of five networks / of one, {precision}", ratio)


def _rate(clf, X, y, turn):
    """Rows per second of the quickest epoch, each row being read by all networks."""
    clf.fit(X, y)
    return len(y) / min(clf.net_.history[:, "dur"])


def _launches(clf, X, y, n_steps=10, batch_size=128):
    """Kernels launched per step, those of an epoch more over its steps."""
    n_rows = min(n_steps * batch_size, len(y))
    X, y = {name: block[:n_rows] for name, block in X.items()}, y[:n_rows]
    counts = []
    for epochs in (1, 2):
        with torch.profiler.profile() as profile:
            clone(clf).set_params(max_epochs=epochs, batch_size=batch_size).fit(X, y)
        counts.append(sum(
            event.count for event in profile.key_averages()
            if "LaunchKernel" in event.key or "GraphLaunch" in event.key
        ))  # fmt: skip
    return (counts[1] - counts[0]) / -(-n_rows // batch_size)


PARTS = {
    "fit": fit, "start": start, "predict": predict, "search": search, "rows": rows,
    "large": large, "step": step, "gpu": gpu,
}  # fmt: skip
