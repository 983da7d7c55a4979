"""The roots of the exceptions."""


class QMPError(Exception):
    """Everything that this package raises of its own."""


class ProtocolError(QMPError):
    """The server sent something that is not QMP, or that QMP does not allow there."""

    def __init__(self, error_message: str, *args: object) -> None:
        super().__init__(error_message, *args)
        self.error_message = error_message


class RefusedError(ProtocolError, ValueError):
    """A message was not sent, since QEMU could not have read it.

    QEMU's own module sends such a message.
    """
