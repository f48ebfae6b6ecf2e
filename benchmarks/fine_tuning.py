"""What a fit that trains the last layers of a transformer costs beside loops written by hand.

    python benchmarks/fine_tuning.py               # CMU-MOSI's transcripts, some ten minutes

Three run in turns on one thread, with the same texts, epochs and batches of 32:

* *fit*: ``OMIBClassifier`` with ``TextEncoder(trainable_layers=3)``, all of it: texts through the
  frozen layers, checks, warm-up and main phase, rows held out.
* *same passes*: a loop by hand of the same forward and backward passes: frozen layers once, the
  last three with a linear head behind the mean of tokens in every epoch, batches by length.
* *plain loop*: the whole transformer in every step, gradients through the last three layers alone,
  batches by chance, padded to their longest text.

Seconds are of the process, medians over turns. *again* is a fit that finds what is frozen in
``memory``. Written to ``results/fine_tuning.rst``, which ``raw.py`` takes into its page.
"""

import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from paper.common import table
from raw import TRAINED_LAYERS, mosi, text_model
from resumable import ROOT, arguments

from sklearn_omib import OMIBClassifier
from sklearn_omib.encoders import TextEncoder
from sklearn_omib.training.plan import validation_split

BATCH, RATE, RATE_OF_HEAD, DECAY = 32, 1e-4, 1e-3, 0.01


def fit(texts, y, groups, memory=None):
    encoder = TextEncoder(text_model(), trainable_layers=TRAINED_LAYERS, memory=memory)
    model = OMIBClassifier(encoders={"text": encoder}, n_jobs=1, random_state=0)
    return model.fit({"text": texts}, y, groups=groups)


def same_passes(texts, y, rows, held_out, n_epochs):
    """Frozen layers once, in batches by length; the last layers in every epoch."""
    tokenizer, network = loaded()
    layers = network.encoder.layer
    n_first = len(layers) - TRAINED_LAYERS
    lengths = np.array([len(ids) for ids in tokenizer(texts, truncation=True)["input_ids"]])
    kept = [None] * len(texts)
    with torch.no_grad():
        for some in by_length(np.arange(len(texts)), lengths, 64):
            hidden, mask = embedded(network, tokenizer, [texts[i] for i in some])
            for layer in layers[:n_first]:
                hidden = passed(layer, hidden, mask)
            for i, one in zip(some, hidden, strict=True):
                kept[i] = one[: lengths[i]].half()

    def read(some):
        width = max(lengths[some])
        hidden = torch.zeros(len(some), width, kept[0].shape[1])
        mask = torch.zeros(len(some), width)
        for place, i in enumerate(some):
            hidden[place, : lengths[i]] = kept[i].float()
            mask[place, : lengths[i]] = 1
        for layer in layers[n_first:]:
            hidden = passed(layer, hidden, mask)
        return mean_of(hidden, mask)

    train(network, layers[n_first:], read, y, rows, held_out, n_epochs, lengths)


def plain_loop(texts, y, rows, held_out, n_epochs):
    """The whole transformer in every step."""
    tokenizer, network = loaded()
    layers = network.encoder.layer[-TRAINED_LAYERS:]

    def read(some):
        read = tokenizer([texts[i] for i in some], padding=True, truncation=True,
                         return_tensors="pt")  # fmt: skip
        return mean_of(network(**read).last_hidden_state, read["attention_mask"].float())

    train(network, layers, read, y, rows, held_out, n_epochs, None)


def loaded():
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(text_model())
    return tokenizer, AutoModel.from_pretrained(text_model()).requires_grad_(False)


def embedded(network, tokenizer, texts):
    read = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    ids, kinds = read["input_ids"], read.get("token_type_ids")
    return network.embeddings(input_ids=ids, token_type_ids=kinds), read["attention_mask"].float()


def passed(layer, hidden, mask):
    hidden = layer(hidden, attention_mask=(mask[:, None, None] - 1) * torch.finfo().max)
    return hidden[0] if isinstance(hidden, tuple) else hidden


def mean_of(hidden, mask):
    return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def by_length(rows, lengths, size):
    order = rows[np.argsort(lengths[rows], kind="stable")]
    return [order[start : start + size] for start in range(0, len(order), size)]


def train(network, layers, read, y, rows, held_out, n_epochs, lengths):
    rng = np.random.default_rng(0)
    layers.requires_grad_(True).train()
    head = torch.nn.Linear(network.config.hidden_size, 2)
    groups = [{"params": layers.parameters(), "lr": RATE},
              {"params": head.parameters(), "lr": RATE_OF_HEAD}]  # fmt: skip
    optimizer = torch.optim.AdamW(groups, weight_decay=DECAY)
    y = torch.as_tensor(y)
    for _ in range(n_epochs):
        order = rng.permutation(rows)
        batches = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
        if lengths is not None:
            batches = by_length(order, lengths, BATCH)
            batches = [batches[i] for i in rng.permutation(len(batches))]
        for some in batches:
            loss = torch.nn.functional.cross_entropy(head(read(some)), y[some])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            for start in range(0, len(held_out), 64):
                read(held_out[start : start + 64])


def timed(run, *arguments):
    """CPU seconds of a call, and what it returns."""
    start = time.process_time()
    answer = run(*arguments)
    return time.process_time() - start, answer


def main():
    chosen = arguments(__doc__, 3, jobs=False)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    sample = mosi()
    sample = sample[~sample.is_test]
    texts, y, groups = [text.lower() for text in sample.X["text"]], sample.y, sample.groups
    rows, held_out = validation_split(len(y), y, groups, 0)
    fit(texts[::7], y[::7], groups[::7])  # what is imported and read first is
    found = {"fit": [], "again": [], "same passes": [], "plain loop": []}
    for _ in range(chosen.seeds):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("fit", "again"):
                spent, model = timed(fit, texts, y, groups, folder)
                found[name].append(spent)
        n_epochs = model.recipe_.warmup_epochs + model.recipe_.max_epochs
        for name, loop in (("same passes", same_passes), ("plain loop", plain_loop)):
            found[name].append(timed(loop, texts, y, rows, held_out, n_epochs)[0])
    write(found, len(rows), n_epochs, chosen.out)


def write(found, n_rows, n_epochs, out):
    medians = {name: np.median(values) for name, values in found.items()}
    body = [
        [name, f"{value:.0f}", f"{1000 * value / n_rows / n_epochs:.1f}",
         f"{medians['fit'] / value:.2f}"] for name, value in medians.items()
    ]  # fmt: skip
    turns = len(found["fit"])
    lines = [
        f"{n_rows} texts of CMU-MOSI to train on, {n_epochs} epochs, one thread; medians of "
        f"{turns} turns.", "",
        *table(["", "CPU seconds", "ms per text and epoch", "a fit takes, of it"], body),
    ]  # fmt: skip
    folder = Path(out) if out else ROOT / "benchmarks" / "results"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fine_tuning.rst").write_text("\n".join(lines).rstrip() + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
