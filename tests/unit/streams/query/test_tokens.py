"""Who is let in is what the file says, as it is now; a file that keeps no secret is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sie_online.errors import SettingsError
from streams.query.tokens import Tokens, check_tokens
from tests.support.events import small_settings

ONE, OTHER = "a" * 31 + "1", "b" * 40 + "=="


def written(file: Path, text: str, mode: int = 0o600) -> Path:
    replacement = file.with_suffix(".new")
    replacement.write_text(text)
    replacement.chmod(mode)
    replacement.replace(file)
    return file


def test_a_token_of_the_file_is_let_in_and_nothing_else(tmp_path: Path) -> None:
    tokens = Tokens(written(tmp_path / "tokens", f"# of the shop\n{ONE}\n\n  {OTHER}\n"))
    assert tokens.admit(f"Bearer {ONE}")
    assert tokens.admit(f"bearer  {OTHER} ")
    for header in (
        "",
        "Bearer",
        "Bearer ",
        ONE,
        f"Basic {ONE}",
        f"Bearer {ONE[:-1]}",
        f"Bearer {ONE}x",
        "Bearer \udcff",
    ):
        assert not tokens.admit(header), header


def test_tokens_are_rotated_without_a_restart(tmp_path: Path) -> None:
    file = written(tmp_path / "tokens", ONE)
    tokens = Tokens(file)
    written(file, f"{ONE}\n{OTHER}")
    assert tokens.admit(f"Bearer {ONE}")
    assert tokens.admit(f"Bearer {OTHER}")
    written(file, OTHER)
    assert not tokens.admit(f"Bearer {ONE}")
    assert tokens.admit(f"Bearer {OTHER}")


def test_a_link_that_leads_elsewhere_is_a_change(tmp_path: Path) -> None:
    """As Kubernetes replaces what a Secret holds."""
    (tmp_path / "data").symlink_to(written(tmp_path / "first", ONE))
    tokens = Tokens(tmp_path / "data")
    (tmp_path / "next").symlink_to(written(tmp_path / "second", OTHER))
    (tmp_path / "next").replace(tmp_path / "data")
    assert not tokens.admit(f"Bearer {ONE}")
    assert tokens.admit(f"Bearer {OTHER}")


@pytest.mark.parametrize("fault", ["gone", "empty", "open"])
def test_while_the_file_is_not_fit_to_be_used_nobody_is_let_in(tmp_path: Path, fault: str) -> None:
    file = written(tmp_path / "tokens", ONE)
    tokens = Tokens(file)
    if fault == "gone":
        file.unlink()
    else:
        written(file, "" if fault == "empty" else ONE, 0o644 if fault == "open" else 0o600)
    assert not tokens.admit(f"Bearer {ONE}")
    written(file, ONE)
    assert tokens.admit(f"Bearer {ONE}")


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        ("", 0o600, "holds no token"),
        ("# only words\n", 0o600, "holds no token"),
        ("short\n", 0o600, "has 5 characters; at least 32"),
        (f"{ONE} with words behind it", 0o600, "cannot be sent in a header"),
        (ONE, 0o644, "chmod o-r"),
        ("x" * 70_000, 0o600, "is it a file of tokens"),
    ],
)
def test_a_file_that_keeps_no_secret_is_refused_with_a_way_out(tmp_path: Path, text: str, mode: int, says: str) -> None:
    file = written(tmp_path / "tokens", text, mode)
    with pytest.raises(SettingsError, match=says) as refused:
        check_tokens(small_settings(api={"token_file": str(file)}))
    assert "api.token_file" in str(refused.value)
    assert not text.strip() or text not in str(refused.value)


def test_a_file_that_is_missing_or_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        check_tokens(small_settings(api={"token_file": str(tmp_path / "none")}))
    with pytest.raises(SettingsError, match="cannot read"):
        check_tokens(small_settings(api={"token_file": str(tmp_path)}))
    if os.geteuid():
        with pytest.raises(SettingsError, match="Permission denied"):
            check_tokens(small_settings(api={"token_file": str(written(tmp_path / "locked", ONE, 0))}))


def test_without_a_file_there_is_nothing_to_refuse() -> None:
    check_tokens(small_settings())
