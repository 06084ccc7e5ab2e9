"""A fit of the noise model on a log that is polluted already: what it takes for noise, what it is judged by."""

from __future__ import annotations

import numpy as np
import pytest

from models.errors import StoppedError
from sie_online.behaviours import POLLUTING, columns_of, log_of, mix, roles_of
from sie_online.importance.noise.evidence import N_SIGNALS
from sie_online.importance.noise.model import default_noise, new_noise
from sie_online.metrics import auc
from sie_online.shard.trace import trace
from streams.trainer.event_window import EventWindow
from streams.trainer.noise_fit import Columns, Fitted, fit_noise
from tests.support.noise_fits import log_batches, quick_settings

SETTINGS = quick_settings()


@pytest.fixture(scope="module")
def polluted() -> tuple[Columns, np.ndarray]:
    """A simulated log with a crawler in it, and which rows are the crawler's."""
    window = EventWindow(SETTINGS)
    for batch in log_batches(3_000):
        window.add(batch)
    columns = window.columns()
    decoded = log_of(columns)
    roles = roles_of(SETTINGS.labels.samples, SETTINGS.labels.conversions)
    mixture = mix(decoded.log, roles, 5, families=["crawler"], polluting=1, innocent=0)
    return columns_of(mixture, decoded, columns), mixture.behaviour > 0


@pytest.fixture(scope="module")
def fitted(polluted: tuple[Columns, np.ndarray]) -> Fitted:
    return fit_noise(polluted[0], default_noise(), SETTINGS)


def test_both_are_judged_on_the_same_families(fitted: Fitted) -> None:
    assert fitted.candidate.auc.keys() == fitted.current.auc.keys() <= set(POLLUTING)
    figures = fitted.candidate.figures(), fitted.current.figures()
    assert None not in {*figures[0].values(), *figures[1].values()}


def test_what_pollutes_the_log_is_not_learned_as_ordinary(polluted: tuple[Columns, np.ndarray], fitted: Fitted) -> None:
    columns, crawled = polluted
    assert fitted.suspects >= 1
    assert fitted.candidate.kept > 0.8
    by_default, own = (
        trace(SETTINGS, columns, model) for model in (default_noise(), new_noise(fitted.tensors, N_SIGNALS))
    )
    before = auc(crawled[by_default.row], by_default.probability)
    assert auc(crawled[own.row], own.probability) > before - 0.03


def test_equal_logs_give_equal_bits(polluted: tuple[Columns, np.ndarray], fitted: Fitted) -> None:
    again = fit_noise(polluted[0], default_noise(), SETTINGS)
    assert (again.candidate, again.current) == (fitted.candidate, fitted.current)
    assert {name: value.tobytes() for name, value in again.tensors.items()} == {
        name: value.tobytes() for name, value in fitted.tensors.items()
    }


def test_it_is_given_up_between_two_mixtures(polluted: tuple[Columns, np.ndarray]) -> None:
    with pytest.raises(StoppedError, match="stopped"):
        fit_noise(polluted[0], default_noise(), SETTINGS, should_stop=lambda: True)
