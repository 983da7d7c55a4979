"""Calls of the Go library libgoqmp.so.

A call is a request and a result, both in JSON. The library executes the request in a
thread of its own and then writes to a pipe. This module waits at that pipe, so that
signals (Ctrl-C, an alarm) end a wait as they end every wait in Python.

The library is the file that the environment variable GOQMP_LIBRARY names, or
libgoqmp.so in the folder "python", two levels above the folder "qemu".
"""

import ctypes
import json
import os
import signal
import sys
import threading
from typing import Any, Dict, Optional

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
        lib.goqmp_start.restype = ctypes.c_uint64
        lib.goqmp_start.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)
        lib.goqmp_take.restype = ctypes.c_void_p
        lib.goqmp_take.argtypes = (ctypes.c_uint64, ctypes.POINTER(ctypes.c_size_t))
        lib.goqmp_cancel.restype = None
        lib.goqmp_cancel.argtypes = (ctypes.c_uint64,)
        lib.goqmp_free.restype = None
        lib.goqmp_free.argtypes = (ctypes.c_void_p,)
        lib.goqmp_count.restype = None
        lib.goqmp_count.argtypes = (ctypes.POINTER(ctypes.c_size_t),) * 3
    return lib


class _Pipe:
    """The pipe at which one thread waits for its calls."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()

    def __del__(self) -> None:
        if usable():
            os.close(self.read)
            os.close(self.write)


_thread = threading.local()


def usable() -> bool:
    """Say whether this process can call the library: a fork of it cannot."""
    return os.getpid() == _OWNER


def call(op: str, kept: Optional[Any] = None, **request: object) -> Any:
    """Execute a request and return its value.

    :param kept: called with the value if an exception ended the wait after the
                 request had been executed, so that the value is not lost.
    :raise: what the error of the result says, or what a signal handler raises.
    """
    if not usable():
        raise QMPError(
            f'{op}: this process is a fork of the one that loaded the Go library, and '
            'a fork cannot use Go: start a program (subprocess), or use the start '
            'method "spawn" of multiprocessing')
    request['op'] = op
    text = json.dumps(request, allow_nan=False).encode()
    pipe = getattr(_thread, 'pipe', None)
    if pipe is None:
        pipe = _thread.pipe = _Pipe()
    ticket = 0
    finished = False
    try:
        ticket = _start(text, pipe.write)
        os.read(pipe.read, 8)
        finished = True
    finally:
        if not finished:
            _thread.pipe = None  # its 8 bytes are still to be read
            if ticket:
                _lib.goqmp_cancel(ticket)
                value = _decode(_take(ticket))
                if kept is not None and value.get('value') is not None:
                    kept(value['value'])
    result = _decode(_take(ticket))
    if 'error' in result:
        from .failures import exception
        raise exception(result['error'])
    return result['value']


def _start(text: bytes, fd: int) -> int:
    if _BLOCK_SIGNALS:
        with _Masked():
            return _lib.goqmp_start(text, len(text), fd)
    return _lib.goqmp_start(text, len(text), fd)


def _take(ticket: int) -> bytes:
    if _BLOCK_SIGNALS:
        with _Masked():
            return _copy(ticket)
    return _copy(ticket)


def _copy(ticket: int) -> bytes:
    size = ctypes.c_size_t()
    result = _lib.goqmp_take(ticket, ctypes.byref(size))
    try:
        return ctypes.string_at(result, size.value)
    finally:
        _lib.goqmp_free(result)


def _decode(text: bytes) -> Dict[str, Any]:
    # The library accepts strings that are not UTF-8.
    return json.loads(text.decode(errors='replace'))


def count() -> Dict[str, int]:
    """Return how many objects, calls and goroutines the library has, for tests."""
    numbers = [ctypes.c_size_t() for _ in range(3)]
    _lib.goqmp_count(*(ctypes.byref(n) for n in numbers))
    return dict(zip(('objects', 'calls', 'goroutines'), (n.value for n in numbers)))


_lib = _load()
