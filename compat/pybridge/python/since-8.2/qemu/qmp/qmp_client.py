"""The exceptions about commands and their replies.

The asynchronous class of QEMU's module, QMPClient, is not here: its programs can move
to package async of the Go library.
"""

from types import SimpleNamespace
from typing import Any, Mapping, NoReturn

from .error import ProtocolError, QMPError
from .message import Message


class _WrappedProtocolError(ProtocolError):
    def __init__(self, error_message: str, exc: Exception) -> None:
        super().__init__(error_message, exc)
        self.exc = exc

    def __str__(self) -> str:
        return f'{self.error_message}: {str(self.exc) or type(self.exc).__name__}'


class GreetingError(_WrappedProtocolError):
    """The server's first message is not a greeting."""


class NegotiationError(_WrappedProtocolError):
    """The server did not accept qmp_capabilities."""


class ExecuteError(QMPError):
    """The server answered a command with an error."""

    def __init__(self, error: Mapping[str, str], sent: Message, received: Message) -> None:
        super().__init__(error['desc'])
        self.error = SimpleNamespace(class_=error['class'], desc=error['desc'])
        self.error_class = error['class']
        self.sent = sent
        self.received = received

    def __reduce__(self) -> Any:
        # An exception is copied and pickled by its arguments, and this has others.
        error = {'class': self.error_class, 'desc': self.error.desc}
        return (type(self), (error, self.sent, self.received))


class ExecInterruptedError(QMPError):
    """The connection ended before the reply came.

    :ivar sent: whether the command may have reached the server.
    """

    sent = True


class _MsgProtocolError(ProtocolError):
    def __init__(self, error_message: str, msg: Message, *args: object) -> None:
        super().__init__(error_message, msg, *args)
        self.msg = msg

    def __str__(self) -> str:
        return f'{self.error_message}\n  Message was: {self.msg}\n'


class ServerParseError(_MsgProtocolError):
    """The server could not read a message, and does not say which one."""


class BadReplyError(_MsgProtocolError):
    """A reply is neither a success nor an error."""

    def __init__(self, error_message: str, msg: Message, sent: Message) -> None:
        super().__init__(error_message, msg, sent)
        self.sent = sent


def __getattr__(name: str) -> NoReturn:
    if name == 'QMPClient':
        raise ImportError(
            'QMPClient is asynchronous; this module, which calls a Go library, has only '
            'the blocking class qemu.qmp.legacy.QEMUMonitorProtocol')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
