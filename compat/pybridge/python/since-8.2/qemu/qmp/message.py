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
            raise DeserializationError('Failed to deserialize QMP message.', raw) from err
        if not isinstance(value, dict):
            raise UnexpectedTypeError('QMP message is not a JSON object.', value)
        return value

    def __bytes__(self) -> bytes:
        return json.dumps(self, separators=(',', ':')).encode()

    def __str__(self) -> str:
        return json.dumps(self, indent=2)


class DeserializationError(ProtocolError):
    """Received bytes are not JSON.

    :ivar raw: how the bytes begin; all of them, if there are few.
    :ivar details: what is wrong with them.
    """

    details = ''

    def __init__(self, error_message: str, raw: bytes) -> None:
        super().__init__(error_message, raw)
        self.raw = raw

    def __str__(self) -> str:
        details = self.details or f'raw bytes: {self.raw!r}'
        return f'{self.error_message}\n  {details}'


class UnexpectedTypeError(ProtocolError):
    """Received JSON is not an object.

    :ivar value: the value, or None if it is long.
    :ivar details: how the message begins.
    """

    details = ''

    def __init__(self, error_message: str, value: object) -> None:
        super().__init__(error_message, value)
        self.value = value

    def __str__(self) -> str:
        details = self.details or f'value: {self.value!r}'
        return f'{self.error_message}\n  {details}'
