"""QEMU's qmp module, on the Go library of github.com/goqmp/qmp.

It has the blocking class (qemu.qmp.legacy.QEMUMonitorProtocol) and the exceptions.
"""

from typing import Any

from .error import ProtocolError, QMPError
from .message import Message
from .protocol import ConnectError, Runstate, SocketAddrT, StateError
from .qmp_client import ExecInterruptedError, ExecuteError

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


def __getattr__(name: str) -> Any:
    if name in ('QMPClient', 'EventListener'):
        raise ImportError(
            f'{name} is asynchronous; this module, which calls a Go library, has only '
            'the blocking class qemu.qmp.legacy.QEMUMonitorProtocol')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
