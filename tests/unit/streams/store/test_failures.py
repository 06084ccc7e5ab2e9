"""A failure of a service as a sentence: what it said, without what must not be told, and what to do."""

from __future__ import annotations

import pytest

from streams.store.failures import in_short, is_missing_bucket, may_have_happened, sentence

ANSWER = """Generic S3 error: Error performing PUT http://s3/b/x in 2ms - Server returned non-2xx status code: {status}:
<?xml version="1.0"?><Error><Code>{code}</Code><Message>Said
so.</Message><StringToSign>AWS4 secret</StringToSign></Error>

Debug source:
Generic {{ store: "S3" }}"""


def _answer(status: str, code: str) -> Exception:
    return OSError(ANSWER.format(status=status, code=code))


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        ("404 Not Found", "NoSuchBucket", "create it, or mend the URL"),
        ("404 Not Found", "ContainerNotFound", "create it, or mend the URL"),
        ("400 Bad Request", "ExpiredToken", "renew them"),
        ("403 Forbidden", "RequestTimeTooSkewed", "clock"),
        ("403 Forbidden", "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
        ("301 Moved Permanently", "PermanentRedirect", "AWS_REGION"),
        ("403 Forbidden", "AccessDenied", "s3:PutObject"),
        ("503 Service Unavailable", "SlowDown", "SIE_CHECKPOINT__INTERVAL_S"),
    ],
)
def test_what_can_be_done_is_said_with_what_the_service_said(status: str, code: str, advice: str) -> None:
    said = sentence("s3://b/p", "epochs/1", _answer(status, code))
    assert said.startswith("the store fails at s3://b/p/epochs/1: ")
    assert advice in said
    assert said.endswith(f"({code}: Said so.)")


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("Error performing PUT http://169.254.169.254/latest/api/token in 1ms - HTTP error", "no credentials"),
        ("HTTP error: builder error\n\nDebug source:\nkind: Builder, source: BadScheme", "AWS_ALLOW_HTTP=true"),
        ("HTTP error: error sending request\n\nDebug source:\nkind: Connect", "AWS_ENDPOINT_URL"),
    ],
)
def test_what_never_reached_the_service_is_told_apart(text: str, advice: str) -> None:
    assert advice in sentence("s3://b", "x", OSError(text))


def test_an_unknown_failure_is_told_as_it_is() -> None:
    assert sentence("s3://b", "x", OSError("Quota  gone\n")) == "the store fails at s3://b/x: Quota gone"


def test_neither_signatures_nor_what_was_signed_are_told() -> None:
    assert "secret" not in in_short(_answer("403 Forbidden", "SignatureDoesNotMatch"))
    assert "sig=" not in in_short(OSError("Error performing GET https://a.blob/c/x?sv=1&sig=abc in 2ms"))


def test_a_missing_object_is_no_missing_bucket() -> None:
    assert is_missing_bucket(_answer("404 Not Found", "NoSuchBucket"))
    assert not is_missing_bucket(_answer("404 Not Found", "NoSuchKey"))


def test_only_what_was_not_answered_may_have_happened() -> None:
    assert may_have_happened(OSError("Error performing PUT http://s3/b/x in 10s - HTTP error: request timed out"))
    assert not may_have_happened(_answer("403 Forbidden", "AccessDenied"))
    assert not may_have_happened(OSError("HTTP error: builder error\n\nDebug source: BadScheme"))
