"""The exception for an error of the library."""

import asyncio
import os
from typing import Any, Dict, Optional

from .error import ProtocolError, QMPError, RefusedError
from .message import DeserializationError, Message, UnexpectedTypeError
from .protocol import ConnectError, Runstate, StateError
from .qmp_client import (
    ExecInterruptedError,
    GreetingError,
    NegotiationError,
    ServerParseError,
)


class QMPBadPortError(QMPError):
    """The text after the only colon of an address is not a number."""


_SIMPLE = {
    'EOFError': EOFError,
    'QMPBadPortError': QMPBadPortError,
    'RefusedError': RefusedError,
    'ProtocolError': ProtocolError,
    'ValueError': ValueError,
}


def exception(error: Dict[str, Any]) -> Exception:
    """Return the exception for an error. Its text is the one of QEMU's module."""
    name, message = error['class'], error['message']
    cause: Optional[Exception] = None
    if 'cause' in error:
        cause = exception(error['cause'])
    err: Exception
    if name == 'TimeoutError':
        return asyncio.TimeoutError()
    if name == 'OSError':
        return OSError(error['errno'], os.strerror(error['errno']))
    if name == 'EOFError':
        return EOFError()
    if name == 'StateError':
        return StateError(message, Runstate[error['state']], Runstate[error['required']])
    if name == 'ConnectError':
        assert cause is not None
        err = ConnectError(f'Failed to establish {error["stage"]}', cause)
    elif name == 'ExecInterruptedError':
        err = ExecInterruptedError('Disconnected')
        err.sent = error.get('sent', True)
    elif name in ('GreetingError', 'NegotiationError'):
        if cause is None:
            cause = QMPError(f'{error["desc"]} ({error["name"]})')
        kind = GreetingError if name == 'GreetingError' else NegotiationError
        err = kind('Failed to receive Greeting' if kind is GreetingError
                   else 'Negotiation failed', cause)
    elif name == 'ServerParseError':
        reply = {'error': {'class': error.get('name', ''), 'desc': error.get('desc', '')}}
        err = ServerParseError('Server sent an error that is not the reply to any command',
                               Message(reply))
    elif name == 'DeserializationError':
        err = DeserializationError(message, b'')
    elif name == 'UnexpectedTypeError':
        err = UnexpectedTypeError(message, None)
    else:
        err = _SIMPLE.get(name, QMPError)(message)
    err.__cause__ = cause
    return err
