"""Who will buy? The online recommender that supplies probability, uncertainty and feature score of every event.

`kernels` holds the model that the event loop calls; `CurvatureLogisticRegression` is the same model with River's
protocol; `RiverRecommender` puts any other River classifier in its place.
"""

from sie_online.recommender.classifier import CurvatureLogisticRegression
from sie_online.recommender.kernels import (
    TWINS,
    UNIFORM,
    WEIGHTED,
    Prediction,
    RecommenderArrays,
    RecommenderConfig,
    learn,
    new_model,
    note_usage,
    predict,
    take_back,
)
from sie_online.recommender.plugin import RiverRecommender

__all__ = [
    "TWINS",
    "UNIFORM",
    "WEIGHTED",
    "CurvatureLogisticRegression",
    "Prediction",
    "RecommenderArrays",
    "RecommenderConfig",
    "RiverRecommender",
    "learn",
    "new_model",
    "note_usage",
    "predict",
    "take_back",
]
