"""``durably.yaml``: the settings that are weaker than arguments and environment variables.

    name: shop
    app_db_client: sqlalchemy
    application_database_url: postgresql://shop:${SHOP_PASSWORD}@db/shop
    lease_seconds: 10

It is read from the working directory, or from where ``DURABLY_CONFIG`` says. ``${VARIABLE}`` is taken from the
environment, ``${VARIABLE:-default}`` with a default. A file that names an application is that application's alone.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
from collections.abc import Mapping
from typing import Any

from durably.errors import ConfigurationError

log = logging.getLogger("durably.config")

FILE = "durably.yaml"
VARIABLE = "DURABLY_CONFIG"

#: What a file may say, and what each of it is.
KEYS: Mapping[str, type] = {
    "name": str,
    "system_database_url": str,
    "application_database_url": str,
    "app_db_client": str,
    "executes": str,
    "application_version": str,
    "executor_id": str,
    "run_migrations": bool,
    "transaction_pooler": bool,
    "notifications": bool,
    "lease_seconds": float,
    "transaction_retry_seconds": float,
}
_WORDS = {str: "a text", bool: "true or false", float: "a number"}
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def read(name: str | None, environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings of the application ``name`` (None: of none) in the configuration file; none if there is no file.

    ConfigurationError for a file that was named and is not there, an unknown key, a value of the wrong kind, and a
    variable that is not set.
    """
    path = environment.get(VARIABLE) or FILE
    if not os.path.exists(path):
        if path == FILE:
            return {}
        raise ConfigurationError(f"{VARIABLE} names {path!r}, and there is no such file", setting=VARIABLE, value=path)
    values = {key: _value(path, key, value, environment) for key, value in _mapping(path).items()}
    owner = values.pop("name", name)
    if owner != name:
        log.info("%s is of the application %r; %r does not read it", path, owner, name)
        return {}
    if "executor_id" in values:
        values["executor_label"] = values.pop("executor_id")
    return values


def _mapping(path: str) -> Mapping[str, Any]:
    import yaml  # here, because a process without a file does without it

    try:
        with open(path, encoding="utf-8") as file:
            loaded = yaml.safe_load(file)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        # Without what YAML quotes of the file: that may be a password.
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: {getattr(error, 'problem', None)}" if mark is not None else type(error).__name__
        raise ConfigurationError(f"{path} cannot be read as YAML ({where})", setting=path) from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigurationError(f"{path} must be a mapping, with lines such as `name: shop`", setting=path)
    return loaded


def _value(path: str, key: Any, value: Any, environment: Mapping[str, str]) -> Any:
    kind = KEYS.get(key) if isinstance(key, str) else None
    if kind is None:
        near = difflib.get_close_matches(str(key), KEYS, 1)
        advice = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(KEYS)}"
        raise ConfigurationError(f"{path}: {key!r} is no setting; {advice}", setting=str(key))
    if kind is str:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = str(value)  # application_version: 7
        if isinstance(value, str):
            return _substituted(path, key, value, environment)
    elif kind is float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    elif isinstance(value, kind):
        return value
    raise ConfigurationError(f"{path}: {key} must be {_WORDS[kind]}", setting=key)


def _substituted(path: str, key: str, value: str, environment: Mapping[str, str]) -> str:
    def one(reference: re.Match[str]) -> str:
        variable: str = reference[1]
        default: str | None = reference[2]
        found = environment.get(variable, default)
        if found is None:
            raise ConfigurationError(
                f"{path}: {key} needs the environment variable {variable}, which is not set; set it, or give a default "
                f"with ${{{variable}:-…}}",
                setting=key,
                variable=variable,
            )
        return found

    return _REFERENCE.sub(one, value)
