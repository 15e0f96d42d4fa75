"""Exceptions as data and back: ``{"type", "message", "args", "state", "notes", "cause", "group"}``.

Two strictnesses, one form:

- *strict*, for an exception that is a value or part of one: it comes back as its own class with all its
  args and attributes, or the dump fails;
- *lenient*, for the error that ended a step or workflow: there must be a record whatever the exception is
  made of. Attributes that cannot be stored are left out, by name (``dropped``), and an exception that
  could not be rebuilt is recorded without ``args``, which makes it a ``RemoteError`` for every reader. The
  decision is taken when the error is recorded, so that the first run can be made to behave as a replay will.

Never kept: the traceback and ``__context__``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from durably.errors import RemoteError
from durably.serialization import exception_classes as classes
from durably.serialization.faults import MAX_LEVELS, Fault, qualified_name, too_deep, type_name

if TYPE_CHECKING:
    from durably.serialization.decode import Decoder
    from durably.serialization.encode import Encoder

Form = dict[str, Any]

MAX_CAUSES = 3
"""How many links of the ``__cause__`` chain are kept."""

_UNREADABLE = "<the message could not be read>"


def describe(error: BaseException, encoder: Encoder, depth: int, *, strict: bool, causes: int = MAX_CAUSES) -> Form:
    """The form of ``error``. Raises ``Fault`` if ``strict``, or if exception groups nest without end."""
    if depth > MAX_LEVELS:
        raise too_deep()
    form: Form = {"type": recorded_type(error), "message": encoder.encode(message_of(error))}
    # Exceptions inside this one's args and attributes are strict and without causes: leniency inside
    # leniency could try the same parts again and again, without end in a cycle.
    outermost, encoder.in_error = not encoder.in_error, True
    try:
        if type(error) is not RemoteError:
            try:
                form.update(_rebuildable(error, encoder, depth, strict))
            except Exception:
                if strict:
                    raise
        elif strict and "type_name" not in classes.attributes_of(error):
            raise Fault("is a 'durably.errors.RemoteError' that Durably did not make")
    finally:
        encoder.in_error = not outermost
    notes = classes.notes_of(error)
    if notes:
        form["notes"] = [encoder.encode(note) for note in notes]
    cause = classes.cause_of(error)
    if cause is not None and outermost and causes > 0:
        form["cause"] = describe(cause, encoder, depth + 1, strict=False, causes=causes - 1)
    return form


def restore(form: Any, decoder: Decoder, depth: int, *, strict: bool) -> Exception:
    """The exception of a form: its own class if this process has it, a ``RemoteError`` otherwise.

    ``Fault`` if the form has no type and message, or if ``strict`` and any part of it is damaged.
    """
    if type(form) is not dict or type(form.get("type")) is not str:
        raise Fault("is no recorded error")
    name, message = form["type"], decoder.decode(form.get("message"), depth)
    if type(message) is not str:
        raise Fault("is no recorded error")
    error: Exception | None = None
    try:
        error = _restore_own_class(name, form, decoder, depth, strict)
    except Exception:  # such as a class among the args that this process does not know
        if strict:
            raise
    if error is None:
        error = RemoteError(message, type_name=name)
    try:
        notes = [decoder.decode(note, depth) for note in form.get("notes", ())]
        if notes and all(type(note) is str for note in notes):
            classes.attributes_of(error)["__notes__"] = notes
        if "cause" in form:
            classes.set_cause(error, restore(form["cause"], decoder, depth + 1, strict=False))
    except Exception:
        if strict:
            raise
    return error


def recorded_type(error: BaseException) -> str:
    """``module.Qualname`` of the class; a ``RemoteError`` passes on the name that it stands for."""
    if type(error) is RemoteError:
        name = classes.attributes_of(error).get("type_name")
        if type(name) is str:
            return name
    return qualified_name(type(error))


def message_of(error: BaseException) -> str:
    """``str(error)`` as a plain str, whatever its ``__str__`` does."""
    try:
        return str.__str__(str(error))
    except KeyboardInterrupt:  # the user's, not the exception's
        raise
    except BaseException:
        return _UNREADABLE


def _rebuildable(error: BaseException, encoder: Encoder, depth: int, strict: bool) -> Form:
    """``args``, ``state`` and what else is needed to rebuild ``error``, after trying that it works."""
    cls = type(error)
    if strict and classes.find(qualified_name(cls)) is not cls:
        raise Fault(f"is a {type_name(cls)!r}, which a replay could not look up")
    part: Form = {}
    args, members = classes.args_of(error), classes.members_of(error)
    if members is not None:
        args = args[:1]
        part["group"] = [describe(member, encoder, depth + 2, strict=strict, causes=0) for member in members]
    part["args"] = encoder.encode_all(args, error, depth + 2)

    blank = classes.rebuild(cls, args, members)
    kept: dict[str, Any] = {}
    state: dict[str, Any] = {}
    dropped: list[str] = []
    for name, value in classes.state_beyond(error, blank).items():
        try:
            state.update(encoder.encode_named({name: value}, error, depth + 2))
            kept[name] = value
        except Exception:
            if strict:
                raise
            dropped.append(name)
    if state:
        part["state"] = state
    if dropped:
        part["dropped"] = [name for name in dropped if type(name) is str and name.isidentifier()]

    classes.set_state(blank, kept)
    if message_of(blank) != message_of(error):
        raise Fault(f"is a {type_name(cls)!r}, which its args and attributes do not describe")
    return part


def _restore_own_class(name: str, form: Form, decoder: Decoder, depth: int, strict: bool) -> Exception | None:
    cls = classes.find(name) if "args" in form else None
    if cls is None:
        return None
    args = tuple(decoder.decode_all(form["args"], depth + 2))
    members = None
    if "group" in form:
        members = [restore(member, decoder, depth + 2, strict=strict) for member in form["group"]]
    state = decoder.decode_named(form.get("state", {}), depth + 2)
    try:
        error = classes.rebuild(cls, args, members)
        classes.set_state(error, state)
    except Exception:  # the class has changed since
        return None
    return error if isinstance(error, Exception) else None
