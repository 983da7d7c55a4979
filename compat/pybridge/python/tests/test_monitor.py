"""Tests of the module, for both generations of names.

scripts/pybridge.sh runs them with each of the folders since-8.2 and until-8.1 on
PYTHONPATH. They need no QEMU: a server is a list of what it reads and writes.
"""

import asyncio
import errno
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import warnings

import qemu.qmp
from qemu.qmp import (
    ConnectError,
    ExecInterruptedError,
    ExecuteError,
    ProtocolError,
    QMPError,
    Runstate,
    StateError,
    engine,
)
from qemu.qmp.legacy import QEMUMonitorProtocol, QMPBadPortError
from qemu.qmp.qmp_client import BadReplyError, GreetingError, NegotiationError

OLD = hasattr(QEMUMonitorProtocol, 'command')
GREETING = b'{"QMP": {"version": {"qemu": {"major": 9}}, "capabilities": ["oob"]}}\r\n'


def whole(qmp, name, args=None):
    """Return the whole reply to a command."""
    return qmp.cmd(name, args) if OLD else qmp.cmd_raw(name, args)


def value(qmp, name, **args):
    """Return the value of a command."""
    return qmp.command(name, **args) if OLD else qmp.cmd(name, **args)


class Server:
    """A server that greets, negotiates and then answers by a function."""

    def __init__(self, answer, family=socket.AF_UNIX, greeting=GREETING):
        self.folder = tempfile.TemporaryDirectory()
        self.answer = answer
        self.greeting = greeting
        self.received = []
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if family == socket.AF_UNIX:
            self.address = os.path.join(self.folder.name, 's')
            self.socket.bind(self.address)
        else:
            self.socket.bind(('127.0.0.1', 0))
            self.address = self.socket.getsockname()
        self.socket.listen(64)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        threads = []
        while True:
            try:
                conn = self.socket.accept()[0]
            except OSError:
                break
            threads.append(threading.Thread(target=self.serve, args=(conn,)))
            threads[-1].start()
        for thread in threads:
            thread.join()

    def serve(self, conn):
        decoder = json.JSONDecoder()
        text = ''
        with conn:
            try:
                conn.sendall(self.greeting)
                while True:
                    data = conn.recv(65536)
                    if not data:
                        return
                    text += data.decode()
                    while text.strip():
                        try:
                            message, end = decoder.raw_decode(text.lstrip())
                        except ValueError:
                            break
                        text = text.lstrip()[end:]
                        self.received.append(message)
                        if message.get('execute') == 'qmp_capabilities':
                            answer = b'{"return": {}, "id": $id}'
                        else:
                            answer = self.answer(message)
                        if answer is None:
                            return
                        ident = json.dumps(message.get('id')).encode()
                        conn.sendall(answer.replace(b'$id', ident) + b'\r\n')
            except OSError:
                return

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()
        self.folder.cleanup()


def connected(server, **more):
    qmp = QEMUMonitorProtocol(server.address, **more)
    qmp.connect()
    return qmp


def reply(text):
    """Return an answer function that always sends the same."""
    return lambda message: text


class Values(unittest.TestCase):
    def test_numbers(self):
        text = b'{"return": {"z": 1.0, "a": 18446744073709551617, "e": 1e2, "n": -9223372036854775808}, "id": $id}'
        with Server(reply(text)) as server, connected(server) as qmp:
            got = value(qmp, 'x')
            self.assertEqual(repr(got), "{'z': 1.0, 'a': 18446744073709551617, 'e': 100.0, 'n': -9223372036854775808}")
            self.assertEqual(whole(qmp, 'x'), {'return': got})

    def test_arguments(self):
        with Server(reply(b'{"return": {}, "id": $id}')) as server, connected(server) as qmp:
            args = {'z': 1, 'a': [1.5, None, True], 'big': 2**64 - 1, 'text': 'ä\0"'}
            value(qmp, 'x', **args)
            sent = server.received[-1]
            self.assertEqual(list(sent), ['execute', 'arguments', 'id'])
            self.assertEqual(json.dumps(sent['arguments']), json.dumps(args))
            whole(qmp, 'y', {})
            self.assertNotIn('arguments', server.received[-1])
            value(qmp, 'y')
            self.assertEqual(server.received[-1]['arguments'], {})

    def test_ids(self):
        with Server(reply(b'{"return": {}, "id": $id}')) as server, connected(server) as qmp:
            self.assertEqual(qmp.cmd_obj({'execute': 'x', 'id': 'mine'}), {'return': {}, 'id': 'mine'})
            self.assertEqual(qmp.cmd_obj({'execute': 'x'}), {'return': {}})
            with self.assertRaises(TypeError):
                qmp.cmd_obj({'execute': 'x', 'id': 1})
            with self.assertRaises(ValueError):
                qmp.cmd_obj({'execute': 'x', 'id': '__qmp#1'})
            if OLD:
                self.assertEqual(qmp.cmd('x', None, 'two'), {'return': {}, 'id': 'two'})

    def test_surrogates(self):
        text = b'{"return": "a\\ud800b", "id": $id}'
        with Server(reply(text)) as server, connected(server) as qmp:
            self.assertEqual(value(qmp, 'x'), 'a\ud800b')
            with self.assertRaises(ProtocolError):
                value(qmp, 'x', text='\ud800')
            with self.assertRaises(ValueError):
                value(qmp, 'x', n=float('nan'))
            self.assertEqual(value(qmp, 'x'), 'a\ud800b')

    def test_not_utf8(self):
        with Server(reply(b'{"return": "a\xffb", "id": $id}')) as server, connected(server) as qmp:
            self.assertEqual(value(qmp, 'x'), 'a\ufffdb')

    def test_large(self):
        answer = json.dumps({'return': 'x' * 5_000_000})[:-1].encode() + b', "id": $id}'
        with Server(reply(answer)) as server, connected(server) as qmp:
            self.assertEqual(len(value(qmp, 'x', text='y' * 1_000_000)), 5_000_000)
            self.assertEqual(len(server.received[-1]['arguments']['text']), 1_000_000)


class Exceptions(unittest.TestCase):
    def test_execute_error(self):
        text = b'{"error": {"class": "GenericError", "desc": "no"}, "id": $id}'
        with Server(reply(text)) as server, connected(server) as qmp:
            with self.assertRaises(ExecuteError) as caught:
                value(qmp, 'x', a=1)
            err = caught.exception
            self.assertEqual((str(err), err.error_class, err.error.desc), ('no', 'GenericError', 'no'))
            self.assertEqual(err.sent['arguments'], {'a': 1})
            self.assertEqual(err.received['error']['desc'], 'no')
            self.assertEqual(whole(qmp, 'x')['error']['desc'], 'no')

    def test_bad_reply(self):
        with Server(reply(b'{"error": {"class": "X"}, "id": $id}')) as server, connected(server) as qmp:
            with self.assertRaises(BadReplyError) as caught:
                value(qmp, 'x')
            self.assertEqual(caught.exception.msg['error'], {'class': 'X'})

    def test_state(self):
        qmp = QEMUMonitorProtocol('/nonexistent')
        with self.assertRaises(StateError) as caught:
            value(qmp, 'x')
        self.assertEqual((caught.exception.state, caught.exception.required), (Runstate.IDLE, Runstate.RUNNING))
        qmp.close()

    def test_connect(self):
        with self.assertRaises(ConnectError) as caught:
            QEMUMonitorProtocol('/nonexistent/s').connect()
        self.assertIsInstance(caught.exception.exc, FileNotFoundError)
        self.assertEqual(caught.exception.exc.errno, errno.ENOENT)
        self.assertEqual(str(caught.exception),
                         'Failed to establish connection: [Errno 2] No such file or directory')

    def test_not_a_server(self):
        with Server(reply(b''), greeting=b'{"hello": 1}\r\n') as server:
            with self.assertRaises(ConnectError) as caught:
                connected(server)
            self.assertIsInstance(caught.exception.exc, GreetingError)
            self.assertTrue(str(caught.exception).startswith('Failed to establish session: '))

    def test_refused_negotiation(self):
        bad = GREETING + b'{"error": {"class": "GenericError", "desc": "no"}}\r\n'
        with Server(reply(b''), greeting=bad) as server:
            with self.assertRaises(ConnectError) as caught:
                connected(server)
            self.assertIsInstance(caught.exception.exc, NegotiationError)
            self.assertIn('no', str(caught.exception))

    def test_end(self):
        with Server(reply(None)) as server:
            qmp = connected(server)
            with self.assertRaises(ExecInterruptedError) as caught:
                value(qmp, 'x')
            self.assertTrue(caught.exception.sent)
            self.assertEqual(str(caught.exception), 'Disconnected')
            with self.assertRaises(EOFError):
                qmp.close()
            qmp.close()
            qmp.connect()
            qmp.close()

    def test_parse_address(self):
        parse = QEMUMonitorProtocol.parse_address
        self.assertEqual(parse('localhost:4444'), ('localhost', 4444))
        self.assertEqual(parse('/run/s'), '/run/s')
        with self.assertRaises(QMPBadPortError) as caught:
            parse('a:b')
        self.assertEqual(str(caught.exception), "Bad port: 'b' in 'a:b'.")

    def test_asynchronous_class(self):
        with self.assertRaisesRegex(ImportError, 'asynchronous'):
            from qemu.qmp import QMPClient  # noqa: F401
        self.assertFalse(hasattr(qemu.qmp, 'nonsense'))


class Addresses(unittest.TestCase):
    def test_tcp(self):
        with Server(reply(b'{"return": 1, "id": $id}'), socket.AF_INET) as server:
            with connected(server, nickname='vm1') as qmp:
                self.assertEqual(value(qmp, 'x'), 1)

    def test_path_that_is_not_utf8(self):
        with Server(reply(b'{"return": 1, "id": $id}')) as server:
            odd = os.path.join(os.fsencode(server.folder.name), b'\xff')
            os.rename(server.address, odd)
            for address in (odd, os.fsdecode(odd)):
                qmp = QEMUMonitorProtocol(address)
                self.assertEqual(qmp.connect()['QMP']['capabilities'], ['oob'])
                qmp.close()

    def test_socket(self):
        ours, theirs = socket.socketpair()
        qmp = QEMUMonitorProtocol(ours)
        theirs.sendall(b'{"event": "A"}\r\n')
        self.assertIsNone(qmp.connect(negotiate=False))
        self.assertEqual(qmp.pull_event(wait=True), {'event': 'A'})
        self.assertEqual(ours.fileno(), -1)
        qmp.close()
        self.assertEqual(theirs.recv(1), b'')  # nothing keeps the connection open
        theirs.close()
        with self.assertRaises(ConnectError):
            qmp.connect()
        with self.assertRaises(ValueError):
            QEMUMonitorProtocol(ours, server=True)

    def test_accept(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 's')
            qmp = QEMUMonitorProtocol(path, server=True)
            with self.assertRaises(asyncio.TimeoutError):
                qmp.accept(timeout=0.01)
            qmp.close()

            qmp = QEMUMonitorProtocol(path, server=True)
            client = socket.socket(socket.AF_UNIX)
            client.connect(path)
            client.sendall(GREETING)
            thread = threading.Thread(target=lambda: (client.recv(1000), client.sendall(b'{"return": {}}\r\n')))
            thread.start()
            self.assertIn('QMP', qmp.accept(timeout=None))
            thread.join()
            qmp.close()
            client.close()

    def test_descriptor(self):
        ours, theirs = socket.socketpair()
        qmp = QEMUMonitorProtocol(ours)
        qmp.connect(negotiate=False)
        with tempfile.TemporaryFile() as file:
            qmp.send_fd_scm(file.fileno())
            data, control, _, _ = theirs.recvmsg(10, 100)
            self.assertEqual((data, len(control)), (b' ', 1))
            os.close(int.from_bytes(control[0][2], sys.byteorder))
            os.fstat(file.fileno())
        with self.assertRaises(OSError):
            qmp.send_fd_scm(9999)
        qmp.close()
        theirs.close()


class Events(unittest.TestCase):
    EVENTS = b'{"event": "A", "data": {"n": 1}}\r\n{"event": "B"}\r\n{"return": {}, "id": $id}'

    def test_queue(self):
        with Server(reply(self.EVENTS)) as server, connected(server) as qmp:
            self.assertIsNone(qmp.pull_event())
            self.assertEqual(qmp.get_events(), [])
            value(qmp, 'x')
            self.assertEqual(qmp.pull_event(), {'event': 'A', 'data': {'n': 1}})
            self.assertEqual(qmp.get_events(wait=True), [{'event': 'B'}])
            value(qmp, 'x')
            qmp.clear_events()
            self.assertEqual(qmp.get_events(), [])
            with self.assertRaises(asyncio.TimeoutError):
                qmp.pull_event(wait=0.01)
            with self.assertRaises(asyncio.TimeoutError):
                qmp.get_events(wait=0.01)

    def test_integer_wait_is_seconds(self):
        with Server(reply(self.EVENTS)) as server, connected(server) as qmp:
            with self.assertRaises(asyncio.TimeoutError):
                qmp.pull_event(wait=1)

    def test_command_timeout(self):
        with Server(lambda message: b'' if message['execute'] == 'slow' else b'{"return": 2, "id": $id}') as server:
            with connected(server) as qmp:
                qmp.settimeout(0.05)
                with self.assertRaises(asyncio.TimeoutError):
                    value(qmp, 'slow')
                qmp.settimeout(None)
                self.assertEqual(value(qmp, 'quick'), 2)


class Signals(unittest.TestCase):
    class Alarm(Exception):
        pass

    def alarm(self, *_):
        raise self.Alarm

    def setUp(self):
        before = signal.signal(signal.SIGALRM, self.alarm)
        self.addCleanup(signal.signal, signal.SIGALRM, before)

    def test_each_wait_can_be_interrupted(self):
        with Server(reply(b'')) as server, connected(server) as qmp:
            for wait in (lambda: qmp.pull_event(wait=True), lambda: value(qmp, 'slow')):
                signal.setitimer(signal.ITIMER_REAL, 0.1)
                with self.assertRaises(self.Alarm):
                    wait()
            self.assertIsNone(qmp.pull_event())

    def test_connect_and_accept_can_be_interrupted(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 's')
            silent = socket.socket(socket.AF_UNIX)
            silent.bind(path)
            silent.listen()
            qmp = QEMUMonitorProtocol(path)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with self.assertRaises(self.Alarm):
                qmp.connect()
            silent.close()
            os.unlink(path)
            qmp = QEMUMonitorProtocol(path, server=True)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with self.assertRaises(self.Alarm):
                qmp.accept(timeout=None)
            self.assertFalse(os.path.exists(path))
            qmp.close()

    def test_handler_that_returns_changes_nothing(self):
        seen = []
        signal.signal(signal.SIGALRM, lambda *_: seen.append(1))

        def answer(message):
            while len(seen) < 20:
                time.sleep(0.001)
            return b'{"return": 3, "id": $id}'

        with Server(answer) as server, connected(server) as qmp:
            signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
            try:
                self.assertEqual(value(qmp, 'x'), 3)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)

    def test_storm(self):
        """Signals all the time, while Go code runs and while it does not."""
        signal.signal(signal.SIGALRM, lambda *_: None)
        with Server(reply(b'{"return": 3, "id": $id}')) as server, connected(server) as qmp:
            signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
            try:
                for _ in range(300):
                    self.assertEqual(value(qmp, 'x'), 3)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)


class Processes(unittest.TestCase):
    def test_fork(self):
        with Server(reply(b'{"return": 1, "id": $id}')) as server:
            qmp = connected(server)
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                words = 'no exception'
                try:
                    value(qmp, 'x')
                except QMPError as err:
                    words = str(err)
                del qmp
                gc.collect()
                os.write(write, words.encode())
                os._exit(0)
            os.close(write)
            with os.fdopen(read) as file:
                self.assertIn('fork', file.read())
            self.assertEqual(os.waitpid(child, 0)[1], 0)
            self.assertEqual(value(qmp, 'x'), 1)
            subprocess.run(['true'], check=True)
            self.assertEqual(value(qmp, 'x'), 1)
            qmp.close()

    def test_exit(self):
        """A program that closes nothing ends, also while a thread waits."""
        program = '''
import sys, threading
from qemu.qmp.legacy import QEMUMonitorProtocol
qmp = QEMUMonitorProtocol(sys.argv[1])
qmp.connect()
threading.Thread(target=lambda: qmp.pull_event(wait=True), daemon=True).start()
print("connected")
'''
        with Server(reply(b'')) as server:
            done = subprocess.run([sys.executable, '-c', program, server.address], check=True,
                                  stdout=subprocess.PIPE, timeout=300)
            self.assertEqual(done.stdout, b'connected\n')

    def test_missing_library(self):
        env = dict(os.environ, GOQMP_LIBRARY='/nonexistent.so')
        done = subprocess.run([sys.executable, '-c', 'import qemu.qmp.legacy'], env=env, check=False,
                              stderr=subprocess.PIPE)
        self.assertIn(b'make pybridge', done.stderr)


class Resources(unittest.TestCase):
    def setUp(self):
        gc.collect()
        self.before = engine.count()

    def tearDown(self):
        gc.collect()
        self.assertEqual({k: engine.count()[k] for k in ('objects', 'calls')},
                         {k: self.before[k] for k in ('objects', 'calls')})

    def test_forgotten_object(self):
        with Server(reply(b'{"return": 1, "id": $id}')) as server:
            qmp = connected(server)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter('always')
                del qmp
                gc.collect()
            self.assertEqual([w.category for w in caught], [ResourceWarning])

    def test_threads(self):
        """Several threads, each with its own object, and all with one more."""
        with Server(lambda m: json.dumps({'return': m['arguments']['n']})[:-1].encode() + b', "id": $id}') as server:
            shared = connected(server)
            wrong = []

            def work(n):
                with connected(server) as own:
                    for i in range(50):
                        if (value(own, 'x', n=i), value(shared, 'x', n=[n, i])) != (i, [n, i]):
                            wrong.append((n, i))

            threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(wrong, [])
            shared.close()
            del shared

    def test_close_ends_the_wait_of_another_thread(self):
        with Server(reply(b'')) as server:
            qmp = connected(server)
            caught = []

            def wait():
                try:
                    qmp.pull_event(wait=True)
                except QMPError as err:
                    caught.append(err)

            thread = threading.Thread(target=wait)
            thread.start()
            qmp.close()
            thread.join()
            self.assertEqual(len(caught), 1)
            self.assertIsInstance(caught[0], (ExecInterruptedError, StateError))

    def test_a_thousand_connections(self):
        def use(n):
            for _ in range(n):
                qmp = connected(server)
                value(qmp, 'x')
                qmp.close()

        with Server(reply(b'{"return": 1, "id": $id}')) as server:
            use(100)
            gc.collect()
            before = usage()
            use(int(os.environ.get('CONNECTIONS', '1000')))
            gc.collect()
            after = usage()
        # The server's own threads end a moment later than the connection.
        self.assertLessEqual(after['descriptors'], before['descriptors'] + 8, (before, after))
        self.assertLessEqual(after['goroutines'], before['goroutines'] + 1, (before, after))
        self.assertLess(after['memory'] - before['memory'], 32 << 20, (before, after))
        print('before and after 1,000 connections:', before, after, file=sys.stderr)


def usage():
    """Return what this process has in use. The memory is in bytes."""
    with open('/proc/self/statm', encoding='ascii') as file:
        pages = int(file.read().split()[1])
    return {
        'descriptors': len(os.listdir('/proc/self/fd')),
        'memory': pages * os.sysconf('SC_PAGE_SIZE'),
        'goroutines': engine.count()['goroutines'],
    }


if __name__ == '__main__':
    unittest.main()
