r"""Makes the calls that it is told to, for the Go test that replays recordings.

The first argument is a descriptor of a unix socket. Each line that comes from it is a
request in JSON, and each answer is a line with the request's number n:

    {"n": 1, "object": 7, "call": "new", "args": "{\"address\": \"/run/s\"}"}
    {"n": 1, "returns": null}
    {"n": 2, "object": 7, "call": "connect", "args": "{}"}
    {"n": 2, "raises": {"class": "ConnectError", ...}}

Requests run at the same time, each in a thread of its own. With a request that has
"socket" comes a descriptor: the open socket that is the address of a new object.
"""

import gc
import json
import math
import os
import socket
import sys
import threading

from qemu.qmp import Runstate, engine
from qemu.qmp.legacy import QEMUMonitorProtocol
from qemu.qmp.qmp_client import ServerParseError

OLD = hasattr(QEMUMonitorProtocol, 'command')

objects = {}


def make(number, args, sock):
    address = args.pop('address', None)
    if isinstance(address, list):
        address = tuple(address)
    objects[number] = QEMUMonitorProtocol(sock or address, **args)


def perform(number, name, args, sock):
    """Make one call and return its value."""
    if name == 'new':
        return make(number, args, sock)
    if name == 'parse_address':
        return QEMUMonitorProtocol.parse_address(**args)
    if name == 'del':
        del objects[number]
        gc.collect()
        return None
    qmp = objects[number]
    if name == 'state':
        # pylint: disable=protected-access
        running = qmp._made and qmp._runstate() is Runstate.RUNNING
        queued = engine.call('queued', object=qmp._number) if qmp._made else 0
        return {'running': running, 'queued': queued + len(qmp._kept)}
    if name == 'enter':
        return 'self' if qmp.__enter__() is qmp else 'another object'
    if name == 'exit':
        # What a with statement does: an exception of its body comes first.
        error = ValueError(args['error']) if 'error' in args else None
        return qmp.__exit__(type(error), error, None)
    if name == 'send_fd_scm':
        return send_fd(qmp, args.get('fd'))
    if name in ('command', 'cmd') and 'kwds' in args:
        kwds = args.pop('kwds')
        return getattr(qmp, name)(args.pop('name'), **args, **kwds)
    if name == 'cmd_obj':
        return qmp.cmd_obj(args['obj'])
    if 'name' in args:
        return getattr(qmp, name)(args.pop('name'), **args)
    return getattr(qmp, name)(**args)


def send_fd(qmp, which):
    if which == 'bad':
        return qmp.send_fd_scm(1 << 20)
    read, write = os.pipe()
    try:
        value = qmp.send_fd_scm(write)
        os.fstat(write)  # it is still open
        return value
    finally:
        os.close(read)
        os.close(write)


def special(dictionary):
    """Return the number that JSON cannot write, if the object stands for one."""
    if list(dictionary) == ['$float']:
        return float(dictionary['$float'])
    return dictionary


def plain(value):
    """Return a value that JSON can write, in the form of the recordings."""
    if isinstance(value, float) and not math.isfinite(value):
        return {'$float': str(value)}
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def described(err):
    """Return an exception in the form of the recordings."""
    raises = {'class': type(err).__name__, 'message': str(err)}
    for name in ('error_message', 'error_class'):
        if isinstance(getattr(err, name, None), str):
            raises[name] = getattr(err, name)
    if hasattr(err, 'error'):
        raises['desc'] = err.error.desc
    if isinstance(err, ServerParseError):
        raises['desc'] = err.msg['error']['desc']
    for name in ('state', 'required'):
        if hasattr(err, name):
            raises[name] = getattr(err, name).name
    cause = getattr(err, 'exc', None) or err.__cause__
    if cause is not None:
        raises['cause'] = described(cause)
    return raises


def answer(out, lock, request, sock):
    reply = {'n': request['n']}
    try:
        args = json.loads(request['args'], object_hook=special)
        value = perform(request['object'], request['call'], args, sock)
        reply['returns'] = plain(value)
    except Exception as err:  # pylint: disable=broad-except
        reply['raises'] = described(err)
    text = json.dumps(reply).encode() + b'\n'
    with lock:
        out.sendall(text)


def main():
    # The recordings have values with thousands of levels. By default Python reads and
    # writes about a thousand.
    sys.setrecursionlimit(30000)
    threading.stack_size(64 << 20)
    control = socket.socket(fileno=int(sys.argv[1]))
    lock = threading.Lock()
    descriptors, rest = [], b''
    while True:
        data, ancillary, _, _ = control.recvmsg(1 << 20, socket.CMSG_SPACE(4 * 16))
        if not data:
            break
        for level, kind, text in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                for i in range(0, len(text) - len(text) % 4, 4):
                    descriptors.append(int.from_bytes(text[i:i + 4], sys.byteorder))
        *lines, rest = (rest + data).split(b'\n') if b'\n' in data else (rest + data,)
        for line in lines:
            request = json.loads(line)
            sock = socket.socket(fileno=descriptors.pop(0)) if request.get('socket') else None
            threading.Thread(target=answer, args=(control, lock, request, sock), daemon=True).start()
    objects.clear()
    gc.collect()
    print(json.dumps(engine.count()))


main()
