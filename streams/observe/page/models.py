"""Models for people: what was announced, why it passed the gate, where it applies, and what was refused and why.

What is said comes from the model registry's records and from manifests alone; who reads those is the site's owner.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from models.errors import ManifestError
from models.manifest import Manifest, Verdict
from sie_online.announcements import MODELS, NET, NOISE, PRIORS, Announcement, RegisteredModel
from sie_online.contracts import BUILTIN_MODEL
from sie_online.escape import safe

SHOWN = 5
"""Announcements before the newest, and refused versions, that are told of."""

NAMES = {NET: "importance net", PRIORS: "priors", NOISE: "noise model"}
BUILTIN = {
    NET: "none is in force: weights have no factor of a net",
    PRIORS: "none are in force: every partition knows what it learned itself",
    NOISE: "the default that is part of the package",
}
WITHOUT_FIGURES = "it passed the gate"


class Announced(msgspec.Struct, frozen=True):
    """An announcement; ``at_ms`` since 1970, ``why`` in words. ``n`` 0: none was made, the built-in one is in force."""

    n: int
    version: str
    at_ms: int
    why: str


class Refused(msgspec.Struct, frozen=True):
    """A version that the gate refused."""

    version: str
    at_ms: int
    reasons: list[str]


class Place(msgspec.Struct, frozen=True):
    """Where announcement ``n`` came into force in a partition; ``late``: later than it was announced for."""

    partition: int
    n: int
    offset: int
    late: bool


class ModelStory(msgspec.Struct, frozen=True):
    """One model. ``places``: what is in force in which partition of this worker, by its metrics."""

    model: str
    name: str
    newest: Announced
    places: list[Place]
    earlier: list[Announced]
    refused: list[Refused]


Adopted = Mapping[int, int]
"""Number of the announcement in force, by partition."""


def model_stories(
    registry: Mapping[str, RegisteredModel],
    refused: Mapping[str, Iterable[Manifest]],
    adopted: Mapping[str, Adopted],
) -> list[ModelStory]:
    """Every model, with what the gate ``refused`` of it and what was ``adopted`` here, by model."""
    return [_story(registry[model], refused.get(model, ()), adopted.get(model, {})) for model in MODELS]


def _story(registered: RegisteredModel, refused: Iterable[Manifest], adopted: Adopted) -> ModelStory:
    numbers = sorted(registered.announcements, reverse=True)
    announced = [_announced(registered, registered.announcements[n]) for n in numbers[: 1 + SHOWN]]
    before_any = Announced(0, BUILTIN_MODEL, 0, BUILTIN[registered.model])
    return ModelStory(
        model=registered.model,
        name=NAMES[registered.model],
        newest=announced[0] if announced else before_any,
        places=[_place(registered, partition, n) for partition, n in sorted(adopted.items()) if n],
        earlier=announced[1:],
        refused=[_refused(manifest) for manifest in sorted(refused, key=lambda one: one.version, reverse=True)[:SHOWN]],
    )


def _announced(registered: RegisteredModel, announcement: Announcement) -> Announced:
    return Announced(announcement.n, announcement.version, announcement.created_at_ms, _why(registered, announcement))


def _why(registered: RegisteredModel, announcement: Announcement) -> str:
    if announcement.reason == "rollback":
        to = BUILTIN[registered.model] if announcement.version == BUILTIN_MODEL else "a version that was there before"
        return f"rolled back, by a person or because the one before did harm: {to}"
    try:
        manifest = Manifest.from_json(registered.manifests.get(announcement.version, b""))
    except ManifestError:
        return "its manifest cannot be read"
    return passed(manifest)


def _place(registered: RegisteredModel, partition: int, n: int) -> Place:
    late = registered.adopted.get((partition, n))
    announcement = registered.announcements.get(n)
    if late is not None:
        return Place(partition, n, late.offset, late=True)
    return Place(partition, n, announcement.offset(partition) if announcement else 0, late=False)


def _refused(manifest: Manifest) -> Refused:
    reasons = manifest.gate.reasons if manifest.gate else ("it was not judged",)
    return Refused(manifest.version, manifest.created_at_ms, [safe(reason) for reason in reasons])


# -- why a version passed, from its verdict's figures


def passed(manifest: Manifest) -> str:
    """Why the gate let a version pass, as a sentence without its full stop."""
    sentences = {NET: _net_gain, PRIORS: _priors_gain, NOISE: _noise_gain}
    report = (manifest.gate or Verdict(passed=True)).report
    found = sentences.get(manifest.model, lambda _: iter(()))(report)
    return "; ".join(found) or WITHOUT_FIGURES


Report = Mapping[str, Mapping[str, float | None]]


def _net_gain(report: Report) -> Iterator[str]:
    gain, users = report.get("gain", {}), report.get("gain", {}).get("users")
    for against in ("uniform", "current"):
        mean, lower = gain.get(against), gain.get(f"{against}_lower")
        if mean is not None:
            what = "with uniform importance" if against == "uniform" else "with the net before"
            least = "" if lower is None else f", at least {lower:.2g} by its confidence bound"
            yield f"a learner's log loss is {mean:.2g} lower than {what}{least}"
    if users:
        yield f"judged on {users:,.0f} users"


def _priors_gain(report: Report) -> Iterator[str]:
    pooled, published = (report.get(kind, {}).get("nll") for kind in ("pooled", "published"))
    if pooled is not None and published is not None:
        yield f"log loss {pooled:.4g} with what all partitions learned, {published:.4g} as published"
    else:
        yield "no coefficient is too large; nothing has settled yet to judge by"


def _noise_gain(report: Report) -> Iterator[str]:
    mine, current = report.get("candidate", {}), report.get("current", {})
    for figure, what in (("median_auc", "the median"), ("worst_auc", "the worst")):
        value, before = mine.get(figure), current.get(figure)
        if value is not None:
            against = "" if before is None else f" ({before:.2f} by the model before)"
            yield f"AUC {value:.2f} on {what} of the behaviours it was not fitted on{against}"
