"""What a bucket that fails has to say, and what to do about it, in one sentence. Owns no decision: those are its
callers'.
"""

from __future__ import annotations

import re

BLANKS = re.compile(r"\s+")
QUERY = re.compile(r"(https?://[^\s?]+)\?\S*")
ANSWER = re.compile(r"<Code>([^<]*)</Code>(?:.*?<Message>([^<]*)</Message>)?", re.DOTALL)
MOST_CHARACTERS = 300

NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "specified bucket does not exist", "container does not exist")
OUT_OF_RANGE = ("416 Range Not Satisfiable", "Wanted range starting at")

ADVICE: tuple[tuple[tuple[str, ...], str], ...] = (
    (NO_BUCKET, "there is no such bucket: create it, or mend the URL"),
    (
        ("ExpiredToken", "InvalidToken", "token has expired", "TokenRefreshRequired"),
        "the credentials have expired: renew them, or run under a role, which renews its own",
    ),
    (
        ("RequestTimeTooSkewed", "RequestExpired"),
        "this machine's clock is wrong, and requests are signed with the time: have NTP set it",
    ),
    (
        ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidAuthenticationInfo", "AuthenticationFailed"),
        "the key is not known there or its secret is another: look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or"
        " what your provider has in their place)",
    ),
    (
        ("169.254.169.254", "169.254.170.2", "metadata.google.internal", "token request"),
        "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS or"
        " AZURE_STORAGE_ACCOUNT_KEY, or give the machine or pod a role (profiles of ~/.aws are not read)",
    ),
    (
        ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraint", "redirect without LOCATION"),
        "the bucket is in another region: set AWS_REGION to it",
    ),
    (
        ("AccessDenied", "403 Forbidden", "AuthorizationPermissionMismatch", "AuthorizationFailure"),
        "the credentials lack a right there: reading, writing and deleting below the prefix, and listing the bucket,"
        " are needed (s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload; s3:ListBucket)",
    ),
    (
        ("SlowDown", "503 Service Unavailable", "429 Too Many Requests", "ServerBusy"),
        "it asks for fewer requests: lengthen SIE_CHECKPOINT__INTERVAL_S",
    ),
    (
        ("BadScheme",),
        "its endpoint is plain HTTP, which is spoken only where AWS_ALLOW_HTTP=true says so",
    ),
    (
        ("kind: Connect", "kind: Request", "kind: Timeout", "kind: Interrupted"),
        "it does not answer: look at the network, and at AWS_ENDPOINT_URL where it is no cloud's own",
    ),
)
"""What to look for in an error, and what to do about it; the first that fits is told."""


def is_missing_bucket(error: BaseException) -> bool:
    """Whether not an object but all of the place is gone."""
    return any(sign in str(error) for sign in NO_BUCKET)


def is_out_of_range(error: BaseException) -> bool:
    """Whether the object is there and ends before what was asked for."""
    return any(sign in str(error) for sign in OUT_OF_RANGE)


def may_have_happened(error: BaseException) -> bool:
    """Whether no answer arrived: what was asked for may have been done."""
    return "HTTP error" in str(error) and "BadScheme" not in str(error)


def sentence(url: str, name: str, error: BaseException) -> str:
    """What fails, where, and what to do about it."""
    advice = next((advice for signs, advice in ADVICE if any(sign in str(error) for sign in signs)), "")
    at = f"the store fails at {url}/{name}: "
    return f"{at}{advice} ({in_short(error)})" if advice else f"{at}{in_short(error)}"


def in_short(error: BaseException) -> str:
    """The server's code and message, or the first words of what the client says; no query of a URL, which may sign."""
    text = str(error)
    if answer := ANSWER.search(text):
        said = ": ".join(filter(None, answer.groups()))
    else:
        said = QUERY.sub(r"\1", text.partition("\n\nDebug source")[0])
    return BLANKS.sub(" ", said).strip()[:MOST_CHARACTERS]
