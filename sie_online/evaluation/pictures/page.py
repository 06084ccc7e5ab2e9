"""One page with what was found: a sentence, and the pictures."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from sie_online.evaluation.compare.trial import Comparison
from sie_online.evaluation.pictures import charts
from sie_online.evaluation.pollution.figures import Pollution

STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 1180px; padding: 0 1rem; }
svg { font: 12px system-ui, sans-serif; fill: currentColor; max-width: 100%; height: auto; }
main { display: flex; flex-wrap: wrap; gap: 1.5rem; }
figure { margin: 0; max-width: 560px; }
figcaption { opacity: .75; font-size: 13px; }
.verdict { font-weight: 600; }
"""

CAPTIONS = {
    charts.gain_over_time: "Log loss with uniform weights less that with the published ones, mean over seeds, by "
    "slices of the held-out time. Above 0 the weights help. Bands: users are the clusters.",
    charts.reliability: "Ten groups of equally many samples. On the dashed line predictions mean what they say.",
    charts.weights: "Both axes are logarithmic. A clean log has its weights near 1.",
}
DETECTION = "Random behaviours mixed into the log. Bars: mean over seeds; dots: mixtures. A coin has .5."


def page(comparison: Comparison | None, pollution: Pollution | None) -> str:
    """HTML with its pictures in it; what is None is left out."""
    body = "\n".join(_parts(comparison, pollution))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Evaluation</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>Evaluation</h1>\n{body}\n</body>\n</html>\n"
    )


def _parts(comparison: Comparison | None, pollution: Pollution | None) -> Iterator[str]:
    if comparison is not None:
        yield f'<p class="verdict">{escape(comparison.verdict.sentence)}</p>'
    yield "<main>"
    if comparison is not None:
        for chart, caption in CAPTIONS.items():
            yield _figure(chart(comparison), caption)
    if pollution is not None:
        yield _figure(charts.detection(pollution), DETECTION)
    yield "</main>"


def _figure(svg: str, caption: str) -> str:
    return f"<figure>\n{svg}\n<figcaption>{escape(caption)}</figcaption>\n</figure>"
