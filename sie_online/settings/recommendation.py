"""Lists of items for users: what they are learned from and how large what is learned may become.

Nothing here changes a published row; what is learned under other bounds is begun anew.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sie_online.contracts import EventType
from sie_online.settings.section import Section


class Recommend(Section):
    """Ranked lists of items (top-N), learned beside the weights; off by default."""

    enabled: bool = Field(False, description="Whether a shard learns to rank; docs/recommending.md has what it costs.")
    publish: bool = Field(False, description="Whether the lists of active users are published; needs enabled.")
    list_length: int = Field(20, ge=1, le=200, description="Items of a list that is published or written.")
    learn_from: tuple[EventType, ...] = Field(
        ("view", "click", "cart", "favorite", "purchase", "rating"),
        min_length=1,
        description="Event types that say that a user had an item; an impression or a return does not.",
    )
    liked_rating: float = Field(4.0, description="An event whose rating is lower counts disliked_weight.")
    disliked_weight: float = Field(0.7, ge=0, le=1, description="What it counts; 0: nothing is learned from it.")
    weighted: bool = Field(False, description="Whether an event counts its published weight besides.")
    seen: Literal["auto", "include", "exclude"] = Field(
        "auto",
        description="Items that the user has had: auto leaves them out as long as hardly any event (2 %) is of a user"
        " with an item had before.",
    )
    half_life_s: float = Field(
        2_592_000.0, ge=0, description="After which an event counts half, event time; 0: nothing is forgotten."
    )
    history: int = Field(32, ge=1, le=1_000, description="Last different items that are known of a user.")
    together: int = Field(16, ge=1, le=1_000, description="Last items of the user that an item is counted with.")
    neighbours: int = Field(64, ge=1, le=1_000, description="Neighbours known of an item.")
    users: int = Field(1 << 16, ge=1 << 6, description="Users known per shard; the longest unseen makes room.")
    items: int = Field(1 << 16, ge=1 << 6, description="Items known per shard, likewise.")
    categories: int = Field(1 << 12, ge=1 << 6, description="Categories known per shard, likewise.")
    pairs: int = Field(1 << 18, ge=1 << 6, description="Pairs of user and item had that are known per shard, likewise.")
