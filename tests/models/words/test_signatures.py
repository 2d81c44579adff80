"""The served questions about words, against gensim's own answers; on the graph, and live."""

from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf
from gensim.models import KeyedVectors

from features.errors import UsageError
from features.texts.words import WordLookup
from flows.queries import question as predict
from flows.queries.question import Question
from models.export import export
from models.network import Network
from models.tasks.word_vectors import WORD_VECTORS
from models.words.word_space import WordSpace
from serving.client.client import Client
from serving.config import Options
from serving.server.server import Server

WORDS = [f"word{number}" for number in range(60)] + ["café", "слово", "言葉"]


@pytest.fixture(scope="module")
def oracle() -> KeyedVectors:
    found = KeyedVectors(7)
    found.add_vectors(WORDS, np.random.default_rng(3).normal(size=(len(WORDS), 7)).astype(np.float32))
    return found


@pytest.fixture(scope="module")
def network(oracle: KeyedVectors) -> Network:
    space = WordSpace(len(WORDS), 7)
    space.fill(oracle.vectors)
    ids = keras.Input((), dtype="int32")
    table = keras.Model(ids, space(ids))
    return Network(WordLookup(WORDS), table, table, ())


@pytest.fixture(scope="module")
def functions(network: Network) -> dict:
    return export.signatures(network, WORD_VECTORS, ())


def ask(functions: dict, name: str, **inputs) -> dict[str, np.ndarray]:
    """Call by name, as a SavedModel's signature is called."""
    specs = tf.nest.flatten(functions[name].structured_input_signature)
    found = functions[name](*(tf.constant(inputs[spec.name]) for spec in specs))
    return {output: value.numpy() for output, value in found.items()}


def ranked(answer: dict[str, np.ndarray], row: int) -> tuple[list[str], list[float]]:
    words = [word.decode() for word in answer["words"][row] if word]
    return words, answer["similarities"][row][: len(words)].tolist()


def test_neighbours_are_gensims(functions: dict, oracle: KeyedVectors) -> None:
    asked = [*WORDS[:40], " Café", "unheard"]
    answer = ask(functions, "most_similar", word=asked, k=[(number % 5) + 1 for number in range(42)])
    for row, word in enumerate(WORDS[:40]):
        words, cosines = ranked(answer, row)
        wanted = oracle.most_similar(word, topn=row % 5 + 1)
        assert words == [other for other, _ in wanted]
        np.testing.assert_allclose(cosines, [cosine for _, cosine in wanted], atol=1e-6)
    assert ranked(answer, 40)[0] == [other for other, _ in oracle.most_similar("café", topn=1)]
    assert answer["known"].tolist() == [True] * 41 + [False]
    assert set(answer["words"][41]) == {b""}
    assert not answer["similarities"][41].any()


def test_the_default_signature_gives_ten_neighbours(functions: dict, oracle: KeyedVectors) -> None:
    answer = ask(functions, "serving_default", word=["word1"])
    assert ranked(answer, 0)[0] == [other for other, _ in oracle.most_similar("word1", topn=10)]
    nothing = functions["serving_default"](tf.constant([], tf.string))
    assert {name: value.shape[0] for name, value in nothing.items()} == dict.fromkeys(nothing, 0)


def test_more_neighbours_than_words_are_all_others(functions: dict) -> None:
    words, cosines = ranked(ask(functions, "most_similar", word=["word1"], k=[1000]), 0)
    assert sorted(words) == sorted(set(WORDS) - {"word1"})
    assert cosines == sorted(cosines, reverse=True)


@pytest.mark.parametrize("k", [0, -1, 1001])
def test_a_number_of_neighbours_out_of_range_is_the_callers_fault(functions: dict, k: int) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="from 1 to 1000"):
        ask(functions, "most_similar", word=["word1", "word2"], k=[1, k])


def test_analogies_are_gensims(functions: dict, oracle: KeyedVectors) -> None:
    positive = [["word1", "word2"], ["word3", ""], ["word1", "nothing like"], ["", ""]]
    negative = [["word3"], [""], ["word4"], ["word1"]]
    answer = ask(functions, "analogy", positive=positive, negative=negative, k=[4] * 4)
    first = oracle.most_similar(positive=positive[0], negative=negative[0], topn=4)
    assert ranked(answer, 0)[0] == [word for word, _ in first]
    np.testing.assert_allclose(ranked(answer, 0)[1], [cosine for _, cosine in first], atol=1e-6)
    assert ranked(answer, 1)[0] == [word for word, _ in oracle.most_similar("word3", topn=4)]
    assert answer["known"].tolist() == [True, True, False, True]
    assert answer["unknown"].tolist() == [b"", b"", b"nothing like", b""]
    assert ranked(answer, 2)[0] == []


def test_similarity_the_odd_one_out_and_vectors_are_gensims(functions: dict, oracle: KeyedVectors) -> None:
    pairs = [["word1", "слово"], ["word1", "word1"], ["word1", "?"]]
    answer = ask(functions, "similarity", words=pairs)
    wanted = [oracle.similarity(*pair) for pair in pairs[:2]]
    np.testing.assert_allclose(answer["similarity"], [*wanted, 0], atol=1e-6)
    assert answer["known"].tolist() == [True, True, False]
    rows = [
        ["word1", "word9", "word4", "言葉"],
        ["word5", "word6", "so far", ""],
        ["?", "", "", ""],
        [""] * 4,
    ]
    answer = ask(functions, "doesnt_match", words=rows)
    odd = [oracle.doesnt_match(rows[0]), oracle.doesnt_match(rows[1][:2])]
    assert [word.decode() for word in answer["word"]] == [*odd, "", ""]
    assert answer["unknown"].tolist() == [b"", b"so far", b"?", b""]
    answer = ask(functions, "embed", word=["word7", "?"])
    np.testing.assert_array_equal(answer["embedding"][0], oracle["word7"])
    assert not answer["embedding"][1].any()
    assert answer["known"].tolist() == [True, False]


@pytest.fixture(scope="module")
def server(network: Network, functions: dict, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    base = tmp_path_factory.mktemp("words") / "words"
    export.export(
        network, WORD_VECTORS, (), base / "1", warmup=[b"word1"], model_name="words", functions=functions
    )
    with Server(Options(port=0, model_name="words", model_base_path=base)) as running:
        yield running


def test_the_live_server_answers_every_signature_as_the_graph(server: Server, functions: dict) -> None:
    calls = {
        "most_similar": {"word": ["слово", "?"], "k": np.array([3, 2], np.int32)},
        "analogy": {
            "positive": [["word1", "word2"]],
            "negative": [["word3"]],
            "k": np.array([4], np.int32),
        },
        "similarity": {"words": [["word1", "言葉"]]},
        "doesnt_match": {"words": [["word1", "word2", "word3"]]},
        "embed": {"word": ["word1", "?"]},
    }
    with Client(server.target) as client:
        for name, inputs in calls.items():
            live = client.predict("words", inputs, signature=name)
            for output, wanted in ask(functions, name, **inputs).items():
                if wanted.dtype == object:
                    assert live[output].tolist() == wanted.tolist()
                else:
                    np.testing.assert_allclose(live[output], wanted, atol=1e-6)


def test_words_are_asked_for_on_the_command_line(server: Server, oracle: KeyedVectors) -> None:
    target = server.target

    def answers(*examples: str, signature: str | None = None, **inputs: str) -> list[dict]:
        return list(predict.answers(Question("words", examples, inputs, signature), target))

    first, second = answers("word1", "?", signature="most_similar", k="3")
    assert first["words"] == [word for word, _ in oracle.most_similar("word1", topn=3)]
    assert predict.sentence(second) == "?: not in the vocabulary: ?"
    (answer,) = answers(signature="analogy", positive="word1, word2", negative="word3")
    assert len(answer["words"]) == 10
    assert predict.sentence(answer).startswith("positive=word1, word2 negative=word3: word")
    (answer,) = answers("word1", "word2", "word3", signature="doesnt_match")
    assert answer["word"] == oracle.doesnt_match(["word1", "word2", "word3"])
    (answer,) = answers("word1", "word2", signature="similarity")
    assert answer["similarity"] == pytest.approx(oracle.similarity("word1", "word2"), abs=1e-6)
    (command,) = predict.commands(Question("words", ["word1"], {"k": "2"}, "most_similar"), target, "h:1")
    assert command.startswith("curl -d '{")
    assert '"k": [2]' in command
    for question, said in (
        (Question("words", ["word1"], {"kk": "2"}), "has no input kk"),
        (Question("words", ["word1"], {"k": "two"}, "most_similar"), "cannot read the value of input k"),
        (Question("words", [], {}, "analogy"), "positive"),
        (Question("words"), r"no input. Usage: servable predict words WORD\.\.\.$"),
    ):
        with pytest.raises(UsageError, match=said):
            list(predict.answers(question, target))
