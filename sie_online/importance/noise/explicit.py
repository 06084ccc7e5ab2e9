"""What people say outright: returns, ratings and dwell times, as Beta counts of users and items, and what follows.

``z_alpha`` counts evidence of noise, ``z_beta`` of the contrary, for readers of entities; fractions where the signal is
a matter of degree (a rating or a dwell time, judged against the population's). What follows from them is counted apart.
Absent signals leave all at zero and change nothing.

Returns and short dwell times speak against their user and item as far as they have more of them than others; what was
kept, or looked at for long, speaks for nobody, since fake orders are kept, too. *Opinions* (ratings, dwell times) teach
more where few events have one: a linear regression, learned online, foretells how displeased each is from what its user
and its item showed before, and from how active and how popular they are. What it foretells holds for events without an
opinion: semi-supervised, then. Where users and items foretell nothing, or nearly all events speak for themselves, it
changes nothing.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from sie_online.contracts import RATING_CODE, RETURN_CODE
from sie_online.elementary import exp, log, log1p, tanh
from sie_online.importance.noise.population import NoiseConfig, least_rate, standardise, track
from sie_online.jit import kernel
from sie_online.masks import has

DWELL_ROW, RATING_ROW = 23, 24  # rows of the population's tables
SIGNAL_CAP = 3.0  # robust deviations
SIGNAL_FLOOR = 0.5  # log milliseconds; steps of a rating
SIGNAL_SLOPE = 1.5  # log odds of noise per deviation below the median ...
SIGNAL_OFFSET = 1.5  # ... starting this many deviations below it
PRIOR_COUNT = 4.0  # strength of the population's share in an entity's returns ...
OPINION_PRIOR_COUNT = 8.0  # ... and of its mean in an entity's opinions, which vary more
EXPLICIT_CAP = 3.0  # log odds: what is said outright never convicts alone ...
CREDIT_CAP = 1.5  # ... and acquits less, since who writes fake orders writes fake praise
USER_TENDENCY, ITEM_TENDENCY, ACTIVITY, POPULARITY, LEVEL = range(5)
N_REASONS = 5
ODDS_PER_DEVIATION = 2.0  # log odds of a bad opinion per deviation foretold, where half of all are bad
LEAST_DEVIATION = 0.25  # of opinions, which are standardised by their quartiles
RIDGE = 1.0  # opinions that the coefficients' first values count for
CENTRE_EVENTS = 5_000.0

_COUNTS: list[tuple[Any, ...]] = [
    ("z_alpha", "f4"),  # evidence of noise, and of the contrary
    ("z_beta", "f4"),
    ("z_against", "f4"),  # the same without ratings
    ("z_for", "f4"),
    ("z_opinions", "f4"),
    ("z_displeasure", "f4"),  # sum over them, of what was more than usual
]
USER_FIELDS = _COUNTS
ITEM_FIELDS = _COUNTS
POPULATION_FIELDS: list[tuple[Any, ...]] = [
    *((name, "f8") for name, _ in _COUNTS),
    ("z_taught", "f8", (N_REASONS,)),  # coefficients of the regression; of the tendencies', less 1
    ("z_inverse", "f8", (N_REASONS, N_REASONS)),  # of its inputs' second moments, summed
    ("z_reasons", "f8", (N_REASONS,)),  # scratch of one event, since kernels cannot allocate: its inputs, and ...
    ("z_gain", "f8", (N_REASONS,)),  # ... what each coefficient takes of the error
    ("z_centre", "f8", (N_REASONS,)),  # means of activity and popularity
    ("z_centred", "f8"),  # events in them
    ("z_spoken", "f8"),  # share of events with an opinion, orders aside
    ("z_usual", "f8"),  # mean displeasure, and its variance
    ("z_variance", "f8"),
]


@kernel
def displeasure(population: Any, k: int, value: float) -> float:
    """How far an opinion lies below the middle one, in robust deviations."""
    return -standardise(population, k, value, SIGNAL_FLOOR, SIGNAL_CAP)


@kernel
def degree(displeased: float) -> float:
    """Of evidence of noise, in (0, 1): only what lies far below the ordinary is much."""
    return 1.0 / (1.0 + exp(SIGNAL_SLOPE * (SIGNAL_OFFSET - displeased)))


@kernel
def log_dwell(event: Any) -> float:
    """log(1 + dwell in ms), NaN where absent or negative."""
    return log1p(event.dwell_ms) if event.dwell_ms >= 0.0 else math.nan


@kernel
def dwell_log_ratio(population: Any, event: Any) -> float:
    """Log odds of noise that this event's own dwell time adds; 0 where absent."""
    z = standardise(population, DWELL_ROW, log_dwell(event), SIGNAL_FLOOR, SIGNAL_CAP)
    return max(0.0, -SIGNAL_SLOPE * (z + SIGNAL_OFFSET))


@kernel
def surplus(record: Any, population: Any) -> float:
    """Log ratio, at least 0, of an entity's share of what speaks against it to the population's."""
    if record.z_against <= 0.0:
        return 0.0
    usual = (1.0 + population.z_against) / (PRIOR_COUNT + population.z_against + population.z_for)
    own = (record.z_against + PRIOR_COUNT * usual) / (record.z_against + record.z_for + PRIOR_COUNT)
    return max(log(own / usual), 0.0)


@kernel
def tendency(record: Any) -> float:
    """An entity's mean displeasure, more than usual, shrunk; 0 where it has no opinions."""
    return float(record.z_displeasure / (record.z_opinions + OPINION_PRIOR_COUNT))


@kernel
def bounded(odds: float) -> float:
    """Within -`CREDIT_CAP` and `EXPLICIT_CAP`, and in the same order."""
    if odds == 0.0:  # of most, nothing is said
        return 0.0
    cap = EXPLICIT_CAP if odds > 0.0 else CREDIT_CAP
    return cap * tanh(odds / cap)


@kernel
def explicit_odds(record: Any, population: Any, tends: int, size: int) -> float:
    """Log odds of noise from an entity's returns and from what its opinions foretell."""
    if population.z_opinions == 0.0:
        return bounded(surplus(record, population))
    taught = population.z_taught
    extent = log1p(record.z_views) - population.z_centre[size]
    foretold = (1.0 - population.z_spoken) * ((1.0 + taught[tends]) * tendency(record) + taught[size] * extent)
    deviation = math.sqrt(max(population.z_variance, LEAST_DEVIATION * LEAST_DEVIATION))
    return bounded(surplus(record, population) + ODDS_PER_DEVIATION * foretold / deviation)


class Words(NamedTuple):
    """Log odds of noise from what was said of a view's user and of its item."""

    user: float
    item: float


@kernel
def words_of(user: Any, item: Any, population: Any) -> Words:
    """What was said of both, as it stands now."""
    return Words(user_explicit(user, population), item_explicit(item, population))


@kernel
def user_explicit(user: Any, population: Any) -> float:
    """Log odds of noise from what was said by the account."""
    return explicit_odds(user, population, USER_TENDENCY, ACTIVITY)


@kernel
def item_explicit(item: Any, population: Any) -> float:
    """Log odds of noise from what was said of the item."""
    return explicit_odds(item, population, ITEM_TENDENCY, POPULARITY)


@kernel
def count_signal(record: Any, against: float, other: float) -> None:
    """Add to a record's counts; a return takes back the purchase counted as kept."""
    record.z_against += against
    record.z_for = max(0.0, record.z_for + other)
    record.z_alpha += against
    record.z_beta = max(0.0, record.z_beta + other)


@kernel
def count_opinion(record: Any, unusual: float) -> None:
    """Count an opinion, by what of its displeasure is more than usual."""
    record.z_opinions += 1.0
    record.z_displeasure += unusual


@kernel
def count_rating(record: Any, noise: float) -> None:
    """Add a rating to a record's Beta counts."""
    record.z_alpha += noise
    record.z_beta += 1.0 - noise


@kernel
def learn_opinion(user: Any, item: Any, population: Any, unusual: float) -> None:
    """One step of recursive least squares with a ridge (Plackett 1950), on an opinion that is not counted yet.

    Activity and popularity are views: to have given an opinion is no activity.
    """
    x, taught = population.z_reasons, population.z_taught
    x[USER_TENDENCY], x[ITEM_TENDENCY] = tendency(user), tendency(item)
    x[ACTIVITY] = log1p(user.z_views) - population.z_centre[ACTIVITY]
    x[POPULARITY] = log1p(item.z_views) - population.z_centre[POPULARITY]
    x[LEVEL] = 1.0
    error = unusual - x[USER_TENDENCY] - x[ITEM_TENDENCY]
    for k in range(N_REASONS):
        error -= taught[k] * x[k]
    _take_gain(population)
    for k in range(N_REASONS):
        taught[k] += population.z_gain[k] * error


@kernel
def _take_gain(population: Any) -> None:
    """Take the inputs into the inverse by Sherman's and Morrison's formula, and leave its product with them as gain."""
    x, gain, inverse = population.z_reasons, population.z_gain, population.z_inverse
    if population.z_opinions == 0.0:
        for k in range(N_REASONS):
            inverse[k, k] = 1.0 / RIDGE
    scale = 1.0
    for k in range(N_REASONS):
        gain[k] = 0.0
        for m in range(N_REASONS):
            gain[k] += inverse[k, m] * x[m]
        scale += gain[k] * x[k]
    for k in range(N_REASONS):
        for m in range(N_REASONS):
            inverse[k, m] -= gain[k] * gain[m] / scale
    for k in range(N_REASONS):
        gain[k] /= scale


@kernel
def follow_opinions(population: Any, displeased: float) -> None:
    """Move mean and variance of displeasure; the opinion was counted."""
    gain = 1.0 / min(population.z_opinions, CENTRE_EVENTS)
    unusual = displeased - population.z_usual
    population.z_usual += gain * unusual
    population.z_variance += gain * ((1.0 - gain) * unusual * unusual - population.z_variance)


@kernel
def centre_extents(user: Any, item: Any, population: Any) -> None:
    """Move the means of log activity and log popularity over events."""
    population.z_centred = min(population.z_centred + 1.0, CENTRE_EVENTS)
    centre = population.z_centre
    centre[ACTIVITY] += (log1p(user.z_views) - centre[ACTIVITY]) / population.z_centred
    centre[POPULARITY] += (log1p(item.z_views) - centre[POPULARITY]) / population.z_centred


@kernel
def observe_explicit(cfg: NoiseConfig, user: Any, item: Any, population: Any, event: Any) -> None:
    """Count what the event says outright, and learn from it; the event itself was counted before."""
    centre_extents(user, item, population)
    if event.etype == RETURN_CODE:
        _count(user, item, population, 1.0, -1.0)
        return
    if has(cfg.conversions, event.etype) and event.etype != RATING_CODE:
        _count(user, item, population, 0.0, 1.0)
        return
    row = RATING_ROW if event.etype == RATING_CODE else DWELL_ROW
    value = event.rating if event.etype == RATING_CODE else log_dwell(event)
    speaks = abs(value) < math.inf
    population.z_spoken += ((1.0 if speaks else 0.0) - population.z_spoken) / population.z_centred
    if speaks:
        _learn(user, item, population, row, displeasure(population, row, value))
        track(population, row, value, 1.0, least_rate(cfg))


@kernel
def _count(user: Any, item: Any, population: Any, against: float, other: float) -> None:
    count_signal(user, against, other)
    count_signal(item, against, other)
    count_signal(population, against, other)


@kernel
def _learn(user: Any, item: Any, population: Any, row: int, displeased: float) -> None:
    """Learn from an opinion, then count it."""
    unusual = displeased - population.z_usual if population.z_opinions > 0.0 else 0.0
    learn_opinion(user, item, population, unusual)
    count_opinion(user, unusual)
    count_opinion(item, unusual)
    count_opinion(population, unusual)
    follow_opinions(population, displeased)
    noise = degree(displeased)
    if row == DWELL_ROW:
        _count(user, item, population, noise, 1.0 - noise)
    else:
        count_rating(user, noise)
        count_rating(item, noise)
        count_rating(population, noise)
