"""OMIB for two phases and dense blocks as one would write it by hand, to measure the engine by.

Plain PyTorch for one experiment: one network, no containers, no options, no history beyond a list
of losses. The mathematics and the order of random draws (rows, dropout, hidden codes, noise) are
those of the package, so that both reach the same losses from the same weights.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F


class Dropout(nn.Module):
    """What torch.nn.Dropout does, from uniform draws: several times faster on a CPU."""

    def __init__(self, p, generator):
        super().__init__()
        self.p, self.generator = p, generator

    def forward(self, x):
        if not self.training or self.p == 0:
            return x
        drawn = torch.empty(x.shape).uniform_(generator=self.generator)
        return x * drawn.ge_(self.p).mul_(1 / (1 - self.p))


class Network(nn.Module):
    """Encoders, bottlenecks, attention over modalities, head and branches.

    Parameters
    ----------
    widths : list of int
        Columns of the modalities.
    n_classes, hidden, k, n_heads : int
    p, p_in, p_codes : float
        Shares of hidden units, of inputs and of whole modalities' codes that are dropped.
    """

    def __init__(self, widths, n_classes, hidden, k, n_heads, p, p_in, p_codes):
        super().__init__()
        self.generator = torch.Generator()  # of dropout and noise

        def dropout(p):
            return Dropout(p, self.generator)

        def two_layers(n_in, n_out):
            return nn.Sequential(
                nn.Linear(n_in, hidden), nn.GELU(), dropout(p), nn.Linear(hidden, n_out)
            )

        self.k, self.n_heads = k, n_heads
        self.encoders = nn.ModuleList(
            nn.Sequential(dropout(p_in), two_layers(width, hidden)) for width in widths
        )
        self.branches = nn.ModuleList(two_layers(hidden + k, n_classes) for _ in widths)
        self.codes = nn.ModuleList(nn.Linear(hidden, 2 * k) for _ in widths)
        self.hide_codes = dropout(p_codes if len(widths) > 1 else 0.0)
        self.embedding = nn.Parameter(torch.empty(len(widths), k))
        self.in_proj, self.out_proj = nn.Linear(k, 3 * k), nn.Linear(k, k)
        self.dropout, self.norm = dropout(p), nn.LayerNorm(k)
        self.project = nn.Linear(len(widths) * k, k)
        self.head = two_layers(k, n_classes)

    def noise(self, n_rows):
        """For all modalities."""
        return torch.empty(len(self.codes), n_rows, self.k).normal_(generator=self.generator)

    def warm_up(self, blocks):
        z = [encoder(x) for encoder, x in zip(self.encoders, blocks, strict=True)]
        return [
            branch(torch.cat([z_m, noise], 1))
            for branch, z_m, noise in zip(self.branches, z, self.noise(len(z[0])), strict=True)
        ]

    def encode(self, blocks):
        z = [encoder(x) for encoder, x in zip(self.encoders, blocks, strict=True)]
        mus, sigmas, zetas = [], [], []
        noises = self.noise(len(z[0])) if self.training else len(z) * [0.0]
        for z_m, code, noise in zip(z, self.codes, noises, strict=True):
            mu, s = code(z_m).chunk(2, 1)
            sigma = F.softplus(s) + 1e-6
            mus.append(mu)
            sigmas.append(sigma)
            zetas.append(mu + sigma * noise)
        zeta = torch.stack(zetas, 1)
        seen = torch.ones(*zeta.shape[:2], 1)
        if self.training and self.hide_codes.p:
            kept = self.hide_codes(seen)
            zeta, seen = zeta * kept, kept.sign()
        tokens = zeta + self.embedding
        batch, m, k = tokens.shape
        projected = self.in_proj(self.norm(tokens)).view(batch, m, 3, self.n_heads, -1)
        query, key, value = projected.permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(-1, -2) * (k // self.n_heads) ** -0.5
        attention = scores.masked_fill(seen.mT[:, None] == 0, -1e4).softmax(-1)
        values = self.out_proj((attention @ value).transpose(1, 2).reshape(batch, m, k))
        values = self.dropout(values.transpose(0, 1).contiguous()).transpose(0, 1)
        xi = self.project(((tokens + values) * seen).flatten(1))
        return z, torch.stack(mus, 1), torch.stack(sigmas, 1), xi

    def forward(self, blocks):
        z, mu, sigma, xi = self.encode(blocks)
        branches = [
            branch(torch.cat([z_m, xi], 1)) for branch, z_m in zip(self.branches, z, strict=True)
        ]
        return self.head(xi), branches, mu, sigma


def load(network, module, k=0):
    """Take over the weights of one of the package's networks side by side, the k-th."""
    ours = dict(network.named_parameters())
    renamed = {}
    for name, value in module.state_dict().items():
        name = name.replace("bottlenecks.", "codes.").replace(".heads.", ".")
        name = name.removeprefix("fusion.")
        if name.startswith("encoders."):
            name = name.replace(".layers.", ".1.")
        # of a linear map: (in, out) there, (out, in) here
        is_map = name.endswith("weight") and value.ndim > 2
        value = value[k].mT if is_map else value[k]
        part, _, rest = name.partition(".0.")
        if part in ("codes", "branches"):  # of all modalities
            renamed |= {f"{part}.{m}.{rest}": value[m] for m in range(len(network.codes))}
        else:
            renamed[name] = value
    assert ours.keys() == renamed.keys(), ours.keys() ^ renamed.keys()
    with torch.no_grad():
        for name, parameter in ours.items():
            parameter.copy_(renamed[name])


def fit(
    network, train, y, valid, y_valid, *, beta, lr, weight_decay, batch_size, warmup_epochs,
    max_epochs, patience, tol, seed,
):  # fmt: skip
    """Train in two phases with early stopping; returns (phase, train loss, validation loss)."""
    rows = torch.Generator().manual_seed(seed)
    network.generator.manual_seed(seed)
    n, n_modalities, history = len(y), len(train), []
    average, r = None, torch.ones(n_modalities)
    n_batches = -(-n // batch_size)
    edges = [n * i // n_batches for i in range(n_batches + 1)]
    best, best_state, waited = float("inf"), None, 0

    def objective(blocks, y):
        prediction, branches, mu, sigma = network(blocks)
        task = F.cross_entropy(prediction, y)
        branch = torch.stack([F.cross_entropy(output, y) for output in branches])
        kl = 0.5 * (mu.square() + sigma.square() - 1 - 2 * sigma.log()).sum(-1).mean(0)
        with torch.no_grad():
            log_q = prediction.log_softmax(1)
            log_p = torch.stack([output.log_softmax(1) for output in branches])
            divergence = (log_p.exp() * (log_p - log_q)).sum(-1).mean(-1)
        return task + beta * (r * kl).sum() + branch.sum(), task, divergence

    for phase, epochs in (("warm-up", warmup_epochs), ("main", max_epochs)):
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=lr, weight_decay=weight_decay, fused=True
        )
        for epoch in range(epochs):
            network.train()
            if phase == "main" and epoch:
                squared = average.square() + 1e-12
                r = (2 * squared[0] / (squared[0] + squared)).clamp(0.01, 1.99)
            order, total = torch.randperm(n, generator=rows), torch.zeros(())
            for start, stop in pairwise(edges):
                batch = order[start:stop]
                blocks, y_batch = [x[batch] for x in train], y[batch]
                optimizer.zero_grad(set_to_none=True)
                if phase == "warm-up":
                    outputs = network.warm_up(blocks)
                    loss = sum(F.cross_entropy(output, y_batch) for output in outputs)
                else:
                    loss, _, divergence = objective(blocks, y_batch)
                    average = divergence if average is None else average.lerp(divergence, 0.01)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
                optimizer.step()
                total += loss.detach() * (stop - start)
            network.eval()
            with torch.no_grad():
                if phase == "warm-up":
                    outputs = network.warm_up(valid)
                    loss = task = sum(F.cross_entropy(output, y_valid) for output in outputs)
                else:
                    loss, task, _ = objective(valid, y_valid)
            history.append((phase, total.item() / n, loss.item()))
            if phase == "main":
                waited = 0 if task.item() < best - tol else waited + 1
                if task.item() < best:
                    best = task.item()
                    best_state = {k: v.clone() for k, v in network.state_dict().items()}
                if waited >= patience:
                    break
    network.load_state_dict(best_state)
    return history
