"""The blocking class of QEMU's qmp module, by its names until QEMU 8.1."""

from typing import Optional

from .failures import QMPBadPortError
from .monitor import Monitor, QMPMessage, QMPObject, QMPReturnValue

__all__ = ('QEMUMonitorProtocol', 'QMPBadPortError', 'QMPMessage', 'QMPObject',
           'QMPReturnValue')


class QEMUMonitorProtocol(Monitor):
    __doc__ = Monitor.__doc__

    def cmd(self, name: str, args: Optional[QMPObject] = None,
            cmd_id: Optional[str] = None) -> QMPMessage:
        """Execute a command and return the whole reply, also if it is an error."""
        return self._whole(name, args, cmd_id)

    def command(self, cmd: str, **kwds: object) -> QMPReturnValue:
        """Execute a command and return its value.

        :raise ExecuteError: the server answered with an error.
        """
        return self._value(cmd, kwds)
