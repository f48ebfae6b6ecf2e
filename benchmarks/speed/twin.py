"""The same training twice: by the package, and by the loop written by hand."""

import time

import handwritten
from skorch.callbacks import Callback

from sklearn_omib import OMIBClassifier
from sklearn_omib.nn.stacking import copy_module


class Watch(Callback):
    """Notes the weights, rows and seeds that networks begin with, and how long they train."""

    def reset(self):
        self.begun, self.networks = None, []

    def on_train_begin(self, net, **kwargs):
        if net.phase == "warm-up":
            module, self.families = copy_module(net.module_), net.families
            self.networks += [(module, place) for place in range(net.n_networks)]  # of a part
            self.begun = self.begun or time.perf_counter()

    def on_train_end(self, net, **kwargs):
        self.seconds = time.perf_counter() - self.begun


class Twin:
    """Training of some networks on the same data, each of which takes every epoch there is.

    What comes before training (checks, scaling, the bound on beta) has no part in it.

    Parameters
    ----------
    n_networks : int
    X, y : data
    **options
        Of OMIBClassifier.
    """

    def __init__(self, n_networks, X, y, **options):
        self.X, self.y = X, y
        self.clf = OMIBClassifier(
            n_members=n_networks, n_jobs=1, beta=0.01, random_state=0, **options
        )
        self.clf.set_params(n_iter_no_change=10**6)
        self.watch = Watch()
        self.clf._watchers = (("watch", self.watch),)
        self.ours()
        self.parts = [  # of each network: rows to train on and to stop by
            (family.train.take(slice(None)), family.valid.take(slice(None)))
            for family in self.watch.families
        ]
        self.by_hand()  # what only the first time takes

    @property
    def n_steps(self):
        """Steps of one network, in both phases."""
        recipe = self.clf.recipe_
        n_batches = -(-len(self.parts[0][0][1]) // recipe.batch_size)
        return n_batches * (recipe.warmup_epochs + recipe.max_epochs)

    def ours(self):
        """Seconds of training by the package."""
        self.watch.reset()
        self.clf.fit(self.X, self.y)
        return self.watch.seconds

    def by_hand(self):
        """Seconds of training by hand, one network after the other."""
        self.histories, seconds = [], 0.0
        for k in range(len(self.parts)):
            network = self.network(k)
            begun = time.perf_counter()
            self.histories.append(self.train(network, k))
            seconds += time.perf_counter() - begun
        return seconds

    def network(self, k):
        """The network by hand, with the weights that the package's k-th begins with."""
        clf = self.clf
        widths = [block.shape[1] for block in self.parts[k][0][0].values()]
        network = handwritten.Network(
            widths, len(clf.classes_), clf.hidden_dim, clf.latent_dim, clf.n_heads, clf.dropout,
            clf.input_dropout, clf.modality_dropout_,
        )  # fmt: skip
        handwritten.load(network, *self.watch.networks[k])
        return network

    def train(self, network, k):
        clf, recipe = self.clf, self.clf.recipe_
        (train, y, _), (valid, y_valid, _) = self.parts[k]
        return handwritten.fit(
            network, list(train.values()), y, list(valid.values()), y_valid, beta=clf.beta_,
            lr=recipe.learning_rate, weight_decay=clf.weight_decay, batch_size=recipe.batch_size,
            warmup_epochs=recipe.warmup_epochs, max_epochs=recipe.max_epochs,
            patience=clf.n_iter_no_change, tol=clf.tol, seed=self.watch.families[k].seed,
        )  # fmt: skip
