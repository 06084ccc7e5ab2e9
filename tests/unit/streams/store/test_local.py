"""What a ``file://`` URL names."""

from __future__ import annotations

from pathlib import Path

import pytest

from sie_online.errors import UsageError
from streams.store.local import open_local


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("file:///var/lib/sie", "/var/lib/sie"),
        ("file:///var/lib/sie/", "/var/lib/sie"),
        ("file://localhost/srv", "/srv"),
        ("file:///a%20b/100%25/%C3%BC", "/a b/100%/ü"),
        ("file:///a b/ü%3F%23", "/a b/ü?#"),
    ],
)
def test_a_file_url_names_a_folder(url: str, folder: str) -> None:
    assert open_local(url).root == Path(folder)


@pytest.mark.parametrize("folder", ["/plain", "/a b", "/100%", "/%20", "/?#", "/ü"])
def test_what_pathlib_writes_as_a_url_is_read_as_that_path(folder: str) -> None:
    assert open_local(Path(folder).as_uri()).root == Path(folder)


@pytest.mark.parametrize("url", ["file://host/var", "file:///var?a=b", "file:///var#a", "file://"])
def test_any_other_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="none of the form file:///absolute/path"):
        open_local(url)
