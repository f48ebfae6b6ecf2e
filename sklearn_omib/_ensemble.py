"""Several OMIB networks trained side by side and averaged."""

from numbers import Integral
from typing import ClassVar

import numpy as np

from ._compat import Interval
from ._distributed import current_group
from ._omib import BaseOMIB
from ._stacked import Siblings, train_stacked
from ._stream import StreamData


class EnsembleOMIB(BaseOMIB):
    """OMIB with several networks that differ in seed, so in weights, noise and validation rows.

    They are trained as one stacked network. The first is the one that would be trained alone.
    """

    n_members: int = 1

    _parameter_constraints: ClassVar[dict] = {
        "n_members": [Interval(Integral, 1, None, closed="left")],
    }
    _others = ()  # all members but this one

    def _prepare(self, X, y, sample_weight, groups, resume=False):
        if self.warm_start:
            self._check_alone("warm_start")
        if current_group() is not None:
            self._check_alone("a fit shared by several processes")
        data, seed = super()._prepare(X, y, sample_weight, groups, resume)
        if isinstance(data[0], StreamData):
            self._check_alone("streaming")
        shared = {**self.get_params(deep=False), "n_members": 1}
        seeds = np.random.RandomState(seed).randint(2**31 - 1, size=self.n_members - 1).tolist()
        members = [type(self)(**{**shared, "random_state": own}) for own in seeds]
        self._to_train = [
            Siblings.seeded([member], *member._prepare(X, y, sample_weight, groups))
            for member in members
        ]
        return data, seed

    def _check_alone(self, reason):
        if self.n_members > 1:
            self.__dict__.pop("net_", None)  # prepared, but not fitted
            raise ValueError(f"{reason} goes with one network, but n_members={self.n_members}.")

    def _partial_fit(self, X, y, sample_weight):
        self._check_alone("partial_fit")
        return super()._partial_fit(X, y, sample_weight)

    def _train(self, data, seed, warmup_epochs, max_epochs):
        others = self.__dict__.pop("_to_train", ())
        self._others = tuple(siblings.estimators[0] for siblings in others)
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
        return [self, *self._others]
