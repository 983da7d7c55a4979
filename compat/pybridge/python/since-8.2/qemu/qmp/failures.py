"""The exception for an error of the library."""

import asyncio
import json
import os
import socket
from typing import Any, Dict, Optional

from .error import ProtocolError, QMPError, RefusedError
from .message import DeserializationError, Message, UnexpectedTypeError
from .protocol import ConnectError, Runstate, StateError
from .qmp_client import (
    ExecInterruptedError,
    ExecuteError,
    GreetingError,
    NegotiationError,
    ServerParseError,
)


class QMPBadPortError(QMPError):
    """The text after the only colon of an address is not a number."""


_SIMPLE = {
    'QMPBadPortError': QMPBadPortError,
    'RefusedError': RefusedError,
    'ProtocolError': ProtocolError,
    'ValueError': ValueError,
}


# What to do about a StateError, by the object's state and the one that the call needs.
_ADVICE = {
    ('IDLE', 'RUNNING'): 'it is not connected: call connect() first',
    ('IDLE', 'CONNECTING'): 'it does not listen: make an object with server=True for each accept()',
    ('CONNECTING', 'IDLE'): 'it is connecting, or listens: wait for connect() or call accept()',
    ('CONNECTING', 'RUNNING'): 'it is not connected yet: wait for connect() or call accept()',
    ('CONNECTING', 'CONNECTING'): 'it does not listen, or another call of accept() has not returned yet',
    ('RUNNING', 'IDLE'): 'it is connected: call close() first',
    ('RUNNING', 'CONNECTING'): 'it is connected already',
    ('DISCONNECTING', 'IDLE'): 'its connection has ended: call close(), which raises the cause',
    ('DISCONNECTING', 'RUNNING'): 'its connection has ended: call close(), which raises the cause',
    ('DISCONNECTING', 'CONNECTING'): 'its connection has ended: call close(), which raises the cause',
}


def _state_error(error: Dict[str, Any]) -> StateError:
    state, required = error['state'], error['required']
    advice = _ADVICE.get((state, required), error['message'])
    return StateError(f'The state of the object is {state}, and has to be {required}; {advice}',
                      Runstate[state], Runstate[required])


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
        if 'errno' not in error:
            return OSError(message)
        return OSError(error['errno'], os.strerror(error['errno']))
    if name == 'gaierror':
        number = socket.EAI_AGAIN if error.get('temporary') else socket.EAI_NONAME
        return socket.gaierror(number, message)
    if name == 'EOFError':
        return EOFError()
    if name == 'StateError':
        err = _state_error(error)
    elif name == 'ConnectError':
        assert cause is not None
        err = ConnectError(f'Failed to establish {error["stage"]}', cause)
    elif name == 'ExecInterruptedError':
        err = ExecInterruptedError('Disconnected')
        err.sent = error.get('sent', True)
    elif name in ('GreetingError', 'NegotiationError'):
        if cause is None:
            refused = {'class': error['name'], 'desc': error['desc']}
            cause = ExecuteError(refused, Message({'execute': 'qmp_capabilities'}),
                                 Message({'error': refused}))
        err = (GreetingError('Did not understand Greeting', cause) if name == 'GreetingError'
               else NegotiationError('Negotiation failed', cause))
    elif name == 'ServerParseError':
        reply = {'error': {'class': error.get('name', ''), 'desc': error.get('desc', '')}}
        err = ServerParseError('Server sent an error that is not the reply to any command',
                               Message(reply))
    elif name == 'DeserializationError':
        err = DeserializationError('Failed to deserialize QMP message.', _excerpt(error))
        err.details = message
    elif name == 'UnexpectedTypeError':
        err = UnexpectedTypeError('QMP message is not a JSON object.', _value(_excerpt(error)))
        err.details = message
    else:
        err = _SIMPLE.get(name, QMPError)(message)
    err.__cause__ = cause
    return err


def _excerpt(error: Dict[str, Any]) -> bytes:
    """Return how the message begins that the error is about."""
    return error.get('excerpt', '').encode('latin-1')


def _value(text: bytes) -> Any:
    """Return the value of a message, or None if the text is not all of it."""
    try:
        return json.loads(text)
    except ValueError:
        return None
