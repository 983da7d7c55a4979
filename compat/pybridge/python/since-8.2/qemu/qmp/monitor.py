"""What the classes of both generations have in common."""

import asyncio
import collections
import math
import os
import socket
import sys
import threading
import warnings
from typing import Any, Deque, Dict, List, Optional, Tuple, TypeVar, Union

from . import engine
from .error import QMPError, RefusedError
from .message import Message
from .protocol import Runstate, SocketAddrT, StateError
from .qmp_client import BadReplyError, ExecuteError

QMPMessage = Dict[str, Any]
QMPReturnValue = object
QMPObject = Dict[str, object]

Address = Union[SocketAddrT, socket.socket]


class Monitor:
    """One QMP server, driven by calls that wait.

    Any thread may call any method at any time.

    :param address:  the path of a unix socket, a tuple of host and port, or an open
                     socket. The object owns an open socket from connect() on.
    :param server:   listen at the address, for accept().
    :param nickname: the name of the object in messages of the library.
    """

    _T = TypeVar('_T', bound='Monitor')

    def __init__(self, address: Address, server: bool = False,
                 nickname: Optional[str] = None) -> None:
        self._made = False  # whether the library has the object; _making guards the change to True
        self._timeout: Optional[float] = None
        self._kept: Deque[QMPMessage] = collections.deque()  # events that interrupted calls took
        self._socket: Optional[socket.socket] = None  # the address; _making guards its use
        # Held while the object is made for an open socket. A signal handler may call while
        # its thread holds it.
        self._making = threading.RLock()
        self._nickname = nickname
        if isinstance(address, socket.socket):
            if server:
                raise ValueError('server argument should be False when passing a socket')
            if address.type != socket.SOCK_STREAM:
                raise ValueError(f'a stream socket was expected, got {address!r}')
            self._socket = address
            self._number = engine.new_number()  # the library's number of the object
        else:
            where = _where(address)
            self._number = engine.new_number()
            self._make(**where, server=bool(server))

    def _make(self, **request: object) -> None:
        engine.call('new', object=self._number, nickname=str(self._nickname or ''), **request)
        self._made = True

    def _call(self, op: str, **request: Any) -> Any:
        if not self._made:
            self._make_for_socket()
        return engine.call(op, object=self._number, **request)

    def _make_for_socket(self) -> None:
        with self._making:
            if self._made:
                return
            if self._socket is None:  # this finalizer, or that of another object, was first
                raise StateError('The object has been finalized', Runstate.IDLE, Runstate.RUNNING)
            # An exception can have ended an earlier request after the library had made the
            # object, or a signal handler calls in the middle of that request. Then this
            # request finds the object.
            self._make(fd=self._socket.fileno())

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(f'cannot copy or pickle {type(self).__name__}: it is a connection')

    def __enter__(self: _T) -> _T:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        number = getattr(self, '_number', 0)
        if not number or sys.is_finalizing() or not engine.usable():
            return
        try:
            if self._made and self._runstate() != Runstate.IDLE:
                warnings.warn(f'{type(self).__name__} was never closed', ResourceWarning,
                              source=self)
        finally:  # a warning can be an exception
            self._made, self._number, self._socket = False, 0, None
            self._release(number)

    @staticmethod
    def _release(number: int) -> None:
        try:
            engine.call('release', object=number)
        except (QMPError, EOFError, OSError, asyncio.TimeoutError):
            pass  # the object was not made, or why the connection ended: nobody has asked

    def _runstate(self) -> Runstate:
        return Runstate[self._call('runstate')]

    @classmethod
    def parse_address(cls, address: str) -> SocketAddrT:
        """Return the path, or the host and port, that a text means.

        A text with exactly one colon is a host and a port.

        :raise QMPBadPortError: the text after the only colon is not a port number.
        """
        found = engine.call('parse_address', text=address)
        if isinstance(found, list):
            return (found[0], found[1])
        return address

    def connect(self, negotiate: bool = True) -> Optional[QMPMessage]:
        """Connect to the server and return its greeting.

        :param negotiate: if it is false, send and wait for nothing, and return None.
        :raise ConnectError: the connection could not be made.
        """
        try:
            return self._call('connect', negotiate=bool(negotiate))
        finally:
            with self._making:  # not while another thread gives the descriptor to the library
                if self._socket is not None:
                    self._socket.close()  # the library has a descriptor of its own

    def accept(self, timeout: Optional[float] = 15.0) -> QMPMessage:
        """Wait for a client of the address, and return its greeting.

        :param timeout: in seconds; None means no limit.
        """
        return self._call('accept', timeout=_seconds(timeout))

    def close(self) -> None:
        """End the connection.

        :raise: why the connection ended, if it had ended and a call has seen that.
        """
        if not self._made:
            with self._making:  # another thread can be making the object
                if not self._made:
                    return
        self._call('close')

    def cmd_obj(self, qmp_cmd: QMPMessage) -> QMPMessage:
        """Send a whole command and return the whole reply, also if it is an error."""
        command_id = qmp_cmd.get('id')
        if 'id' in qmp_cmd:
            if not isinstance(command_id, str):
                raise TypeError(f"ID ('{command_id}') must be a string.")
            if command_id.startswith('__qmp#'):
                raise ValueError(f"ID ('{command_id}') must not start with '__qmp#'.")
        return self._execute(qmp_cmd, True)

    def _execute(self, message: QMPMessage, takes_error_without_id: bool) -> QMPMessage:
        reply = self._call('execute', message=message, timeout=_seconds(self._timeout),
                           takesErrorWithoutID=takes_error_without_id)
        if 'id' not in message:
            reply.pop('id', None)  # the library's own
        return reply

    def _whole(self, name: str, args: Optional[QMPObject], command_id: Any) -> QMPMessage:
        message: QMPMessage = {'execute': name}
        if args:
            message['arguments'] = args
        if command_id:
            message['id'] = command_id
        return self.cmd_obj(message)

    def _value(self, name: str, args: QMPObject) -> QMPReturnValue:
        message: QMPMessage = {'execute': name, 'arguments': args}
        reply = self._execute(message, False)
        if 'error' not in reply and 'return' in reply:
            return reply['return']
        error = reply.get('error')
        if (isinstance(error, dict) and isinstance(error.get('class'), str)
                and isinstance(error.get('desc'), str)):
            raise ExecuteError(error, Message(message), Message(reply))
        problem = 'QMP error reply is malformed' if 'error' in reply else 'QMP reply is malformed'
        raise BadReplyError(problem, Message(reply), Message(message))

    def pull_event(self, wait: Union[bool, float] = False) -> Optional[QMPMessage]:
        """Remove the oldest event from the queue and return it.

        :param wait: False or 0: return None if there is no event. True: wait for one.
                     A number: wait that many seconds for one.
        :raise asyncio.TimeoutError: no event came in time.
        """
        if wait and wait < 0:
            raise asyncio.TimeoutError
        try:
            return _event(self._kept.popleft())
        except IndexError:
            pass
        if not wait:
            return _event(self._call('try_event', kept=self._kept.append))
        return _event(self._call('event', timeout=None if wait is True else _seconds(wait),
                                 kept=self._kept.append))

    def get_events(self, wait: Union[bool, float] = False) -> List[QMPMessage]:
        """Remove all events from the queue and return them.

        If there are none, wait for one, as in pull_event().
        """
        if wait and wait < 0:
            raise asyncio.TimeoutError
        self._keep_queued()
        events = self._take_kept()
        if events or not wait:
            return events
        try:
            events.append(self.pull_event(wait))
            self._keep_queued()
        except BaseException:
            self._kept.extendleft(events)
            raise
        return events + self._take_kept()

    def _keep_queued(self) -> None:
        """Move the events of the library's queue to those that are kept."""
        self._kept.extend(self._call('events', kept=self._kept.extend))

    def _take_kept(self) -> List[Any]:
        events: List[Any] = []
        while True:
            try:
                events.append(_event(self._kept.popleft()))
            except IndexError:
                return events

    def clear_events(self) -> None:
        """Remove all events from the queue."""
        self._kept.clear()
        self._call('clear')

    def settimeout(self, timeout: Optional[float]) -> None:
        """Limit each command to a number of seconds; None means no limit."""
        self._timeout = timeout

    def send_fd_scm(self, fd: int) -> None:
        """Send a descriptor, for the next command.

        :raise QMPError: the connection is not a unix socket.
        """
        try:
            self._call('send_fd', sendFD=fd)
        except RefusedError as err:
            raise QMPError(str(err)) from None


def _where(address: Any) -> Dict[str, object]:
    """Return the members of a request that say where the server is."""
    if isinstance(address, (str, bytes, os.PathLike)):
        # JSON has no bytes: each character of the text stands for one.
        return {'path': os.fsencode(address).decode('latin-1')}
    if not isinstance(address, (tuple, list)):
        raise TypeError('the address has to be a path, a tuple of host and port, or a socket, '
                        f'not {type(address).__name__}')
    host, port = address[:2]
    try:
        port = int(port)
    except ValueError:
        port = socket.getservbyname(port, 'tcp')
    return {'host': str(host), 'port': port}


def _seconds(timeout: Optional[float]) -> Optional[float]:
    if timeout is None or math.isinf(timeout):
        return None
    return float(timeout)


def _event(message: Any) -> Any:
    """Return an event without an id that the library gave to a command."""
    if message is not None and ('return' in message or 'error' in message):
        if isinstance(message.get('id'), int):
            del message['id']
    return message
