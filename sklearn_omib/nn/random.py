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
        # uniform draws compared with p cost a fraction of bernoulli_
        kept = torch.empty_like(x).uniform_(generator=self.generator) >= self.p
        return x * kept * (1 / (1 - self.p))

    def extra_repr(self):
        return f"p={self.p}"


def standard_normal_like(x, generator):
    """Draw N(0, I) noise of the shape, type and device of x."""
    return torch.empty_like(x).normal_(generator=generator)


def set_generator(module, generator):
    """Give every random submodule the same generator, or None.

    Parameters
    ----------
    module : torch.nn.Module
    generator : torch.Generator or None
    """
    for submodule in module.modules():
        if "generator" in submodule.__dict__:
            submodule.generator = generator
