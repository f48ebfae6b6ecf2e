"""The fused prediction and the branches' as one, by what is held out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from .._typing import Array
from ..nn.losses import TaskLoss
from .net import StackedNet

# Prior precisions, in rows held out (benchmarks/evidence/heads.py): how near weights are to those
# of the fused prediction alone, and their sum to 1, which on few rows would run away
NEAR_FUSED, NEAR_ONE = 3.0, 30.0


def combine_heads(net: StackedNet, together: Iterable[Sequence[int]]) -> None:
    """Let networks predict a weighted sum of their heads, which fits rows held out.

    A head is the fused prediction or that of a branch. With outputs o_h, scores of classes or
    numbers, the prediction is sum_h a_h o_h: of classes, p is proportional to prod_h p_h^a_h. The
    weights a >= 0 minimise the task loss of the rows held out, summed, + 3/2 |a - c|^2 + 30/2
    (sum_h a_h - 1)^2, where c is the fused prediction alone.

    PAPER-DIFF: the paper predicts from xi alone. What the bottleneck or the fusion has lost of a
    modality, its branch may still know; and a sum other than 1 calibrates.

    Parameters
    ----------
    net : StackedNet
        Trained, of networks with branches.
    together : iterable of lists of int
        Networks that share their weights, found on the rows of all of them.
    """
    if net.families[0].valid is None or not net.module_.n_branches:
        return
    known = _held_out(net)
    weights = torch.zeros(net.n_networks, net.module_.n_branches + 1)
    weights[:, -1] = 1
    for networks in together:
        found = [known[k] for k in networks if k in known]
        if found:
            fitted = _fitted(net.criterion_.task, found)
            weights[list(networks)] = torch.tensor(fitted, dtype=weights.dtype)
    net.module_.head_weights = weights.to(net.device)


Held: TypeAlias = tuple[Tensor, Tensor, Tensor]  # outputs of heads, y and weight of rows


def _held_out(net: StackedNet) -> dict[int, Held]:
    """What each network's heads say of the rows it has not been trained on."""
    parts: dict[int, list[tuple[Tensor, ...]]] = {}
    with torch.no_grad():
        for networks, module, batches in net.own_batches("valid"):
            for inputs, y, weight in batches:
                heads = module.heads(inputs).cpu()
                for place, k in enumerate(networks):
                    mine = heads[place], y[place].cpu(), weight[place].cpu()
                    parts.setdefault(k, []).append(mine)
    found = {k: list(zip(*own, strict=True)) for k, own in parts.items()}
    return {
        k: (torch.cat(heads, 1).double(), torch.cat(y), torch.cat(weight))
        for k, (heads, y, weight) in found.items()
    }


def _fitted(task: TaskLoss, held: Sequence[Held]) -> Array:
    """Weights of heads for the rows of some networks; each row counts once for all of them."""
    heads = torch.cat([heads for heads, _, _ in held], 1)
    y = torch.cat([y for _, y, _ in held])
    weight = torch.cat([weight for *_, weight in held]) / len(held)
    alone = np.eye(len(heads))[-1]

    def loss(a: Array) -> tuple[float, Array]:
        weights = torch.tensor(a, requires_grad=True)
        prior = NEAR_FUSED * (weights - torch.tensor(alone)).square().sum()
        prior = (prior + NEAR_ONE * (weights.sum() - 1).square()) / 2
        total = prior + task.total_loss((weights[:, None, None] * heads).sum(0), y, weight)
        (slope,) = torch.autograd.grad(total, weights)
        return total.item(), slope.numpy()

    found = minimize(loss, alone, jac=True, method="L-BFGS-B", bounds=[(0, None)] * len(heads))
    return found.x if np.isfinite(found.x).all() and np.isfinite(found.fun) else alone
