"""Pretrained transformers: where they are found, and their parts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .._typing import Array
from ..nn.random import Drawing
from . import _memory

# In configurations: dropout of attention, which torch's functions draw from the process's generator
DROPPED = ("attention_probs_dropout_prob", "attention_dropout")
N_KEPT = 2  # transformers in memory
STOPPING = Lock()  # while a network has a hook that others must not meet


def transformers() -> Any:
    """The library, where it is installed."""
    try:
        import transformers
    except ImportError as error:
        raise ImportError(
            "A pretrained text encoder needs transformers: pip install 'sklearn-omib[text]'."
        ) from error
    return transformers


class Pretrained(NamedTuple):
    """A transformer as it was published, frozen, with what turns texts into its tokens."""

    tokenizer: Any
    network: Any
    longest: int  # sequence of tokens that it reads


def stamp(model: str) -> int:
    """When a model's folder was last written to; of a name on the hub 0."""
    parts = Path(model).iterdir() if Path(model).is_dir() else ()
    return max((part.stat().st_mtime_ns for part in parts), default=0)


@lru_cache(maxsize=N_KEPT)
def fingerprint(model: str, pickled: bool, written: int) -> str:
    """Tells transformers apart that make other features; parameters as :func:`pretrained`."""
    network = pretrained(model, pickled, written).network
    return _memory.fingerprint(network, network.config.to_json_string(use_diff=False))


@lru_cache(maxsize=N_KEPT)
def pretrained(model: str, pickled: bool, written: int) -> Pretrained:
    """Load a transformer, once for all encoders of this process.

    Parameters
    ----------
    model : str
        Name on the Hugging Face hub, or folder.
    pickled : bool
        Whether weights may be in a pickle, which can run code.
    written : int
        Of :func:`stamp`, so that a folder that is written anew is read anew.

    Raises
    ------
    OSError
        If it cannot be loaded; the message says where it was looked for.
    """
    library = transformers()
    is_folder = Path(model).is_dir()
    try:
        config, tokenizer, network = _loaded(library, model, pickled, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        if is_folder:
            raise OSError(_not_loaded(model, error)) from error
        try:  # what is on this machine needs no connection
            config, tokenizer, network = _loaded(library, model, pickled, local_files_only=False)
        except (OSError, ValueError, KeyError) as error:
            raise OSError(_not_found(model, error)) from error
    if config.is_encoder_decoder or tokenizer.pad_token_id is None:
        raise ValueError(
            f"{model!r} is a {type(network).__name__}, no encoder of texts; models of the kind of "
            "BERT, RoBERTa, DistilBERT, MPNet or DeBERTa are."
        )
    network = network.float().eval().requires_grad_(False)
    return Pretrained(tokenizer, network, _longest(tokenizer, network))


def _longest(tokenizer: Any, network: Any) -> int:
    embeddings = getattr(network, "embeddings", None)
    positions = getattr(embeddings, "position_embeddings", None)
    if not isinstance(positions, nn.Embedding):
        return int(tokenizer.model_max_length)
    # RoBERTa and MPNet count from behind the position of padding
    first = 0 if positions.padding_idx is None else positions.padding_idx + 1
    return int(min(tokenizer.model_max_length, positions.num_embeddings - first))


def _loaded(library: Any, model: str, pickled: bool, **options: bool) -> tuple[Any, Any, Any]:
    """Configuration, tokenizer and network."""
    options["trust_remote_code"] = False
    # initial weights of parts that are not in the file are drawn, but not from torch's generator
    with _quiet(library), Drawing(torch.Generator().manual_seed(0)):
        config = library.AutoConfig.from_pretrained(model, **options)
        for name in DROPPED:
            if hasattr(config, name):
                setattr(config, name, 0.0)
        tokenizer = library.AutoTokenizer.from_pretrained(model, **options)
        network = library.AutoModel.from_pretrained(
            model, config=config, use_safetensors=None if pickled else True, **options
        )
    return config, tokenizer, network


@contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Without a bar for what takes a second."""
    logging = library.utils.logging
    was_shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_shown:
            logging.enable_progress_bar()


def _not_loaded(model: str, error: Exception) -> str:
    return (
        f"The text model in the folder {model} cannot be loaded: {_line(error)} It has to have "
        "config.json, a tokenizer, and weights in model.safetensors (weights='pickle' also takes "
        "pytorch_model.bin, which can run code: only of somebody you trust)."
    )


def _not_found(model: str, error: Exception) -> str:
    home = os.environ.get("HF_HOME", os.path.join("~", ".cache", "huggingface"))
    cache = os.environ.get("HF_HUB_CACHE", os.path.join(home, "hub"))
    return (
        f"The text model {model!r} was found neither as a folder nor in {cache}, nor could it be "
        f"downloaded: {_line(error)} Without a connection, download it elsewhere (hf download "
        f"{model} --local-dir FOLDER) and give the folder as model; NGramEncoder() needs no model."
    )


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if text.endswith(".") else f"{text}."


def layers_of(network: Any) -> tuple[nn.Module, str]:
    """The module that has the layers of a transformer, and the name they have there.

    Raises
    ------
    ValueError
        If it has none, or several such lists.
    """
    n_layers = getattr(network.config, "num_hidden_layers", None)
    found = [
        (parent, name)
        for parent in network.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.ModuleList) and len(child) == n_layers
    ]
    if len(found) != 1 or not isinstance(getattr(network, "embeddings", None), nn.Module):
        raise ValueError(
            f"{type(network).__name__} has no list of layers that can be trained apart from those "
            "before; trainable_layers=0 reads its features. BERT, RoBERTa, DistilBERT, MPNet, "
            "DeBERTa and what is made like them have one."
        )
    return found[0]


class _Reached(Exception):
    """Hidden states, where they come to a layer."""


def hidden_states(network: Any, tokens: Tensor, mask: Tensor, n_last: int) -> Tensor:
    """What comes to the last ``n_last`` layers, or out of the last one.

    Parameters
    ----------
    network : transformers.PreTrainedModel
    tokens, mask : Tensor of shape (batch, time)
    n_last : int

    Returns
    -------
    Tensor of shape (batch, time, width)
    """
    if n_last == 0:
        with STOPPING:
            return network(input_ids=tokens, attention_mask=mask).last_hidden_state
    parent, name = layers_of(network)
    layers = getattr(parent, name)

    def stop(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        raise _Reached(args[0] if args else kwargs["hidden_states"])

    with STOPPING:
        hook = layers[len(layers) - n_last].register_forward_pre_hook(stop, with_kwargs=True)
        try:
            network(input_ids=tokens, attention_mask=mask)
        except _Reached as reached:
            return reached.args[0]
        finally:
            hook.remove()
    raise RuntimeError(f"{type(network).__name__} did not come to its layer {-n_last}.")


def tokenised(known: Pretrained, texts: list[str], max_length: int) -> list[list[int]]:
    """Numbers of tokens of every text, those that begin and end it included."""
    longest = min(max_length, known.longest)
    read = known.tokenizer(
        texts, truncation=True, max_length=longest, return_attention_mask=False
    )  # fmt: skip
    return [tokens or [known.tokenizer.pad_token_id] for tokens in read["input_ids"]]


def batches(lengths: Array, batch_size: int) -> list[Array]:
    """Samples of about one length together, the longest first: memory is short at once or never."""
    order = np.argsort(-lengths, kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def filled(sequences: list[list[int]], padding: int) -> tuple[Tensor, Tensor]:
    """Tokens filled up to the longest: (batch, time), and where there are some."""
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    tokens = nn.utils.rnn.pad_sequence(
        [torch.tensor(sequence) for sequence in sequences], True, float(padding)
    )
    return tokens, torch.arange(tokens.shape[1]) < lengths[:, None]
