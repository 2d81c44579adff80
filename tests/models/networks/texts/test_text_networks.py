"""Networks over tokens: batch mates and padding change nothing; pooling and norms are as defined."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from features.errors import ConfigError
from features.spec import TEXT
from features.texts.featurizer import TextFeaturizerSettings
from features.texts.rules import TextRules
from models.explain import token_occlusion
from models.export import decoding
from models.network import Network
from models.networks.images import cnn
from models.networks.texts import sequences
from models.pretrained import word_vectors
from models.task import Blueprint
from models.tasks.text_classification import TEXT_CLASSIFICATION, ModelSettings, NoAugmentation, fit

TEXTS = [b"a b c", b"c a", b"b b b a c a b", b"d", b"c c c c a b a b c a"]
SMALL = {
    "cnn": {"kind": "cnn", "width": 6, "maps": 5, "regions": [2, 4]},
    "tanh": {"kind": "cnn", "width": 6, "maps": 5, "regions": [3], "activation": "tanh"},
    "gru": {"kind": "rnn", "cell": "gru", "width": 6, "units": [5, 4], "pooling": "last"},
    "forgetful": {"kind": "cnn", "width": 6, "maps": 5, "regions": [2], "token_dropout": 0.9},
    "lstm": {"kind": "rnn", "cell": "lstm", "width": 6, "units": [5], "pooling": "mean"},
    "wide": {"kind": "cnn", "width": 6, "maps": 5, "regions": [2], "wide": 100},
    "simple-rnn": {"kind": "rnn", "cell": "simple-rnn", "width": 6, "units": [5], "bidirectional": False},
}
#: N-grams of the tokens 1 to 3 and of pairs, first times 4 plus second, of two classes.
COUNTED = {"ngrams": [1, 2, 3, 6, 13], "counts": [[9, 1], [1, 9], [3, 3], [5, 0], [0, 4]], "texts": [6, 5]}
#: With the pieces of tokens beside them.
SPELT = {
    "cnn": {"kind": "cnn", "width": 6, "maps": 5, "regions": [2], "token_dropout": 0.5},
    "gru": {"kind": "rnn", "cell": "gru", "width": 6, "units": [5]},
}
NETWORKS = [*((model, 0) for model in SMALL.values()), *((model, 50) for model in SPELT.values())]
NAMES = [*SMALL, *(f"{name} of subwords" for name in SPELT)]


def blueprint(model: dict, **featurizer: object) -> Blueprint:
    return Blueprint(
        rules=TextRules(),
        featurizer=TextFeaturizerSettings(**featurizer),
        model=ModelSettings.model_validate(model),
        augmentation=NoAugmentation(),
        epochs=1,
        labels=("bad", "good"),
        hub=Path("hub"),
        fitted={"vocabulary": ["a", "b", "c"]} | ({"naive_bayes": COUNTED} if model.get("wide") else {}),
    )


def network(model: dict, **featurizer: object) -> Network:
    keras.utils.set_random_seed(1)
    built = TEXT_CLASSIFICATION.build(blueprint(model, **featurizer))
    if built.calibrate is not None:
        built.calibrate([(built.featurizer(tf.constant(TEXTS)).numpy(), np.int32([0, 1, 1, 0, 1]))])
    return built


def answers(built: Network) -> Callable[[tf.Tensor], tf.Tensor]:
    """Answer features of any number of texts, of any length, with one graph."""
    return tf.function(
        lambda features: built.model(features, training=False),
        input_signature=[tf.TensorSpec([None, *built.featurizer.spec.shape], tf.int32)],
        autograph=False,
    )


@pytest.mark.parametrize(("model", "subwords"), NETWORKS, ids=NAMES)
def test_padding_and_batch_mates_change_nothing(model: dict, subwords: int) -> None:
    built = network(model, subwords=subwords)
    answer = answers(built)
    together = answer(built.featurizer(tf.constant(TEXTS))).numpy()
    alone = [answer(built.featurizer(tf.constant([text]))).numpy()[0] for text in TEXTS]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    features = built.featurizer(tf.constant(TEXTS))
    longer = tf.pad(features, [[0, 0], [0, 7], [0, 0]][: len(features.shape)])
    np.testing.assert_allclose(answer(longer), together, atol=1e-5)
    # It is the tokens that answer: other ones answer otherwise.
    assert np.abs(together[0] - together[2]).max() > 1e-3


def test_the_sentence_cnn_is_kims() -> None:
    """Wide convolution, ReLU and the largest value, by NumPy."""
    built = network({"kind": "cnn", "width": 4, "maps": 3, "regions": [2, 3]})
    ids = built.featurizer(tf.constant([b"a b c a"])).numpy()[0]
    table = next(v for v in built.model.variables if v.path.endswith("vectors")).numpy()
    expected = []
    for size in (2, 3):
        kernel, bias = (
            next(v for v in built.model.variables if v.path.endswith(f"region_{size}/{part}")).numpy()
            for part in ("kernel", "bias")
        )
        sentence = np.pad(table[ids], ((size - 1, size - 1), (0, 0)))
        regions = np.stack([sentence[start : start + size] for start in range(len(sentence) - size + 1)])
        maps = np.maximum(np.einsum("nsw,swm->nm", regions, kernel) + bias, 0)
        expected.append(maps.max(0))
    np.testing.assert_allclose(built.embed(ids[np.newaxis])[0], np.concatenate(expected), atol=1e-5)


def test_several_channels_are_summed_under_the_same_filters() -> None:
    given = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    lookups = sequences.channels(5, 4, "multichannel", given)
    assert [lookup.trainable for lookup in lookups] == [False, True]
    found = sequences.looked_up(tf.constant([[1, 4, 0]]), lookups)
    np.testing.assert_allclose(found[0], np.stack([2 * given[1], 2 * given[4], np.zeros(4)]), atol=1e-6)
    (fixed,) = sequences.channels(5, 4, "static", given)
    assert not fixed.trainable_variables


@pytest.mark.parametrize("spread", [0.25, 0.05])
def test_random_vectors_fill_the_spread(spread: float) -> None:
    (lookup,) = sequences.channels(200, 50, "non-static", spread=spread)
    largest = np.abs(lookup.vectors.numpy()).max()
    assert 0.98 * spread < largest <= spread


def test_the_vector_of_a_token_is_its_own_and_the_mean_of_its_pieces() -> None:
    built = network(SPELT["cnn"], subwords=50)
    whole, pieces = (
        next(v for v in built.model.variables if v.path.endswith(f"{name}/vectors")).numpy()
        for name in ("vectors", "piece_vectors")
    )
    features = built.featurizer(tf.constant([b"a unheard", b"", b"c"]))
    lookups = sequences.channels(5, 6, "non-static", whole, subwords=50)
    lookups[1].vectors.assign(pieces)
    found = sequences.looked_up(features, lookups).numpy()
    for row, column in np.ndindex(3, 2):
        token, *parts = features[row, column].numpy()
        parts = [part for part in parts if part]
        expected = whole[token] * (token > 0) + (pieces[parts].mean(0) if parts else 0)
        np.testing.assert_allclose(found[row, column], expected, atol=1e-6)
    # Two words that training has not seen differ, and what is alike in spelling is alike.
    seen, like, other = (
        sequences.looked_up(built.featurizer(tf.constant([word])), lookups)[0, 0].numpy()
        for word in (b"unheard", b"unheards", b"xylophone")
    )
    assert 0 < np.linalg.norm(seen - like) < np.linalg.norm(seen - other)


def test_pieces_are_learnt_and_forgotten_tokens_keep_theirs() -> None:
    built = network(SPELT["cnn"] | {"channels": "static"}, subwords=50)
    features = built.featurizer(tf.constant([b"a b"]))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(built.model(features, training=True))
    moved = {v.path.split("/")[-2] for v in built.model.trainable_variables}
    assert "piece_vectors" in moved
    assert "static_vectors" not in moved
    variable = next(v for v in built.model.trainable_variables if "piece_vectors" in v.path)
    slices = tape.gradient(loss, variable.value)
    assert set(np.unique(slices.indices)) == set(np.unique(features[..., 1:])) - {0}
    forgotten = sequences.Forget(0.999, unknown=4)(features, training=True).numpy()
    assert forgotten[0, :, 0].tolist() == [4, 4]
    np.testing.assert_array_equal(forgotten[..., 1:], features[..., 1:])


def test_subwords_of_characters_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"featurizer\.tokens=characters, featurizer\.subwords=9"):
        network(SMALL["cnn"], tokens="characters", subwords=9)


def test_a_share_of_the_tokens_is_forgotten_in_training_alone() -> None:
    layer = sequences.Forget(0.25, unknown=4)
    ids = np.tile(np.int32([1, 2, 3, 0]), (2000, 1))
    np.testing.assert_array_equal(layer(ids), ids)
    found = layer(ids, training=True).numpy()
    assert np.mean(found[:, :3] == 4) == pytest.approx(0.25, abs=0.03)
    assert set(np.unique(found[found != ids])) == {4}
    assert not found[:, 3].any()


def test_the_norm_of_a_class_is_bounded_after_every_step() -> None:
    head = cnn.head(3, 2, max_norm=0.5)
    optimizer = keras.optimizers.SGD(10.0)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(head(tf.ones((4, 3)))[:, 0])
    gradients = tape.gradient(loss, [v.value for v in head.trainable_variables])
    optimizer.apply(gradients, head.trainable_variables)
    kernel = head.get_layer("logits").kernel.numpy()
    assert np.linalg.norm(kernel, axis=0).max() == pytest.approx(0.5, abs=1e-4)


def test_fit_counts_the_training_split() -> None:
    found = fit(blueprint(SMALL["cnn"], min_count=2, max_tokens=3), [b"a b a c", b"a b", b"x"])
    assert found["vocabulary"] == ["a", "b"]
    assert found["figures"] == {
        "train/vocabulary": 2,
        "train/unknown_share": pytest.approx(2 / 7),
        "train/truncated_share": pytest.approx(1 / 3),
    }


@pytest.mark.parametrize(("name", "subwords"), [("cnn", 0), ("gru", 0), ("cnn", 50), ("wide", 0)])
def test_occlusion_is_the_answer_without_each_token(name: str, subwords: int) -> None:
    built = network(SMALL[name] | ({"units": [5]} if name == "gru" else {}), subwords=subwords)
    answer = answers(built)
    function = token_occlusion.explain(built, TEXT, lambda logits: decoding.classes(logits, ("bad", "good")))
    found = {key: value.numpy() for key, value in function(tf.constant(TEXTS)).items()}
    assert found["tokens"].shape == found["change"].shape == (5, 10)

    for row, text in enumerate(TEXTS):
        words = text.split()
        assert found["tokens"][row].tolist() == words + [b""] * (10 - len(words))
        without = [b" ".join(words[:n] + words[n + 1 :]) for n in range(len(words))]
        features = built.featurizer(tf.constant([text, *without]))
        whole, *rest = tf.nn.softmax(answer(features)).numpy()
        best = int(whole.argmax())
        assert found["label"][row] == (b"bad", b"good")[best]
        expected = [whole[best] - scores[best] for scores in rest]
        np.testing.assert_allclose(found["change"][row, : len(words)], expected, atol=1e-5)
        assert not found["change"][row, len(words) :].any()
    ((shown, changes),) = token_occlusion.explained(built, [TEXTS[1]])
    assert shown == ["c", "a"]
    np.testing.assert_allclose(changes, found["change"][1, :2], atol=1e-5)


def test_explaining_texts_without_tokens() -> None:
    built = network(SMALL["cnn"])
    function = token_occlusion.explain(built, TEXT, lambda logits: decoding.classes(logits, ("bad", "good")))
    found = function(tf.constant([b"", b" "]))
    assert found["tokens"].shape == found["change"].shape == (2, 0)
    assert token_occlusion.explained(built, [b""])[0][0] == []


# -- vectors from elsewhere -----------------------------------------------------------------------


def test_vectors_of_a_file_in_both_formats(tmp_path: Path) -> None:
    glove, word2vec = tmp_path / "glove.txt", tmp_path / "word2vec.txt"
    glove.write_text("a 1 2\nz 9 9\nc -1 0.5\n")
    word2vec.write_text("3 2\na 1 2\nz 9 9\nc -1 0.5\n")
    for path in (glove, word2vec):
        found = word_vectors.load(str(path), ["a", "b", "c"], blueprint(SMALL["cnn"]))
        np.testing.assert_array_equal(found, [[1, 2], [0, 0], [-1, 0.5]])
    glove.write_text("a 1 2\nc 1\n")
    with pytest.raises(ConfigError, match="line 2; got 1 numbers; expected a word and 2 numbers"):
        word_vectors.load(str(glove), ["a", "c"], blueprint(SMALL["cnn"]))
    with pytest.raises(ConfigError, match="contains none of the words"):
        word_vectors.load(str(glove), ["q"], blueprint(SMALL["cnn"]))
    with pytest.raises(ConfigError, match="no release of this name; got words"):
        word_vectors.load("words", ["q"], blueprint(SMALL["cnn"]))


def test_words_without_a_vector_get_random_ones_of_the_same_variance() -> None:
    random = np.random.default_rng(0)
    found = random.normal(0, 0.7, (500, 40)).astype(np.float32)
    found[::5] = 0
    table = word_vectors.matrix(found, 502, np.random.default_rng(1))
    assert not table[0].any()
    np.testing.assert_array_equal(table[1:501][found.any(1)], found[found.any(1)])
    drawn = table[1:501][~found.any(1)]
    assert drawn.std() == pytest.approx(0.7, rel=0.05)


def test_vectors_of_a_hub_module(shared: Path) -> None:
    handle = str(shared / "hub" / "glove_twitter_25d_text_embedding")
    model = SMALL["cnn"] | {"vectors": handle, "channels": "static"}
    built = TEXT_CLASSIFICATION.build(blueprint(model))
    table = next(v for v in built.model.variables if v.path.endswith("vectors"))
    assert not table.trainable
    expected = tf.saved_model.load(handle)(tf.constant(["a", "b", "c"])).numpy()
    np.testing.assert_allclose(table.numpy()[1:4], expected, atol=1e-6)
