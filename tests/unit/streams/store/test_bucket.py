"""What the URL of a bucket may look like; what a bucket does is the contract's and ``test_object_store``'s to find."""

from __future__ import annotations

import pytest

from sie_online.errors import UsageError
from streams.store import open_store


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/", "s3://my.bucket-1/a/b c/%C3%BC/", "gs://bucket_1/sie"])
def test_a_bucket_with_or_without_a_prefix_is_taken(url: str) -> None:
    open_store(url)


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3:///prefix",
        "s3://Bucket/prefix",
        "s3://bucket:9000/prefix",
        "s3://bucket/prefix?region=eu-west-1",
        "s3://bucket/prefix#1",
        "s3://bucket/../other",
        "s3://b/prefix",
        "az://container@account/prefix",
    ],
)
def test_any_other_url_is_refused_with_what_to_write(url: str) -> None:
    with pytest.raises(UsageError, match="s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"):
        open_store(url)


def test_a_prefix_with_an_empty_folder_is_refused() -> None:
    with pytest.raises(UsageError, match="empty path segment"):
        open_store("s3://bucket//prefix")


def test_keys_in_a_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="the environment's") as refused:
        open_store("s3://AKIAKEY:secret@bucket/prefix")
    assert "secret" not in str(refused.value)


def test_azure_without_an_account_is_refused_at_the_start() -> None:
    with pytest.raises(UsageError, match=r"cannot be opened.*Account must be specified"):
        open_store("az://container/prefix")


def test_azure_with_an_account_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    open_store("az://container/prefix")


def test_google_credentials_that_are_not_there_are_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/credentials.json")
    with pytest.raises(UsageError, match="cannot be opened"):
        open_store("gs://bucket/prefix")
