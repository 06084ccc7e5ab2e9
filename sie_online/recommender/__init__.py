"""Who will buy? The online recommender that supplies probability, uncertainty and feature score of every event.

Sees hashed features, never an event; what a sample is worth it is told.

- ``kernels``: the model that the event loop calls: ``linear`` and ``machine``, averaged; ``loss``: what a weight does
- ``classifier``: ``CurvatureLogisticRegression``, the same model with River's protocol
- ``plugin``: ``RiverRecommender`` puts any other River classifier in its place
- ``ranker``: ``NeighbourhoodRanker``, lists of items with River's protocol
- ``pooling``: what several shards have learned, put together
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
    learn_predicted,
    new_model,
    note_usage,
    predict,
    take_back,
)
from sie_online.recommender.plugin import RiverRecommender
from sie_online.recommender.ranker import NeighbourhoodRanker

__all__ = [
    "TWINS",
    "UNIFORM",
    "WEIGHTED",
    "CurvatureLogisticRegression",
    "NeighbourhoodRanker",
    "Prediction",
    "RecommenderArrays",
    "RecommenderConfig",
    "RiverRecommender",
    "learn",
    "learn_predicted",
    "new_model",
    "note_usage",
    "predict",
    "take_back",
]
