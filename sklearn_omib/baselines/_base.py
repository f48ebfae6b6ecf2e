"""BaseBaseline: what the methods share, and docstrings made of a method's and a task's."""

import inspect
import re
from dataclasses import fields

from .._anomaly import OMIBAnomalyDetector
from .._base import BaseMultimodal
from .._classifier import OMIBClassifier
from .._detection import MultimodalAnomalyDetector
from .._regressor import OMIBRegressor

OF_OMIB_ONLY = (
    "beta_", "beta_bounds_", "modality_dropout_", "modality_weights_", "n_members_",
)  # fmt: skip
CLASSIFIER_EXAMPLE = """\
>>> import numpy as np
>>> from sklearn_omib.baselines import {name}
>>> rng = np.random.default_rng(0)
>>> X = {{"audio": rng.normal(size=(200, 5)), "video": rng.normal(size=(200, 3))}}
>>> y = np.where(X["audio"][:, 0] + X["video"][:, 0] > 0, "glad", "sad")
>>> clf = {name}(max_epochs=60, random_state=0).fit(X, y)
>>> clf.predict_proba(X).shape, clf.transform(X).shape
((200, 2), (200, 32))
>>> clf.score(X, y) > 0.8
True"""
REGRESSOR_EXAMPLE = """\
>>> import numpy as np
>>> from sklearn_omib.baselines import {name}
>>> rng = np.random.default_rng(0)
>>> X = {{"sensors": rng.normal(size=(200, 5)), "records": rng.normal(size=(200, 3))}}
>>> y = X["sensors"][:, 0] + X["records"][:, 0]
>>> reg = {name}(max_epochs=60, random_state=0).fit(X, y)
>>> reg.score(X, y) > 0.7
True"""
DETECTOR_EXAMPLE = """\
>>> import numpy as np
>>> from sklearn_omib.baselines import {name}
>>> rng = np.random.default_rng(0)
>>> X = {{"audio": rng.normal(size=(300, 5)), "video": rng.normal(size=(300, 3))}}
>>> detector = {name}(random_state=0).fit(X)
>>> new = {{"audio": [[0] * 5, [6] * 5], "video": [[0] * 3, [6, 6, -6]]}}
>>> detector.predict(new)
array([ 1, -1])"""
SVDD = """\
The paper of OMIB "modified" its baselines "to accommodate the SVDD strategy" without saying how;
here the method's network and penalties take the embedding, centre, decoders and scores of
:class:`~sklearn_omib.OMIBAnomalyDetector`."""


class BaseBaseline(BaseMultimodal):
    """A method to compare with; a task makes it an estimator.

    Parameters
    ----------
    n_iter_no_change : int, default=25
        Epochs without improvement after which training ends: as many as OMIB's warm-up and
        patience together, since these methods have no warm-up.
    """

    n_iter_no_change: int = 25

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for model, example in (
            (OMIBClassifier, CLASSIFIER_EXAMPLE),
            (OMIBRegressor, REGRESSOR_EXAMPLE),
            (OMIBAnomalyDetector, DETECTOR_EXAMPLE),
        ):
            # where method and task meet, and docstrings are not stripped
            if cls.__bases__[:1] == model.__bases__[:1] and cls.__doc__:
                cls.__doc__ = _docstring(cls, model, example)


def _docstring(cls, model, example):
    """Summary of the estimator, text of its method, parameters of both and of the task."""
    method = cls.__bases__[1]
    text, own = _sections(method)
    shared = _sections(model)[1]
    sections = shared, _sections(BaseBaseline)[1], own
    parameters = {
        k: v for some in sections for k, v in _entries(some.get("Parameters", "")).items()
    }
    documented = [parameters[field.name] for field in fields(cls) if field.init]
    attributes = _entries(shared["Attributes"])
    parts = {
        "Parameters": "\n".join(documented),
        "Attributes": "\n".join(v for k, v in attributes.items() if k not in OF_OMIB_ONLY),
        "References": own.get("References"),
        "Examples": example.format(name=cls.__name__),
    }
    body = text.partition("\n\n")[2]
    if issubclass(cls, MultimodalAnomalyDetector):
        body += f"\n\n{SVDD}"
    written = [f"{title}\n{'-' * len(title)}\n{part}" for title, part in parts.items() if part]
    whole = "\n\n".join([inspect.cleandoc(cls.__doc__), body, *written])
    return whole.replace("\n", "\n    ").replace("\n    \n", "\n\n") + "\n    "


def _sections(cls):
    """A numpydoc docstring as its text and {title: content}."""
    text, *parts = re.split(r"^(\w[\w ]*)\n-+\n", inspect.cleandoc(cls.__doc__), flags=re.MULTILINE)
    titles, contents = parts[::2], parts[1::2]
    return text.strip(), {t: c.strip("\n") for t, c in zip(titles, contents, strict=True)}


def _entries(section):
    """The entries of a section by name."""
    entries = re.split(r"^(?=\S)", section, flags=re.MULTILINE)
    return {entry.split(" : ")[0]: entry.rstrip("\n") for entry in entries if entry}
