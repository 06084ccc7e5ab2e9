"""What the recommender knows about an event: binned behavioural features from counters that move as events pass.

Owns the counters' record fields, the bins, the hashing and the dense columns; owns no slots and no ``last_ms``
(``sie_online.shard.entities`` does).

- ``extract`` reads before the event is learned, ``observe`` updates after it
- ``fields``: the counters; ``bins``: the arithmetic that both share
"""

from sie_online.features.bins import Fading
from sie_online.features.columns import (
    DENSE_NAMES,
    FACTOR_COLUMNS,
    FEATURE_NAMES,
    ID_FEATURES,
    N_DENSE,
    N_FEATURES,
    as_dict,
)
from sie_online.features.extract import extract, schema_hash
from sie_online.features.fields import (
    CATEGORY_FIELDS,
    INTEREST_FIELDS,
    ITEM_FIELDS,
    PAIR_FIELDS,
    POPULATION_FIELDS,
    USER_FIELDS,
    FeatureConfig,
)
from sie_online.features.observe import observe

__all__ = [
    "CATEGORY_FIELDS",
    "DENSE_NAMES",
    "FACTOR_COLUMNS",
    "FEATURE_NAMES",
    "ID_FEATURES",
    "INTEREST_FIELDS",
    "ITEM_FIELDS",
    "N_DENSE",
    "N_FEATURES",
    "PAIR_FIELDS",
    "POPULATION_FIELDS",
    "USER_FIELDS",
    "Fading",
    "FeatureConfig",
    "as_dict",
    "extract",
    "observe",
    "schema_hash",
]
