"""What an engine holds: one serializer to write with, and the closed set that it reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from durably.errors import ConfigurationError, RemoteError, SerializationError
from durably.serialization import exceptions, json_serializer
from durably.serialization.decode import Decoder
from durably.serialization.encode import Encoder
from durably.serialization.exception_classes import find
from durably.serialization.faults import Fault, shown
from durably.serialization.json_serializer import JsonSerializer
from durably.serialization.payload import Payload, Serializer
from durably.serialization.typetable import NO_TYPES, TypeTable

_ERRORS_AS = JsonSerializer.name


class Serialization:
    """Values and errors to payloads and back.

    The process's configuration decides what is read: a row written by any other serializer is refused,
    unread. Errors are always JSON, which runs no code, so that no record of a failure depends on a setting.
    In every method ``what`` names the value for messages, such as "the output of step 'charge' of workflow
    'o-1'"; a ``SerializationError`` carries it as ``what``, and the ``path`` to the part at fault.
    """

    def __init__(self, serializer: Serializer | None = None, also_reads: Sequence[Serializer] = ()) -> None:
        self._writer: Serializer = JsonSerializer() if serializer is None else serializer
        self._readers: dict[str, Serializer] = {}
        for reader in (self._writer, *also_reads):
            if type(reader.name) is not str or not reader.name:
                raise ConfigurationError(f"serializer {type(reader).__name__} needs a name that is a non-empty str")
            if self._readers.setdefault(reader.name, reader) is not reader:
                raise ConfigurationError(f"two serializers are called {reader.name!r}; give one of them another name")
        self._name = self._writer.name
        self._dumps = self._writer.dumps

    def dump(self, value: object, types: TypeTable, *, what: str) -> Payload:
        """``value`` as a payload; ``SerializationError`` if it would not come back equal and of its type."""
        try:
            return Payload(self._dumps(value, types), self._name)
        except SerializationError as error:
            raise _located(f"cannot record {what}", what, error) from None
        except Exception as error:
            raise _located(f"cannot record {what}", what, _unforeseen(error)) from None

    def load(self, payload: Payload, types: TypeTable, *, what: str) -> Any:
        """The value of ``payload``. ``SerializationError``, and no other error, whatever the row holds."""
        text, name = payload
        reader = self._readers.get(name) if type(name) is str else None
        if reader is None or type(text) is not str:
            raise _located(f"cannot read {what}", what, self._refusal(text, name))
        try:
            return reader.loads(text, types)
        except SerializationError as error:
            raise _located(f"cannot read {what}", what, error) from None
        except Exception as error:
            raise _located(f"cannot read {what}", what, _unforeseen(error)) from None

    def dump_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any], types: TypeTable, *, what: str) -> Payload:
        """A call's arguments as one payload."""
        return self.dump({"args": list(args), "kwargs": kwargs}, types, what=what)

    def load_arguments(
        self, payload: Payload, types: TypeTable, *, what: str
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The positional and keyword arguments of ``dump_arguments``."""
        call = self.load(payload, types, what=what)
        args, kwargs = (call.get("args"), call.get("kwargs")) if type(call) is dict else (None, None)
        if type(args) is not list or type(kwargs) is not dict or not all(type(name) is str for name in kwargs):
            raise _located(f"cannot read {what}", what, SerializationError("it holds no arguments of a call"))
        return tuple(args), kwargs

    def dump_error(self, error: BaseException, *, what: str) -> Payload:  # noqa: ARG002 - as the others have
        """The record of ``error``. Never raises: what cannot be kept is left out; type and message stay."""
        try:
            form = exceptions.describe(error, Encoder(NO_TYPES), 1, strict=False)
            return Payload(json_serializer.to_text(form), _ERRORS_AS)
        except Exception:
            form = {"type": exceptions.recorded_type(error), "message": exceptions.message_of(error)}
            return Payload(json_serializer.to_text(form), _ERRORS_AS)

    def load_error(self, payload: Payload, *, what: str) -> Exception:
        """The recorded error: of its own class if this process has defined that, else a ``RemoteError``.

        Never raises; a record that cannot be read gives a ``RemoteError`` that says so. The exception is
        rebuilt without running its class's ``__init__``, and has no traceback.
        """
        try:
            text, name = payload
            if name != _ERRORS_AS or type(text) is not str:
                raise self._refusal(text, name)
            return exceptions.restore(json_serializer.parse(text), Decoder(NO_TYPES), 1, strict=False)
        except (Fault, SerializationError) as error:
            reason = error.describe() if isinstance(error, Fault) else str(error)
        except Exception as error:
            reason = str(_unforeseen(error))
        return RemoteError(f"{what} ended in an error whose record cannot be read: {reason}", type_name="unknown")

    def _refusal(self, text: object, name: object) -> SerializationError:
        if type(text) is not str or type(name) is not str:
            return SerializationError("the row is damaged: its text or the name of its serialization is missing")
        needed = f"the serializer of that name in also_reads=[{'PickleSerializer()' if name == 'pickle' else '…'}]"
        if name == "pickle":
            needed += " (then whoever can write to the database can run code here)"
        return SerializationError(
            f"it was written with {shown(name)}, and this process reads only "
            f"{', '.join(map(repr, self._readers))}; to read it, configure {needed}"
        )


def is_faithful(error: BaseException) -> bool:
    """Whether ``load_error(dump_error(error))`` gives back an exception of the same class in this process.

    Where it does not, a replay raises a ``RemoteError``, and the first run should raise the same.
    """
    try:
        if type(error) is RemoteError:
            return True
        form = exceptions.describe(error, Encoder(NO_TYPES), 1, strict=False, causes=0)
        return "args" in form and find(form["type"]) is type(error)
    except Exception:
        return False


def _located(doing: str, what: str, error: SerializationError) -> SerializationError:
    return SerializationError(f"{doing}: {error}", what=what, path=getattr(error, "path", None))


def _unforeseen(error: Exception) -> SerializationError:
    """Whatever else happened. Only the type is told: a foreign message may show the value."""
    if isinstance(error, RecursionError):
        return SerializationError("$ is nested too deeply for what is left of the call stack")
    return SerializationError(f"$ met an unforeseen {type(error).__name__} on the way")
