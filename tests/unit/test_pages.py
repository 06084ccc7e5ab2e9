"""Pages are read as they are written, and a block that fails, fails the test with its line."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from tests.support.pages import blocks, fenced, reader

PAGE = """
# A page

```sh
echo "$SIE_STORE" > store; echo 127.0.0.1:9092
```

<!-- test: skip because it needs a GPU -->
```python
raise SystemExit(1)
```

```text
no code
```

<!-- test: background until "read[y]" -->
```sh
trap 'echo ended > ended; exit' INT
echo ready; while true; do sleep 0.05; done
```

```python
from pathlib import Path
print(Path("store").read_text())
```

```sh
false | true
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(PAGE, "utf-8")
    return path


def test_blocks_come_with_language_line_and_mark(page: Path) -> None:
    found = [(block.language, block.line, block.mark) for block in blocks(page)]
    assert found == [
        ("sh", 4, ""),
        ("python", 9, "skip because it needs a GPU"),
        ("text", 13, ""),
        ("sh", 18, 'background until "read[y]"'),
        ("python", 23, ""),
        ("sh", 28, ""),
    ]
    assert blocks(page)[1].says("reason") == "it needs a GPU"
    assert [code.splitlines()[0] for code in fenced(page, "python")] == [
        "raise SystemExit(1)",
        "from pathlib import Path",
    ]
    assert [block.names_broker for block in blocks(page)] == [True, *[False] * 5]


def test_blocks_run_in_one_folder_beside_what_runs_on(page: Path, tmp_path: Path) -> None:
    first, skipped, _, lasting, later, failing = blocks(page)
    with reader(tmp_path, "127.0.0.1:1234") as typing:
        assert typing.run(first) == "127.0.0.1:1234\n"
        assert typing.run(lasting) == "ready\n"
        assert typing.run(later) == f"{(tmp_path / 'store').as_uri()}\n\n"
        with pytest.raises(AssertionError, match=r"page.md:28 ended with 1"):
            typing.run(failing)
        with pytest.raises(AssertionError, match=r"page.md:9 ended with 1"):
            typing.run(skipped)
    assert (tmp_path / "ended").exists()


def test_a_mark_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(textwrap.dedent(PAGE).replace("skip because it needs a GPU", "skip"), "utf-8")
    with pytest.raises(AssertionError, match=re.escape("page.md:9: what is 'test: skip'?")):
        blocks(page)[1].says("reason")


def test_what_ends_before_it_is_ready_is_told(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('<!-- test: background until "ready" -->\n```sh\necho no store >&2; exit 3\n```\n', "utf-8")
    with reader(tmp_path, "") as typing, pytest.raises(AssertionError, match="no store"):
        typing.run(blocks(page)[0])
