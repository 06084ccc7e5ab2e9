"""Any River classifier in the recommender's place, named by a dotted path.

It is slower than our own model and learns a positive when the purchase arrives, without taking the earlier negative
back. Its features are those of `sie_online.features.as_dict`.
"""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Hashable
from typing import Any

from river import base

from sie_online.contracts import PROBABILITY_FLOOR
from sie_online.errors import SettingsError

Features = dict[Hashable, Any]  # as River spells it; ours are str -> float

SETTING = "recommender.classifier"
UNKNOWN_PROBABILITY = 0.5  # what a classifier that has no opinion yet is taken to say


def load_classifier(path: str, seed: int = 0) -> base.Classifier:
    """A new classifier with default arguments; a ``seed`` parameter gets ``seed``, so that runs repeat themselves.

    Raises SettingsError if the path names nothing that can be made without arguments, or no River classifier.
    """
    module_name, _, name = path.rpartition(".")
    if not module_name:
        raise SettingsError(f"{SETTING}: {path!r} is no dotted path such as river.linear_model.LogisticRegression")
    try:
        factory = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"{SETTING}: cannot import {path!r}: {error}") from error
    if not (inspect.isclass(factory) and issubclass(factory, base.Classifier)):
        raise SettingsError(f"{SETTING}: {path!r} is not a River classifier (a subclass of river.base.Classifier)")
    seeded = {"seed": seed} if "seed" in inspect.signature(factory).parameters else {}
    try:
        made: base.Classifier = factory(**seeded)
    except TypeError as error:
        raise SettingsError(f"{SETTING}: {path!r} cannot be made with its defaults: {error}") from error
    return made


class RiverRecommender:
    """Two clones of one classifier: one learns with uniform weights, one with the published ones.

    Picklable if the classifier is (River promises it), so a checkpoint can hold it.
    """

    def __init__(self, path: str, seed: int = 0) -> None:
        self.path = path
        self._uniform = load_classifier(path, seed)
        self._weighted = load_classifier(path, seed)
        self.takes_weights = "w" in inspect.signature(self._uniform.learn_one).parameters

    def predict(self, x: Features) -> tuple[float, float]:
        """P(positive) of the uniform and of the weighted twin, each in [1e-6, 1 - 1e-6]."""
        return probability_of(self._uniform, x), probability_of(self._weighted, x)

    def learn(self, x: Features, y: bool, weight: float) -> None:
        """Both twins learn the label; the weight reaches the second one where its ``learn_one`` takes weights."""
        self._uniform.learn_one(x, y)
        if not self.takes_weights:
            self._weighted.learn_one(x, y)
        elif math.isfinite(weight) and weight > 0.0:
            self._weighted.learn_one(x, y, w=weight)  # type: ignore[call-arg]


def probability_of(classifier: base.Classifier, x: Features) -> float:
    """P(True), from the class where the classifier knows no probabilities; never NaN, never 0 or 1."""
    try:
        by_label = classifier.predict_proba_one(x)
    except NotImplementedError:
        label = classifier.predict_one(x)
        by_label = {} if label is None else {True: float(label), False: 1.0 - float(label)}
    p = float(by_label.get(True, 0.0)) if by_label else UNKNOWN_PROBABILITY
    if not math.isfinite(p):
        p = UNKNOWN_PROBABILITY
    return min(max(p, PROBABILITY_FLOOR), 1.0 - PROBABILITY_FLOOR)
