"""Occlusion and Grad-CAM: closed forms, planted evidence, weights that know nothing, a live server."""

import random
from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from scipy.stats import spearmanr

from flows.gate.expectations import call
from models import network as models_network
from models.explain import heatmaps, sheets
from models.export import export
from models.networks.images import last_maps
from models.tasks.audio_classification import AUDIO_CLASSIFICATION as SOUNDS
from models.tasks.image_classification import IMAGE_CLASSIFICATION as IMAGES
from serving.client.client import Client
from serving.config import Options
from serving.errors import InvalidArgument
from serving.server.server import Server
from tests.models import planted, toys

NONE = float("nan")
TONES = tuple(sorted(planted.PITCHES))


def asked(function, examples, argument="image_bytes", **further):
    rows = {name: np.array([value] * len(examples)) for name, value in further.items()}
    rows["label"] = np.array([value.encode() for value in further["label"]], object)
    raws = np.array([example.raw for example in examples], object)
    numbers = {name: value.astype(np.float32) for name, value in rows.items() if name == "fill"}
    numbers |= {name: value.astype(np.int32) for name, value in rows.items() if name in ("patch", "stride")}
    return call("", function, {argument: raws, "label": rows["label"], **numbers}).outputs


def in_graph(work):
    return tf.function(work, autograph=False)()


@pytest.fixture(scope="module")
def seer():
    keras.utils.set_random_seed(1)
    return planted.learn(planted.image_network(), planted.pictures(240, 0), 10)


@pytest.fixture(scope="module")
def hearer():
    keras.utils.set_random_seed(1)
    return planted.learn(planted.sound_network(), planted.sounds(150, 0), 10)


def test_occlusion_of_a_linear_model_is_what_the_patch_adds():
    dice = np.random.default_rng(0)
    values = dice.normal(size=(2, 5, 7, 3)).astype(np.float32)
    weights = dice.normal(size=(5, 7, 3, 4)).astype(np.float32)
    patch, stride, label, fill = [3, 4], [2, 3], [1, 2], [0.5, -1.0]

    def run():
        cut = sheets.of_images(None).cut(tf.constant(values))
        grid = heatmaps.grid(cut, tf.constant(patch), tf.constant(stride))

        def score(seen, owner):
            return tf.gather(tf.tensordot(seen, weights, 3), tf.gather(label, owner), batch_dims=1)

        return heatmaps.occlusion(cut, score, grid, tf.constant(fill))

    heat = in_graph(run).numpy()
    expected = np.zeros((2, 3, 4))
    for example in range(2):
        added = ((values[example] - fill[example]) * weights[..., label[example]]).sum(-1)
        side, step = patch[example], stride[example]
        for row in range(-(-5 // step)):
            for column in range(-(-7 // step)):
                top, left = row * step + (step - side) // 2, column * step + (step - side) // 2
                inside = added[max(top, 0) : top + side, max(left, 0) : left + side]
                expected[example, row, column] = inside.sum()
    np.testing.assert_allclose(heat, expected, atol=1e-5)


def test_occlusion_of_windows_hides_the_same_patch_in_every_window_that_hears_it():
    dice = np.random.default_rng(0)
    clips = [dice.normal(size=(count * 3 + 3, 4)).astype(np.float32) for count in (3, 1)]
    weights = dice.normal(size=(6, 4, 2)).astype(np.float32)
    frames = [[clip[start : start + 6] for start in range(0, len(clip) - 5, 3)] for clip in clips]
    owner, top = [0, 0, 0, 1], [0, 3, 6, 0]
    share = [1 / 3, 1 / 3, 1 / 3, 1.0]

    def run():
        windows = tf.constant(np.concatenate(frames))
        cut = sheets.Sheets(
            windows, tf.constant(owner), tf.constant(top), tf.constant(share), tf.constant([12, 6])
        )
        grid = heatmaps.grid(cut, tf.constant([2, 4]), tf.constant([2, 2]))

        def score(seen, owner):
            return tf.gather(tf.tensordot(seen, weights, 2), owner, batch_dims=1)

        return heatmaps.occlusion(cut, score, grid, tf.zeros([2]))

    heat = in_graph(run).numpy()
    assert heat.shape == (2, 6, 2)

    def score(clip, label):
        windows = [clip[start : start + 6] for start in range(0, len(clip) - 5, 3)]
        return np.mean([np.tensordot(window, weights[..., label], 2) for window in windows])

    for example, (clip, label, side, begin) in enumerate(zip(clips, (0, 1), (2, 4), (0, -1), strict=True)):
        for row in range(len(clip) // 2):
            for column in range(2):
                hidden = clip.copy()
                top_, left = 2 * row + begin, 2 * column + begin
                hidden[max(top_, 0) : top_ + side, max(left, 0) : left + side] = 0
                drop = score(clip, label) - score(hidden, label)
                assert heat[example, row, column] == pytest.approx(drop, abs=1e-5)
    assert not heat[1, 3:].any()


def test_grad_cam_of_one_layer_is_the_weighted_sum_of_its_maps():
    """Of the difference to the mean class, with the bias in equal parts: what speaks for the label of it."""
    dice = np.random.default_rng(0)
    inputs = keras.Input((6, 5, 3))
    backbone = keras.Model(inputs, layers.GlobalAveragePooling2D()(layers.Conv2D(4, 1)(inputs)))
    head = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    kernel, logits, bias = dice.normal(size=(1, 1, 3, 4)), dice.normal(size=(4, 3)), dice.normal(size=3)
    backbone.set_weights([kernel, np.ones(4)])
    head.set_weights([logits, bias])
    pixels, labels = dice.normal(size=(3, 6, 5, 3)).astype(np.float32), np.array([0, 1, 2])
    heat = heatmaps.grad_cam(
        last_maps.of(backbone).then(head), tf.constant(pixels), tf.constant(labels)
    ).numpy()
    found = pixels @ kernel[0, 0] + 1
    slopes = (logits - logits.mean(1, keepdims=True))[:, labels]
    expected = (np.einsum("nhwo,on->nhw", found, slopes) + (bias - bias.mean())[labels, None, None]) / 30
    np.testing.assert_allclose(heat, np.maximum(expected, 0), atol=1e-6)
    answers = head(backbone(pixels)).numpy()
    margins = answers[range(3), labels] - answers.mean(1)
    np.testing.assert_allclose(expected.sum((1, 2)), margins, atol=1e-5)


def test_grad_cam_does_not_depend_on_what_all_classes_share():
    """Softmax does not see what is added to every logit: neither may the map."""
    dice = np.random.default_rng(0)
    maps, labels = tf.constant(dice.random((4, 6, 5, 8), np.float32)), tf.constant([0, 1, 0, 1])
    weights = dice.normal(size=(8, 2)).astype(np.float32)
    shared = dice.normal(size=(8, 1)).astype(np.float32) - 3

    def heat(weights):
        cut = models_network.Maps(
            lambda values: values, lambda found: tf.reduce_mean(found, (1, 2)) @ weights + 2
        )
        return heatmaps.grad_cam(cut, maps, labels).numpy()

    np.testing.assert_allclose(heat(weights), heat(weights + shared), atol=1e-5)


def test_grad_cam_of_the_predicted_class_is_never_empty():
    """Nor where the head was fitted to features less their mean, so that its bias says as much as they do."""
    dice = np.random.default_rng(0)
    maps = dice.random((40, 3, 3, 16), np.float32) + 5
    slopes = dice.normal(size=16).astype(np.float32)
    weights = np.stack([slopes, -slopes], 1)
    offset = maps.mean((0, 1, 2)) @ weights
    cut = models_network.Maps(
        lambda values: values, lambda found: tf.reduce_mean(found, (1, 2)) @ weights - offset
    )
    labels = cut.after(tf.constant(maps)).numpy().argmax(1)
    assert set(labels) == {0, 1}
    heat = heatmaps.grad_cam(cut, tf.constant(maps), tf.constant(labels)).numpy()
    assert (heat.max((1, 2)) > 0).all()
    none = heatmaps.grad_cam(cut, tf.constant(maps[:0]), tf.constant(labels[:0])).numpy()
    assert none.shape == (0, 3, 3)


def test_grad_cam_keeps_columns_apart_where_the_network_does():
    """Of maps whose mean over the rows has a weight for each column, each column counts by its own weight."""
    dice = np.random.default_rng(0)
    weights = dice.normal(size=(5, 4, 2)).astype(np.float32)
    cut = models_network.Maps(
        lambda values: values, lambda found: tf.tensordot(tf.reduce_mean(found, 1), weights, 2)
    )
    found, labels = dice.normal(size=(2, 6, 5, 4)).astype(np.float32), np.array([0, 1])
    heat = heatmaps.grad_cam(cut, tf.constant(found), tf.constant(labels), (1,)).numpy()
    slopes = (weights - weights.mean(2, keepdims=True))[..., labels]
    expected = np.einsum("nhwc,wcn->nhw", found, slopes / 6)
    np.testing.assert_allclose(heat, np.maximum(expected, 0), atol=1e-6)


@pytest.mark.parametrize("size", [8, None])
def test_maps_of_a_module_are_those_whose_mean_is_its_vector(tmp_path, size):
    settings = {
        "kind": "hub",
        "backbone": str(toys.save_module(tmp_path / "toy", size=size)),
        "mode": "fine-tune",
    }
    network = toys.network(settings)
    pixels = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    for variable in network.model.trainable_variables:
        variable.assign_add(tf.fill(variable.shape, 0.1))  # as fine-tuning would move them
    found = network.maps.before(pixels)
    assert found.shape == (2, 8, 8, 6)
    np.testing.assert_allclose(network.maps.after(found), network.model(pixels, training=False), atol=1e-6)


def test_a_module_that_keeps_its_maps_to_itself_has_no_grad_cam(tmp_path):
    class Mean(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3])])
        def __call__(self, images):
            return tf.reduce_mean(tf.nn.relu(images), [1, 2]) * 2.0

    tf.saved_model.save(Mean(), str(tmp_path))
    network = toys.network({"kind": "hub", "backbone": str(tmp_path)})
    assert network.maps is None
    assert set(export.absent(network, IMAGES, toys.LABELS)) == {"grad_cam"}
    assert export.signatures(network, IMAGES, toys.LABELS, "grad_cam") == {}


@pytest.mark.parametrize(
    ("kind", "features", "absent"),
    [("rnn", "log-mel", {"grad_cam"}), ("cnn", "mfcc", {"occlusion", "grad_cam"})],
)
def test_a_sound_network_says_which_heatmaps_it_has_not(kind, features, absent):
    found = export.absent(planted.sound_network(kind, features), SOUNDS, TONES)
    assert set(found) == absent
    assert all(found.values())


METHODS = {"occlusion": {"patch": 8, "stride": 4, "fill": NONE}, "grad_cam": {}}


@pytest.fixture(scope="module")
def of_images(seer):
    return export.signatures(seer, IMAGES, planted.LABELS)


@pytest.fixture(scope="module")
def of_sounds(hearer):
    return {method: export.signatures(hearer, SOUNDS, TONES, method)[method] for method in METHODS}


@pytest.mark.parametrize("method", METHODS)
def test_the_evidence_lies_where_it_was_planted_in_images(of_images, method):
    examples = planted.pictures(40, 1)
    labels = [planted.LABELS[example.label] for example in examples]
    answer = asked(of_images[method], examples, label=labels, **METHODS[method])
    assert np.mean(answer["score"]) > 0.9
    heat = answer["heatmap"]
    size = planted.SIDE / heat.shape[1]
    hits, mass = [], []
    for example, found in zip(examples, heat, strict=True):
        middles = (np.arange(len(found)) + 0.5) * size
        # A cell counts as inside where it meets the square.
        within = [
            (middles > at - size / 2) & (middles < at + planted.SQUARE + size / 2) for at in example.place
        ]
        inside = within[0][:, None] & within[1][None]
        hits.append(inside.ravel()[found.argmax()])
        peak = np.where(found >= found.max() / 2, found, 0.0)
        mass.append(peak[inside].sum() / peak.sum())
    assert np.mean(hits) >= 0.9
    assert np.mean(mass) >= 0.9


@pytest.fixture
def forgetful(seer):
    """Return what fills the network with random weights; what it has learnt comes back at the end."""
    learnt = [variable.numpy() for variable in seer.model.variables]

    def forget(seed):
        # Keras draws by this; TensorFlow's own seed would have it prepare every graph anew.
        random.seed(seed)
        for variable, fresh in zip(
            seer.model.variables, planted.image_network().model.variables, strict=True
        ):
            variable.assign(fresh)

    yield forget
    for variable, value in zip(seer.model.variables, learnt, strict=True):
        variable.assign(value)


def test_random_weights_destroy_the_maps(of_images, forgetful):
    """Adebayo et al. 2018: a map that looks the same for weights that know nothing shows the image alone."""
    examples = planted.pictures(12, 1)
    labels = [planted.LABELS[example.label] for example in examples]

    def maps_of(method):
        return asked(of_images[method], examples, label=labels, **METHODS[method])["heatmap"]

    learnt = {method: maps_of(method) for method in METHODS}
    alike = {method: [] for method in METHODS}
    for seed in range(3):
        forgetful(seed)
        for method in METHODS:
            pairs = zip(learnt[method], maps_of(method), strict=True)
            alike[method] += [
                spearmanr(one, two, axis=None).statistic for one, two in pairs if np.ptp(two) > 0
            ]
    for method, correlations in alike.items():
        assert len(correlations) >= 12, method
        assert abs(np.mean(correlations)) < 0.2, method


@pytest.mark.parametrize(("method", "bands"), [("occlusion", 6), ("grad_cam", 2)])
def test_the_evidence_lies_where_it_was_planted_in_sounds(hearer, of_sounds, method, bands):
    examples = planted.sounds(30, 1)
    labels = [TONES[example.label] for example in examples]
    further = {"patch": 12, "stride": 4, "fill": NONE} if method == "occlusion" else {}
    answer = asked(of_sounds[method], examples, "audio_bytes", label=labels, **further)
    centres = hearer.featurizer.log_mel.centres
    hits = []
    for number, example in enumerate(examples):
        heat = answer["heatmap"][number]
        row, column = np.unravel_index(heat.argmax(), heat.shape)
        begin, pitch = example.place
        found, wanted = np.interp([answer["hertz"][number, column], pitch], centres, np.arange(len(centres)))
        at = answer["seconds"][number, row]
        hits.append(begin - 0.03 <= at <= begin + planted.BURST + 0.03 and abs(found - wanted) <= bands)
    assert np.mean(hits) >= 0.9


def test_the_map_of_a_sound_covers_the_whole_of_it(hearer, of_sounds):
    from librosa import mel_frequencies

    examples = planted.sounds(2, 2)
    answer = asked(
        of_sounds["occlusion"], examples, "audio_bytes", label=["", ""], patch=6, stride=3, fill=-100.0
    )
    features = hearer.featurizer(tf.constant([examples[0].raw])).numpy()[0]
    frames = hearer.featurizer.window + (len(features) - 1) * hearer.featurizer.hop
    assert answer["decibels"].shape == (2, frames, 24)
    heard = answer["decibels"][0, -hearer.featurizer.window :]
    np.testing.assert_allclose(heard, features[-1], atol=1e-4)
    rows = -(-frames // 3)
    assert answer["heatmap"].shape == (2, rows, 8)
    np.testing.assert_allclose(answer["seconds"][0, :3], [0.01, 0.04, 0.07], atol=1e-6)
    centres = mel_frequencies(26, fmin=0, fmax=planted.RATE / 2)[1:-1]
    np.testing.assert_allclose(answer["hertz"][0], centres[1::3], rtol=1e-5)


def test_what_is_hidden_where_nothing_is_said(seer, of_images):
    """14 positions along a side, patches of twice their distance, filled with the image's own mean."""
    examples = planted.pictures(2, 3)
    function = of_images["occlusion"]
    usual = asked(function, examples, label=["", ""], patch=0, stride=0, fill=NONE)
    assert (usual["stride"].tolist(), usual["patch"].tolist()) == ([3, 3], [6, 6])
    assert usual["heatmap"].shape == (2, 11, 11)
    for number, example in enumerate(examples):
        mean = float(seer.featurizer(tf.constant([example.raw])).numpy().mean())
        given = asked(function, [example], label=[""], patch=6, stride=0, fill=mean)
        np.testing.assert_allclose(given["heatmap"][0], usual["heatmap"][number], atol=1e-6)
        seen = tf.io.decode_png(usual["seen_bytes"][number]).numpy()
        pixels = seer.featurizer(tf.constant([example.raw])).numpy()[0]
        np.testing.assert_array_equal(seen, np.round(pixels * 255))
    answer = export.answer(of_images["serving_default"], [example.raw for example in examples])
    np.testing.assert_array_equal(usual["label"], answer["label"])
    np.testing.assert_allclose(usual["score"], answer["score"], atol=1e-6)


@pytest.fixture(scope="module")
def client(seer, of_images, tmp_path_factory) -> Iterator[Client]:
    base = tmp_path_factory.mktemp("served") / "seer"
    raws = [example.raw for example in planted.pictures(2, 1)]
    export.export(seer, IMAGES, planted.LABELS, base / "1", warmup=raws, functions=of_images)
    options = Options(port=0, model_name="seer", model_base_path=base)
    with Server(options) as server, Client(server.target, timeout=600) as opened:
        yield opened


def question(raws, wanted):
    """Return the inputs as arrays; ``label`` is a name that the client's own keywords have, too."""
    rows = {name: np.array(wanted[name], np.int32) for name in ("patch", "stride")}
    texts = np.array([label.encode() for label in wanted["label"]], object)
    fill = np.array(wanted["fill"], np.float32)
    return {"image_bytes": np.array(raws, object), "label": texts, "fill": fill} | rows


def test_rows_of_a_request_are_worked_on_each_by_itself(client):
    raws = [example.raw for example in planted.pictures(2, 1)]
    wanted = {"label": ["", "red"], "patch": [8, 16], "stride": [4, 0], "fill": [NONE, 0.0]}
    both = client.predict("seer", question(raws, wanted), signature="occlusion")
    assert both["rows"].tolist() == [8, 4]
    for row in range(2):
        own = {name: value[row : row + 1] for name, value in wanted.items()}
        alone = client.predict("seer", question(raws[row : row + 1], own), signature="occlusion")
        rows, columns = both["rows"][row], both["columns"][row]
        np.testing.assert_allclose(alone["heatmap"][0], both["heatmap"][row, :rows, :columns], atol=1e-6)
    assert not both["heatmap"][1, 4:].any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": ["purple"]}, "no such label; got purple; expected one of blue, green, red"),
        ({"patch": [2], "stride": [4]}, "patch at least as large as stride"),
        ({"stride": [-1]}, "stride"),
        ({"fill": [float("inf")]}, "fill is a finite number, or NaN"),
    ],
)
def test_a_request_that_cannot_be_answered_is_refused_with_a_sentence(client, changes, words):
    raws = [planted.pictures(1, 1)[0].raw]
    wanted = {"label": [""], "patch": [0], "stride": [0], "fill": [NONE]} | changes
    with pytest.raises(InvalidArgument, match=words):
        client.predict("seer", question(raws, wanted), signature="occlusion")


def test_networks_without_convolutions_have_no_maps():
    flat = keras.Sequential([keras.Input((4, 4, 3)), layers.Flatten(), layers.Dense(3)])
    assert last_maps.of(flat) is None
