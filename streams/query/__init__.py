"""The Query API of a worker: what is known of an event, an entity or a pair, over HTTP. Read-only, off by default.

Owns what can be asked and how it is answered; what is known is the shards' (``sie_online.shard.lookup``) and, of what
was published lately, ``streams.worker.recent``'s. docs/queries.md is for those who ask.

- ``service``: ``QueryApi``, the listener: who is let in, how many at once, how long; ``tokens``: the bearer tokens
- ``routes``: every route with its parameters and its answer, once; ``openapi``: the same as an OpenAPI document
- ``answers``: what answers consist of; ``problems``: what is said instead (RFC 9457)
- ``questions``: how each is answered; ``owners``: by which worker, if not by this one
"""

from streams.query.service import QueryApi
from streams.query.tokens import check_tokens

__all__ = ["QueryApi", "check_tokens"]
