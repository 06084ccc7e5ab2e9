"""Pictures are well-formed, stay within their frame, and say what was found."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sie_online.evaluation.compare.scores import METRICS, Gain
from sie_online.evaluation.compare.trial import Comparison, compare
from sie_online.evaluation.pictures import charts
from sie_online.evaluation.pictures.page import page
from sie_online.evaluation.pictures.svg import WIDTH, Chart, ticks
from sie_online.evaluation.pollution.figures import MixtureFound, Pollution
from tests.support.settled import settled, weighted

SVG = re.compile(r"<svg.*?</svg>", re.DOTALL)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    samples, is_noise = settled(noise=0.4)
    return compare(weighted(samples, np.where(is_noise, 0.01, 1.0)), lambda scored: scored.user >= 20)


@pytest.fixture
def pollution() -> Pollution:
    nothing = dict.fromkeys(METRICS, Gain(0.0, 0.0))
    made = [
        MixtureFound(family, seed, 100, 0.1, auc, 0.02, nothing, nothing, [])
        for family, seed, auc in [
            ("fake_orders", 1, 0.7),
            ("crawler", 1, 0.99),
            ("crawler", 2, 0.97),
            ("mosaic", 1, None),
        ]
    ]
    return Pollution(1_000, (1, 2), made, ())


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 - our own


def numbers(svg: str, tag: str, attribute: str) -> list[float]:
    return [float(each.get(attribute, "nan")) for each in parsed(svg).iter(tag)]


def test_every_picture_is_well_formed_and_within_its_frame(comparison: Comparison, pollution: Pollution) -> None:
    html = page(comparison, pollution)
    found = SVG.findall(html)
    assert len(found) == 4
    for svg in found:
        root = parsed(svg)
        height = float(root.get("viewBox", "").split()[3])
        for points in (each.get("points", "") for each in root.iter() if each.get("points")):
            for pair in points.split():
                x, y = map(float, pair.split(","))
                assert 0 <= x <= WIDTH
                assert 0 <= y <= height
    assert comparison.verdict.sentence in html


def test_a_page_holds_only_what_there_is(comparison: Comparison, pollution: Pollution) -> None:
    assert len(SVG.findall(page(comparison, None))) == 3
    assert len(SVG.findall(page(None, pollution))) == 1


def test_a_page_loads_nothing(comparison: Comparison, pollution: Pollution) -> None:
    assert not re.search(r"https?:|<script|<link|src=|@import", page(comparison, pollution))


def test_what_is_named_is_escaped(comparison: Comparison) -> None:
    hostile = replace(comparison, verdict=replace(comparison.verdict, sentence="<b>&", population="<i>"))
    html = page(hostile, None)
    assert "&lt;b&gt;&amp;" in html
    assert "<i>" not in html


def test_families_are_there_with_the_least_first_and_a_dot_for_each_mixture(pollution: Pollution) -> None:
    svg = charts.detection(pollution)
    labels = [text for text in re.findall(r">([a-z ]+)</text>", svg) if text in ("fake orders", "crawler", "mosaic")]
    assert labels == ["fake orders", "crawler"]
    assert svg.count("<circle") == 3
    widths = numbers(svg, "rect", "width")
    assert widths[0] < widths[1]


def test_every_weight_is_in_the_histogram(comparison: Comparison) -> None:
    svg = charts.weights(comparison)
    assert len(numbers(svg, "rect", "x")) == 2  # two different weights


def test_gain_over_time_covers_the_held_out_part(comparison: Comparison) -> None:
    svg = charts.gain_over_time(comparison)
    assert svg.count("<polygon") == 2
    assert svg.count("<polyline") == 3
    assert charts.hours(0.0, 3 * 3_600_000.0) == [0.0, 3_600_000.0, 7_200_000.0, 10_800_000.0]


def test_a_point_beyond_the_axes_is_drawn_at_their_edge() -> None:
    chart = Chart("", (0.0, 1.0), (0.0, 1.0))
    chart.points([5.0, -5.0], [5.0, -5.0], "#000")
    assert max(numbers(chart.svg(), "circle", "cx")) <= WIDTH


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_few_and_within(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert 2 <= len(found) <= 7
    assert all(low - 1e-6 * span <= tick <= low + span * (1 + 1e-6) for tick in found)


@given(st.floats(-6, 5), st.floats(0.5, 8))
def test_logarithmic_ticks_are_few_and_within(power: float, span: float) -> None:
    low, high = 10**power, 10 ** (power + span)
    found = ticks(low, high, log=True)
    assert 1 <= len(found) <= 12
    assert all(low * (1 - 1e-6) <= tick <= high * (1 + 1e-6) for tick in found)
