"""Randomness from a generator of the network's own.

torch draws dropout masks and noise from one generator per process, so two fits in two threads
would disturb each other. Every random module here draws from its attribute ``generator`` instead;
:func:`set_generator` hands the same generator to all of them, and None takes torch's.
"""

import threading
from contextlib import contextmanager

import torch
from torch import nn

_INIT_LOCK = threading.Lock()


@contextmanager
def seeded_initialisation(seed):
    """Draw initial weights from a seed of our own, leaving torch's generator as it was.

    Layers draw theirs from the one generator a process has, so threads take turns.
    """
    with _INIT_LOCK, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed GPUs too
        yield


class GeneratorStack:
    """Generators of stacked networks: network k draws from ``generators[index[k]]``.

    Networks of one seed share their draws, as they would have the same ones when trained apart.

    Parameters
    ----------
    generators : sequence of torch.Generator
    index : Tensor of shape (n_networks,), int64
    """

    def __init__(self, generators, index):
        self.generators, self.index = generators, index

    def draw(self, draw, x):
        """``draw(tensor, generator)`` into a new tensor like x, seed by seed."""
        draws = x.new_empty(len(self.generators), *x.shape[1:])
        for one, own in zip(draws, self.generators, strict=True):
            draw(one, own)
        return draws if len(draws) == len(x) else draws[self.index]


def _draw(draw, x, generator):
    if isinstance(generator, GeneratorStack):
        return generator.draw(draw, x)
    return draw(torch.empty_like(x), generator)


class Dropout(nn.Module):
    """Set entries to zero with probability p while training, and scale the rest by 1/(1 - p).

    Parameters
    ----------
    p : float in [0, 1)
    """

    def __init__(self, p):
        super().__init__()
        self.p = p
        self.generator = None

    def forward(self, x):
        if not self.training or self.p == 0:
            return x
        return x * _draw(self._draw_mask, x, self.generator)

    def _draw_mask(self, mask, generator):
        # uniform draws compared with p cost a fraction of bernoulli_, and floats less than bools
        return mask.uniform_(generator=generator).ge_(self.p).mul_(1 / (1 - self.p))

    def extra_repr(self):
        return f"p={self.p}"


def standard_normal_like(x, generator):
    """Draw N(0, I) noise of the shape, type and device of x."""
    return _draw(lambda noise, own: noise.normal_(generator=own), x, generator)


def set_generator(module, generator):
    """Give every random submodule the same generator, or None.

    Parameters
    ----------
    module : torch.nn.Module
    generator : torch.Generator, GeneratorStack or None
    """
    for submodule in module.modules():
        if "generator" in submodule.__dict__:
            submodule.generator = generator
