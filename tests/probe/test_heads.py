"""Heads on features: what is minimized, the same each time, rare classes, dead channels."""

import numpy as np
import pytest
import torch

from pocketvision.errors import DataError, UsageError
from pocketvision.probe.heads import LabeledFeatures, best_logistic, best_sigmoid, class_means, logistic_path


def clouds(count: int, *, classes: int = 3, channels: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    dice = np.random.default_rng(seed)
    centers = np.random.default_rng(99).normal(size=(classes, channels))
    labels = dice.integers(0, classes, count)
    labels[:classes] = range(classes)
    features = centers[labels] * 5 + 20 + dice.normal(size=(count, channels)) * 6
    return features.astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("balance", ["none", "weights"])
@pytest.mark.parametrize("strength", [0.3, 0.01])
def test_a_head_minimizes_the_mean_loss_and_its_weights(balance: str, strength: float, classes: int) -> None:
    features, labels = clouds(300, classes=classes)
    learned = LabeledFeatures(features, labels, classes, balance)  # type: ignore[arg-type]
    head = logistic_path(learned, [1.0, strength])[1]
    spread = torch.from_numpy(features.std(0))
    weight = torch.from_numpy(head.weight * features.std(0)).double().requires_grad_()
    bias = torch.from_numpy(head.bias + head.weight @ features.mean(0)).double().requires_grad_()
    standard = (torch.from_numpy(features - features.mean(0)) / spread).double()
    losses = torch.nn.functional.cross_entropy(standard @ weight.T + bias, torch.from_numpy(labels), reduction="none")
    ((torch.from_numpy(learned.sample_weights()) * losses).sum() + strength / 2 * (weight**2).sum()).backward()
    assert max(float(weight.grad.abs().max()), float(bias.grad.abs().max())) < 1e-3
    assert head.strength == strength


def test_the_same_features_give_the_same_head_and_a_strength_is_chosen_on_validation() -> None:
    features, labels = clouds(60, channels=40)
    features[::4] = features[::-4]  # wrong labels, which a head that is held back learns less from
    val, val_labels = clouds(200, channels=40, seed=1)
    learned = LabeledFeatures(features, labels, 3)
    one, two = best_logistic(learned, val, val_labels), best_logistic(learned, val, val_labels)
    assert np.array_equal(one.weight, two.weight)
    assert np.array_equal(one.bias, two.bias)
    misses = {head.strength: (head.logits(val).argmax(1) != val_labels).sum() for head in logistic_path(learned)}
    assert misses[one.strength] == min(misses.values())
    assert max(misses.values()) > min(misses.values())
    with pytest.raises(UsageError, match="--val above 0"):
        best_logistic(learned, val[:0], val_labels[:0])


def test_weights_help_a_rare_class() -> None:
    features, labels = clouds(600, classes=2, channels=3)
    kept = (labels == 0) | (np.arange(600) % 15 == 0)
    test, test_labels = clouds(600, classes=2, channels=3, seed=2)

    def recall(balance: str) -> float:
        head = logistic_path(LabeledFeatures(features[kept], labels[kept], 2, balance), [0.01])[0]  # type: ignore[arg-type]
        return float((head.logits(test).argmax(1) == 1)[test_labels == 1].mean())

    assert recall("weights") > recall("none") + 0.1


def test_class_means_answer_with_the_nearest() -> None:
    features, labels = clouds(90)
    head = class_means(LabeledFeatures(features, labels, 3))
    standard = (features - features.mean(0)) / features.std(0)
    centers = np.stack([standard[labels == label].mean(0) for label in range(3)])
    nearest = ((standard[:, None] - centers) ** 2).sum(2).argmin(1)
    assert (head.logits(features).argmax(1) == nearest).mean() > 0.99


def test_a_channel_that_never_changes_does_no_harm() -> None:
    features, labels = clouds(60)
    features[:, 2] = 1e4
    head = logistic_path(LabeledFeatures(features, labels, 3), [0.01])[0]
    assert np.isfinite(head.weight).all()
    assert not head.weight[:, 2].any()


def test_one_class_and_a_class_without_images_are_told() -> None:
    features, labels = clouds(30)
    with pytest.raises(DataError, match="two classes"):
        LabeledFeatures(features, np.zeros(30, np.int64), 1)
    with pytest.raises(DataError, match="class number 3"):
        LabeledFeatures(features, labels, 4)


def seen(count: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features and two attributes that each show in one channel, a third cell of which is unknown."""
    dice = np.random.default_rng(seed)
    targets = dice.integers(0, 2, (count, 2))
    features = dice.normal(size=(count, 12)) + 10
    features[:, :2] += 1.5 * targets
    targets[dice.random(targets.shape) < 1 / 3] = -1
    return features.astype(np.float32), targets


def test_attributes_are_told_each_by_itself_and_unknown_cells_teach_nothing() -> None:
    (features, targets), (val, val_targets) = seen(400), seen(300, seed=1)
    head = best_sigmoid(features, targets, val, val_targets)
    assert head.weight.shape == (2, 12)
    assert head.strength > 0
    answers, known = head.logits(val) > 0, val_targets != -1
    assert ((answers == (val_targets == 1)) & known).sum(axis=0).min() / known.sum(axis=0).max() > 0.7
    assert np.array_equal(best_sigmoid(features, targets, val, val_targets).weight, head.weight)
    for column in range(2):  # what is not known of one attribute changes nothing of the other
        only = targets[:, column] != -1
        alone = best_sigmoid(features[only], targets[only][:, [column]], val, val_targets[:, [column]])
        assert np.corrcoef(alone.logits(val)[:, 0], head.logits(val)[:, column])[0, 1] > 0.95


def test_without_known_validation_cells_no_strength_is_chosen() -> None:
    features, targets = seen(40)
    with pytest.raises(UsageError, match="none of theirs is known"):
        best_sigmoid(features, targets, features, np.full_like(targets, -1))
