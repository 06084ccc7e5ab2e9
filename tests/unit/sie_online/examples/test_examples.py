"""The examples: each hands the weights to its library, counts what it learned and scored, and says what to do."""

from __future__ import annotations

import ast
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sie_online import examples
from sie_online.examples.trial import METRICS
from tests.support.examples import LIBRARIES, OF_TABLES, OWN, SAMPLES, TRUTH, example, options

Capture = pytest.CaptureFixture[str]
each = pytest.mark.parametrize("name", LIBRARIES)


def told(name: str, folder: Path, capsys: Capture, *more: str, samples: Path | None = None) -> Any:
    """What the example says of the log in ``folder``, from its JSON."""
    arguments = ["--file", str(samples or folder / SAMPLES), *options(name, folder), "--json", *more]
    assert example(name).main(arguments) == 0
    return json.loads(capsys.readouterr().out)


@each
def test_an_example_learns_what_had_settled_and_scores_what_came_later(
    name: str, generated: Path, capsys: Capture
) -> None:
    result = told(name, generated, capsys, "--truth", str(generated / TRUTH))
    samples = pl.read_parquet(generated / SAMPLES).join(pl.read_parquet(generated / TRUTH), on="event_id")
    cut = float(np.quantile(samples["event_time_ms"].to_numpy(), 0.7))
    scored = samples.filter(pl.col("event_time_ms") > cut, pl.col("noisy") == 0)
    assert result["learned"] == samples.filter(pl.col("settled_ms") <= cut).height > 3_000
    assert result["scored"] == scored.height > 2_000
    assert result["positives"] == scored["label"].sum() > 100
    assert result["users"] == scored["user_hash"].n_unique()
    for arm in ("unweighted", "weighted", "shuffled"):
        assert set(result[arm]) == set(METRICS)
        assert all(map(math.isfinite, result[arm].values()))
        assert result[arm]["AUC"] > 0.52  # it learned something
        assert 0 < result[arm]["NLL"] < 0.6
    for metric in METRICS:
        difference = result["difference"][metric]
        assert difference["value"] == pytest.approx(result["weighted"][metric] - result["unweighted"][metric])
        assert difference["low"] <= difference["high"]
    for arm in ("unweighted", "shuffled"):
        assert result["weighted"]["NLL"] != result[arm]["NLL"]
    assert result["verdict"]["sentence"].startswith(("No measurable difference", "They harm here", "They help here"))


@each
def test_weights_that_know_the_noise_help(name: str, planted: Path, capsys: Capture) -> None:
    result = told(name, planted, capsys, "--truth", str(planted / TRUTH))
    assert result["verdict"]["word"] == "helps"
    assert result["verdict"]["sentence"].endswith(": use them.")
    assert result["difference"]["NLL"]["high"] < 0 < result["difference"]["AUC"]["value"]
    assert abs(result["shuffled"]["NLL"] - result["unweighted"]["NLL"]) < -result["difference"]["NLL"]["value"] / 2


@each
def test_weights_that_are_all_the_same_make_no_difference(
    name: str, planted: Path, tmp_path: Path, capsys: Capture
) -> None:
    table = pq.read_table(planted / SAMPLES)
    weight = table.column_names.index("weight")
    pq.write_table(table.set_column(weight, "weight", pa.array(np.full(len(table), 2.0))), tmp_path / SAMPLES)
    result = told(name, planted, capsys, samples=tmp_path / SAMPLES)
    assert all(difference == {"value": 0.0, "low": 0.0, "high": 0.0} for difference in result["difference"].values())
    assert result["verdict"]["word"] == "no evidence"
    assert "leave them out" in result["verdict"]["sentence"]


def test_the_text_has_every_metric_what_was_left_out_and_the_sentence(planted: Path, capsys: Capture) -> None:
    given = ["--file", str(planted / SAMPLES), "--resamples", "20", "--noise-below", "0.5"]
    assert example("sklearn").main(given) == 0
    text = capsys.readouterr().out
    assert all(metric in text for metric in METRICS)
    assert "had not settled" in text
    assert text.splitlines()[-1].startswith("They help here (AUC +")


@each
def test_help_teaches(name: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit, match="0"):
        example(name).main(["--help"])
    text = capsys.readouterr().out
    for word in ("sie evaluate", "--samples", "sie tail samples --parquet", "--broker", "held out", "interval"):
        assert word in text, word
    for heading in ("what it does", "how to read it", "what to score on", "when not to use the weights", "exit codes"):
        assert f"\n{heading}" in text
    for page in (example(name).__doc__, text):
        assert "lean log" in page


def test_the_package_lists_every_example() -> None:
    for name in LIBRARIES:
        assert f"``{name}``" in str(examples.__doc__)


MISSING = """
import importlib, sys
for name, library in {libraries!r}.items():
    sys.modules[library] = None
    try:
        importlib.import_module(f"sie_online.examples.{{name}}")
    except SystemExit as ended:
        print(name, ended.code)
"""


def test_a_missing_library_is_one_line_that_says_what_to_install_and_exit_2() -> None:
    code = MISSING.format(libraries=LIBRARIES)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{name} 2" for name in LIBRARIES]
    lines = done.stderr.splitlines()
    assert len(lines) == len(LIBRARIES)
    for line, library in zip(lines, LIBRARIES.values(), strict=True):
        distribution = {"sklearn": "scikit-learn"}.get(library, library)
        assert line.startswith(f"this example needs {distribution}: pip install {distribution} (")


@pytest.mark.parametrize("content", [b"no parquet", None], ids=["foreign", "missing"])
@pytest.mark.parametrize("option", ["--file", "--truth", "--features"])
def test_an_unreadable_file_is_one_sentence(
    option: str, content: bytes | None, planted: Path, tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "given.parquet"
    if content is not None:
        path.write_bytes(content)
    files = {"--file": planted / SAMPLES, "--features": planted / OWN} | {option: path}
    assert example("polars").main([str(word) for pair in files.items() for word in pair]) == 2
    said = capsys.readouterr().err
    assert str(path) in said
    assert len(said.splitlines()) == 1


def test_tables_that_lack_a_column_or_have_ours_are_refused(planted: Path, tmp_path: Path, capsys: Capture) -> None:
    given = ["--file", str(planted / SAMPLES), "--features"]
    assert example("duckdb").main([*given, str(planted / OWN), "--by", "colour"]) == 2
    assert "no column 'colour'; it has event_id, item_id" in capsys.readouterr().err
    pq.write_table(pa.table({"event_id": ["e1"], "item_id": [1], "label": [1]}), tmp_path / OWN)
    assert example("duckdb").main([*given, str(tmp_path / OWN)]) == 2
    assert "'label' of its own: rename it" in capsys.readouterr().err
    assert example("sklearn").main([*given[:2], "--truth", str(planted / OWN)]) == 2
    assert "no column 'noisy'" in capsys.readouterr().err


def test_sql_and_frames_agree(generated: Path, tmp_path: Path, capsys: Capture) -> None:
    """An event that the user's table has twice is one event all the same."""
    own = pl.read_parquet(generated / OWN)
    pl.concat([own, own.head(500)]).write_parquet(tmp_path / OWN)
    results, tables = [], []
    for name in OF_TABLES:
        out = tmp_path / f"{name}.parquet"
        results.append(told(name, tmp_path, capsys, "--out", str(out), samples=generated / SAMPLES))
        tables.append(pl.read_parquet(out).sort("event_id"))
    for arm in ("unweighted", "weighted", "shuffled"):
        assert results[0][arm] == pytest.approx(results[1][arm], abs=1e-9)
    assert tables[0].equals(tables[1].select(tables[0].columns))
    samples = pl.read_parquet(generated / SAMPLES).sort("event_id")
    assert tables[0].columns == [*own.columns, "label", "weight"]
    assert tables[0].select("event_id", "weight").equals(samples.select("event_id", "weight"))


def test_an_example_is_short_and_is_its_library() -> None:
    """What is not the library's is shared: an example that grows has something in it that belongs there."""
    for name in LIBRARIES:
        source = Path(str(example(name).__file__)).read_text("utf-8")
        assert len(source.splitlines()) <= 130, name
        roots = {node.module.split(".")[0] for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
        assert roots.isdisjoint({"streams", "models", "tests"})
