"""Several OMIB networks trained side by side and averaged."""

import copy
from numbers import Integral
from typing import ClassVar

import numpy as np

from ._compat import Interval, StrOptions
from ._distributed import current_group
from ._omib import BaseOMIB
from ._stacked import Siblings, train_stacked
from ._stream import StreamData

N_MEMBERS = 5  # of "auto" (benchmarks/levers.py)
MAX_SAMPLES = 10_000  # for which "auto" pays so many networks


class EnsembleOMIB(BaseOMIB):
    """OMIB with several networks that differ in seed, so in weights, noise and validation rows.

    They are trained as one stacked network. The first is the one that would be trained alone.
    """

    n_members: int | str = "auto"

    _parameter_constraints: ClassVar[dict] = {
        "n_members": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    }

    def _prepare(self, X, y, sample_weight, groups, resume=False):
        data, seed = super()._prepare(X, y, sample_weight, groups, resume)
        n_others = self._count_members(data) - 1
        seeds = np.random.RandomState(seed).randint(2**31 - 1, size=n_others).tolist()
        self._others = tuple(
            copy.copy(self).set_params(n_members=1, random_state=own) for own in seeds
        )
        self._to_train = [
            Siblings.seeded([other], *other._prepare(X, y, sample_weight, groups))
            for other in self._others
        ]
        return data, seed

    def _count_members(self, data):
        """How many networks a fit with (train, valid) data has."""
        if self.warm_start:
            return self._alone("warm_start")
        if current_group() is not None:
            return self._alone("a fit shared by several processes")
        if isinstance(data[0], StreamData):
            return self._alone("streaming")
        if self.n_members == "auto":
            n_samples = sum(len(part) for part in data if part is not None)
            return N_MEMBERS if n_samples <= MAX_SAMPLES else 1
        return self.n_members

    def _alone(self, reason):
        if self.n_members not in ("auto", 1):
            self.__dict__.pop("net_", None)  # prepared, but not fitted
            raise ValueError(f"{reason} goes with one network, but n_members={self.n_members}.")
        return 1

    def _partial_fit(self, X, y, sample_weight):
        if hasattr(self, "net_"):
            for other in self._others:
                other._partial_fit(X, y, sample_weight)
        else:
            self._alone("a first partial_fit")
            self._others = ()
        return super()._partial_fit(X, y, sample_weight)

    def _train(self, data, seed, warmup_epochs, max_epochs):
        others = self.__dict__.pop("_to_train", ())
        if not others:
            super()._train(data, seed, warmup_epochs, max_epochs)
            return
        families = [Siblings.seeded([self], data, seed), *others]
        try:
            failed = train_stacked(families, None, self.n_threads, self.verbose)
            if failed:
                raise ValueError(failed[0][1])
        except BaseException:
            self.__dict__.pop("net_", None)  # half-trained: not fitted
            raise

    def _members(self):
        return [self, *getattr(self, "_others", ())]

    def _read_off(self, before=0):
        super()._read_off(before)
        self.n_members_ = len(self._members())
