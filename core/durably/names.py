"""What may be an id, a topic or a key: what every database can hold, and tells apart from all others."""

from __future__ import annotations

from durably.errors import ConfigurationError

#: The length of ids, topics and keys, which are parts of indexes (characters).
MAX_NAME = 255


def checked_new_id(given: object) -> str:
    """The id of a workflow that is to be made; ConfigurationError for what cannot be one."""
    if not isinstance(given, str) or not given.strip() or len(given) > MAX_NAME or not given.isprintable():
        raise ConfigurationError(
            f"the workflow id {given!r} is not usable; give 1 to {MAX_NAME} printable characters, not only blanks"
        )
    return given


def checked_name(given: object, what: str) -> str:
    """A topic or key that every database can hold; ConfigurationError for others."""
    name = checked_text(given, what)
    if len(name) > MAX_NAME:
        raise ConfigurationError(f"{what} has {len(name)} characters; {MAX_NAME} are possible")
    return name


def checked_text(given: object, what: str) -> str:
    """What can be looked for in every database; ConfigurationError for others."""
    if not isinstance(given, str) or "\0" in given or not _is_encodable(given):
        raise ConfigurationError(f"{what} is {given!r}; give a text without NUL and lone surrogates")
    return given


def checked_id(given: object, verb: str) -> str:
    """The id of a workflow that ``verb`` is to look for; ConfigurationError for what cannot be one."""
    return checked_text(given, f"the workflow id of {verb}")


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
