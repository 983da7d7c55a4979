"""Messages, and the exceptions about bytes that are not messages."""

import json
from typing import Any, Mapping, Union

from .error import ProtocolError


class Message(dict):  # type: ignore[type-arg]
    """A message: a dict that can be made from its bytes, and turned into them."""

    def __init__(self, value: Union[bytes, Mapping[str, object]] = b'{}', *,
                 eager: bool = True) -> None:
        del eager
        if isinstance(value, bytes):
            value = self._parse(value)
        super().__init__(value)

    @staticmethod
    def _parse(raw: bytes) -> Any:
        try:
            value = json.loads(raw)
        except ValueError as err:
            raise DeserializationError('Not a JSON message', raw) from err
        if not isinstance(value, dict):
            raise UnexpectedTypeError('Not a JSON object', value)
        return value

    def __bytes__(self) -> bytes:
        return json.dumps(self, separators=(',', ':')).encode()

    def __str__(self) -> str:
        return json.dumps(self, indent=2)


class DeserializationError(ProtocolError):
    """Received bytes are not JSON."""

    def __init__(self, error_message: str, raw: bytes) -> None:
        super().__init__(error_message, raw)
        self.raw = raw

    def __str__(self) -> str:
        return f'{self.error_message}: {self.raw!r}' if self.raw else self.error_message


class UnexpectedTypeError(ProtocolError):
    """Received JSON is not an object."""

    def __init__(self, error_message: str, value: object) -> None:
        super().__init__(error_message, value)
        self.value = value

    def __str__(self) -> str:
        return self.error_message
