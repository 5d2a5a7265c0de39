"""Typed access to untrusted JSON: every complaint names the file and the field."""

from runtime.errors import BundleError
from runtime.foreign import short

MAX_TEXT_CHARACTERS = 256
_KINDS = {
    dict: "an object", list: "a list", str: "text", int: "an integer", float: "a number", bool: "true or false",
    type(None): "null",
}  # fmt: skip


class Fields:
    """One JSON object, read field by field.

    Args:
        value: what the JSON parser returned.
        source: the file it came from, for messages.
        key: where in the file, such as `files.model`; "" is the top.
        hint: what the user can do about a wrong field.
        error: class of the errors, a LotteryError.
    Raises:
        BundleError: or another `error`, from every method, when the field is missing, of another type, or out of range.
    """

    def __init__(self, value, *, source, key="", hint, error=BundleError):
        self.source, self.key, self.hint, self._error, self._value = source, key, hint, error, value
        if type(value) is not dict:
            self.fail(f"is {_kind(value)}, expected an object")

    def fail(self, complaint, *, name=""):
        """Raise the error that says `<file>: <key>.<name> <complaint>`."""
        where = ".".join(part for part in (self.key, name) if part) or "the top level"
        raise self._error(f"{self.source}: {where} {complaint}", hint=self.hint)

    def __contains__(self, name):
        return name in self._value

    def get(self, name, *kinds):
        """Return the member `name`, whose type is one of `kinds` exactly (true is no integer)."""
        if name not in self._value:
            self.fail("is missing", name=name)
        if type(self._value[name]) not in kinds:
            expected = " or ".join(_KINDS[kind] for kind in kinds)
            self.fail(f"is {_kind(self._value[name])}, expected {expected}", name=name)
        return self._value[name]

    def integer(self, name, *, low, high):
        """Return an integer member, low <= value <= high."""
        number = self.get(name, int)
        if not low <= number <= high:
            self.fail(f"is {short(number)}, expected {low} to {high}", name=name)
        return number

    def number(self, name, *, low, high):
        """Return a member that is an integer or a number, low <= value <= high; NaN is none."""
        number = self.get(name, int, float)
        if not low <= number <= high:
            self.fail(f"is {short(number)}, expected {low} to {high}", name=name)
        return number

    def text(self, name):
        """Return a text member: 1 to 256 characters, no control characters (they would reach the terminal)."""
        text = self.get(name, str)
        if not 0 < len(text) <= MAX_TEXT_CHARACTERS or not text.isprintable():
            self.fail(f"is {short(text)}, expected 1 to {MAX_TEXT_CHARACTERS} printable characters", name=name)
        return text

    def children(self, name, kind, *, limit):
        """Return the members of a list or object of objects, at most `limit`: a list of (key, Fields)."""
        members = self.get(name, kind)
        if len(members) > limit:
            self.fail(f"has {len(members)} entries, at most {limit} are supported", name=name)
        pairs = members.items() if kind is dict else enumerate(members)
        return [(key, self._child(value, key=f"{name}[{short(key)}]")) for key, value in pairs]

    def child(self, name):
        """Return the Fields of an object member."""
        return self._child(self.get(name, dict), key=f"{self.key}.{name}" if self.key else name)

    def _child(self, value, *, key):
        return Fields(value, source=self.source, key=key, hint=self.hint, error=self._error)


def _kind(value):
    return _KINDS.get(type(value), "null")
