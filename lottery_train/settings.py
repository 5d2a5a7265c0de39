"""Settings as frozen dataclasses: checked against their annotations, explained by their docstring, read from text."""

import dataclasses
import inspect
import json
import sys
import textwrap
import types
import typing

from lottery_train.errors import ConfigError
from runtime.foreign import short

_ONE = {int: "an integer", float: "a finite number", str: "text", bool: "true or false", types.NoneType: "null"}
_MANY = {int: "integers", float: "finite numbers", str: "texts"}


class Settings:
    """Base of a frozen dataclass of settings, one part of a run's; messages call its fields `part.field`.

    A field whose metadata holds `choices` (see `choice`) takes nothing else.
    """

    part = ""

    def variant(self, changes):
        """Return the settings that changes (field -> text) start from: these, unless a field decides about others."""
        return self

    def check_types(self):
        """Bring every value into the form its annotation names: lists become tuples, integers become numbers.

        Raises:
            ConfigError: a value is of another type, or none of the choices.
        """
        hints = typing.get_type_hints(type(self))
        for item in dataclasses.fields(self):
            value, annotation = getattr(self, item.name), hints[item.name]
            try:
                object.__setattr__(self, item.name, _fitted(value, annotation))
            except TypeError:
                self.require(item.name, False, _wording(annotation))
            choices = item.metadata.get("choices")
            if choices is not None:
                self.require(item.name, value in choices, " or ".join(choices))

    def require(self, name, is_good, expected):
        """Raise the ConfigError that names a field, its value and what is expected, unless the value is good."""
        if not is_good:
            value = getattr(self, name)
            shown = list(value) if isinstance(value, tuple) else value
            raise ConfigError(f"{self.part}.{name} is {short(shown)}, expected {expected}")


def choice(default, meanings):
    """Return a dataclass field that takes one of a few names.

    Args:
        default: key of `meanings`.
        meanings: name -> what it means, in a few words.
    """
    return dataclasses.field(default=default, metadata={"choices": meanings})


def explain(cls):
    """Return field -> what docstrings say, those of bases too, with its choices; {} where Python strips them."""
    found = {}
    for base in reversed(cls.__mro__):
        if dataclasses.is_dataclass(base):
            found |= _arguments(base)
    for item in dataclasses.fields(cls):
        if item.name in found and "choices" in item.metadata:
            meanings = "; ".join(f"{name}: {meaning}" for name, meaning in item.metadata["choices"].items())
            found[item.name] = f"{found[item.name].rstrip('.')} [{meanings}]"
    return found


def _arguments(cls):
    """Return field -> text of one class's docstring."""
    _, _, arguments = inspect.cleandoc(cls.__doc__ or "").partition("Args:\n")
    found, name = {}, None
    for line in textwrap.dedent(arguments).splitlines():
        if not line.startswith(" "):
            name, _, line = line.partition(":")
        found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return found


def setting_types(config):
    """Return `part.field` -> annotation for every setting of a config whose fields are Settings."""
    parts = {part.name: type(getattr(config, part.name)) for part in dataclasses.fields(config)}
    return {
        f"{name}.{item.name}": typing.get_type_hints(part)[item.name]
        for name, part in parts.items()
        for item in dataclasses.fields(part)
    }


def with_settings(config, changes):
    """Return a config with some settings changed, those of one part at once, so that their order does not matter.

    Args:
        config: frozen dataclass whose fields are Settings.
        changes: `part.field` -> value as text: JSON, or bare text where text is wanted.
    Raises:
        ConfigError: unknown setting, or a value that is of another type or out of range.
    """
    texts = {}
    for key, text in changes.items():
        part, _, name = key.partition(".")
        texts.setdefault(part, {})[name] = text
    parts = {part.name: getattr(config, part.name) for part in dataclasses.fields(config)}
    parts = {name: part.variant(texts.get(name, {})) for name, part in parts.items()}
    config = dataclasses.replace(config, **parts)
    known = setting_types(config)
    parts = {}
    for key, text in changes.items():
        if key not in known:
            raise ConfigError(f"no setting {short(key)}", hint=f"settings: {', '.join(known)}")
        part, _, name = key.partition(".")
        parts.setdefault(part, {})[name] = _parse(text, known[key])
    changed = {part: dataclasses.replace(getattr(config, part), **values) for part, values in parts.items()}
    return dataclasses.replace(config, **changed)


def metavar(annotation):
    """Return the placeholder that --help shows for a setting's value."""
    kind = (*typing.get_args(annotation), annotation)[0]
    return {int: "N", float: "X"}.get(kind, "NAME")


def _parse(text, annotation):
    try:
        value = json.loads(text)
    except ValueError:
        return text
    takes_text = str in (annotation, *typing.get_args(annotation))
    return text if takes_text and not isinstance(value, str | None) else value


def _fitted(value, annotation):
    """Return a value as its annotation wants it; TypeError where it is of another type."""
    options = typing.get_args(annotation)
    if isinstance(annotation, types.UnionType):
        for option in options:
            try:
                return _fitted(value, option)
            except TypeError:
                continue
    elif options:
        wanted = options[:1] * len(value) if isinstance(value, list | tuple) and options[-1] is ... else options
        if isinstance(value, list | tuple) and len(value) == len(wanted):
            return tuple(_fitted(item, option) for item, option in zip(value, wanted, strict=True))
    elif annotation is float:
        if type(value) in (int, float) and abs(value) <= sys.float_info.max:  # neither NaN nor infinite
            return float(value)
    elif type(value) is annotation:
        return value
    raise TypeError(f"{value!r} is not {annotation}")


def _wording(annotation):
    options = typing.get_args(annotation)
    if isinstance(annotation, types.UnionType):
        return " or ".join(_wording(option) for option in options)
    if options:
        count = "" if options[-1] is ... else f"{len(options)} "
        return f"a list of {count}{_MANY[options[0]]}"
    return _ONE[annotation]
