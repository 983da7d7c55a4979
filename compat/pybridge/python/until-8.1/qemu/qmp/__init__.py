"""QEMU's qmp module by its names until QEMU 8.1: see the folder since-8.2."""

import os

__path__.append(os.path.join(os.path.dirname(os.path.realpath(__file__)),
                             '..', '..', '..', 'since-8.2', 'qemu', 'qmp'))

# pylint: disable=wrong-import-position
from .error import ProtocolError, QMPError
from .message import Message
from .protocol import ConnectError, Runstate, SocketAddrT, StateError
from .qmp_client import ExecInterruptedError, ExecuteError, __getattr__

__all__ = (
    'ConnectError',
    'ExecInterruptedError',
    'ExecuteError',
    'Message',
    'ProtocolError',
    'QMPError',
    'Runstate',
    'SocketAddrT',
    'StateError',
)
