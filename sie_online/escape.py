"""Text that came from outside, made harmless for whoever looks at it: a terminal, a log, a pager.

An id, a version or an error may hold escape sequences that move the cursor, rename the window or colour what follows,
line ends that forge a line of ours, and marks that turn the direction of writing. Whatever is no printable character is
shown as Python would spell it.
"""

from __future__ import annotations


def safe(text: str) -> str:
    """``text`` as one harmless line."""
    return text if text.isprintable() else "".join(map(_shown, text))


def harmless(text: str) -> str:
    """``text`` with its line ends and nothing else that could steer a terminal."""
    return "\n".join(map(safe, text.split("\n")))


def safe_json(text: str) -> str:
    """A JSON document on one line with every unprintable character as an escape of JSON: the same document."""
    return text if text.isprintable() else "".join(map(_json_escape, text))


def _shown(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode()


def _json_escape(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x10000:
        return f"\\u{code:04x}"
    return f"\\u{0xD800 + (code - 0x10000 >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
