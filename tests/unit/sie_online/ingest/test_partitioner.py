"""Placement agrees with Kafka's default, key by key."""

from __future__ import annotations

import random

import numpy as np
import pytest
from aiokafka.partitioner import DefaultPartitioner, murmur2

from sie_online.ingest import partitioner


@pytest.mark.parametrize("length", range(14))
def test_murmur2_equals_the_clients_for_every_tail_length(length: int) -> None:
    dice = random.Random(length)
    for _ in range(50):
        key = dice.randbytes(length)
        assert partitioner.murmur2(np.frombuffer(key, np.uint8)) == murmur2(key)


def test_a_user_is_placed_where_aiokafka_places_it() -> None:
    place = partitioner.Placer(7)
    for user in ["", "u17", "1002166", "ü-ñ-漢", "x" * 300]:
        key = user.encode()
        expected = DefaultPartitioner()(key, list(range(7)), [])
        assert place(key) == place(key) == partitioner.partition_of(key, 7) == expected
