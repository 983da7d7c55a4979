"""The states of a connection, and the exceptions about them."""

from enum import Enum
from typing import Tuple, Union

from .error import QMPError

InternetAddrT = Tuple[str, int]
UnixAddrT = str
SocketAddrT = Union[UnixAddrT, InternetAddrT]


class Runstate(Enum):
    """What an object is doing."""

    IDLE = 0
    CONNECTING = 1
    RUNNING = 2
    DISCONNECTING = 3


class ConnectError(QMPError):
    """A connection could not be made; exc is the cause."""

    def __init__(self, error_message: str, exc: Exception) -> None:
        super().__init__(error_message, exc)
        self.error_message = error_message
        self.exc = exc

    def __str__(self) -> str:
        return f'{self.error_message}: {str(self.exc) or type(self.exc).__name__}'


class StateError(QMPError):
    """The object's state does not allow the call."""

    def __init__(self, error_message: str, state: Runstate, required: Runstate) -> None:
        super().__init__(error_message, state, required)
        self.error_message = error_message
        self.state = state
        self.required = required

    def __str__(self) -> str:
        return self.error_message
