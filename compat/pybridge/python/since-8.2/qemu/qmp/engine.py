"""Calls of the Go library libgoqmp.so.

A call is a request and a result, both in JSON. The library executes the request in a
thread of its own and then writes to a pipe. This module waits at that pipe, so that
signals (Ctrl-C, an alarm) end a wait as they end every wait in Python.

A signal handler can raise an exception between any two steps of this module. Until a
call is forgotten its number stays in the _Pipe, whose end gives back what is left.

The library is the file that the environment variable GOQMP_LIBRARY names, or
libgoqmp.so in the folder "python", two levels above the folder "qemu".
"""

import ctypes
import json
import os
import signal
import sys
import threading
from typing import Any, Callable, Dict, Optional

from .error import QMPError

# Before Python 3.10 its signal handlers did not have a stack of their own, and must
# not run while a thread executes Go code.
_BLOCK_SIGNALS = sys.version_info < (3, 10)

_OWNER = os.getpid()


class _Masked:
    """Keeps signals away from the current thread."""

    def __enter__(self) -> None:
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

    def __exit__(self, *_: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)


def _find() -> str:
    name = os.environ.get('GOQMP_LIBRARY')
    if name:
        return name
    folder = os.path.dirname(os.path.realpath(__file__))
    return os.path.join(folder, '..', '..', '..', 'libgoqmp.so')


def _load() -> ctypes.CDLL:
    name = _find()
    # The threads that Go starts keep the signals blocked that are blocked here. So
    # Python's handlers always run in a thread of Python.
    with _Masked():
        try:
            lib = ctypes.CDLL(name)
        except OSError as err:
            raise ImportError(
                f'cannot load the Go library: {err}. "make pybridge" builds it; '
                'the environment variable GOQMP_LIBRARY can name the file'
            ) from err
        number, size, pointer = ctypes.c_uint64, ctypes.c_size_t, ctypes.POINTER(ctypes.c_size_t)
        for name, result, arguments in (
            ('number', number, ()),
            ('start', None, (number, ctypes.c_char_p, size, ctypes.c_int)),
            ('result', ctypes.c_void_p, (number, pointer)),
            ('cancel', None, (number,)),
            ('forget', None, (number,)),
            ('discard', None, (number, ctypes.c_int, ctypes.c_int)),
            ('free', None, (ctypes.c_void_p,)),
            ('count', None, (pointer,) * 3),
        ):
            function = getattr(lib, 'goqmp_' + name)
            function.restype, function.argtypes = result, arguments
    return lib


def _go(name: str, *arguments: object) -> Any:
    """Call a function of the library."""
    function = getattr(_lib, 'goqmp_' + name)
    if _BLOCK_SIGNALS:
        with _Masked():
            return function(*arguments)
    return function(*arguments)


class _Pipe:
    """The pipe at which one thread waits for its calls.

    :ivar number: the number of the call that uses it, or 0.
    """

    def __init__(self) -> None:
        self.number = 0
        self.read = self.write = -1
        self.read, self.write = os.pipe()

    def __del__(self) -> None:
        if sys.is_finalizing():
            return
        if usable():
            _go('discard', self.number, self.read, self.write)
        elif self.write >= 0:
            os.close(self.read)
            os.close(self.write)


_thread = threading.local()


def usable() -> bool:
    """Say whether this process can call the library: a fork of it cannot."""
    return os.getpid() == _OWNER


def new_number() -> int:
    """Return a number for an object."""
    _check('new')
    return _go('number')


def _check(op: str) -> None:
    if not usable():
        raise QMPError(
            f'{op}: this process is a fork of the one that loaded the Go library, and '
            'a fork cannot use Go: start a program (subprocess), or use the start '
            'method "spawn" of multiprocessing')


def _free_pipe() -> _Pipe:
    """Return the pipe of the current thread.

    An earlier call still uses it if this call comes from a signal handler or a finalizer
    in the middle of that one, or if several exceptions have ended that one. Then the
    thread gets a new pipe.
    """
    pipe = getattr(_thread, 'pipe', None)
    if pipe is None or pipe.number:
        pipe = _thread.pipe = _Pipe()
    return pipe


def call(op: str, kept: Optional[Callable[[Any], None]] = None, **request: object) -> Any:
    """Execute a request and return its value.

    :param kept: called with the value if an exception has ended this call after the
                 library had executed the request, so that the value is not lost.
    :raise: what the error of the result says, or what a signal handler raises.
    """
    _check(op)
    request['op'] = op
    text = json.dumps(request, allow_nan=False).encode()
    pipe = _free_pipe()
    number = pipe.number = _go('number')
    result: Optional[Dict[str, Any]] = None
    try:
        _go('start', number, text, len(text), pipe.write)
        # An earlier call that an exception has ended can have left its number.
        while int.from_bytes(os.read(pipe.read, 8), sys.byteorder) != number:
            pass
        result = _decode(_result(number))
        _go('forget', number)
        pipe.number = 0
        if 'value' in result:
            return result['value']
    except BaseException:
        if result is None:
            _go('cancel', number)
            result = _late_result(number)
        if kept is not None and result.get('value') is not None:
            kept(result['value'])
        _go('forget', number)
        pipe.number = 0
        raise
    from .failures import exception
    raise exception(result['error'])


def _late_result(number: int) -> Dict[str, Any]:
    """Wait for the end of a call whose wait an exception has ended, and return its result."""
    text = _result(number)
    try:
        return _decode(text) if text else {}
    except (ValueError, RecursionError):
        return {}  # the exception is about this value


def _result(number: int) -> bytes:
    """Return the result of a call, or b'' if it was not started."""
    size = ctypes.c_size_t()
    result = _go('result', number, ctypes.byref(size))
    try:
        return ctypes.string_at(result, size.value) if result else b''
    finally:
        _go('free', result)


def _decode(text: bytes) -> Dict[str, Any]:
    # The library accepts strings that are not UTF-8.
    return json.loads(text.decode(errors='replace'))


def count() -> Dict[str, int]:
    """Return how many objects, calls and goroutines the library has, for tests."""
    numbers = [ctypes.c_size_t() for _ in range(3)]
    _go('count', *(ctypes.byref(n) for n in numbers))
    return dict(zip(('objects', 'calls', 'goroutines'), (n.value for n in numbers)))


_lib = _load()
