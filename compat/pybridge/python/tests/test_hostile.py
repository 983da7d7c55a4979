"""What hostile surroundings do to the module: exceptions at any moment, finalizers in any
order, forks, ends of the process, copies, strange addresses.

scripts/pybridge.sh runs them as those of test_monitor.py.
"""

import ast
import asyncio
import copy
import dis
import gc
import itertools
import json
import logging
import os
import pathlib
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
import warnings

from qemu.qmp import ConnectError, ExecuteError, Runstate, StateError, engine
from qemu.qmp.error import RefusedError
from qemu.qmp.failures import exception
from qemu.qmp.legacy import QEMUMonitorProtocol
from qemu.qmp.message import DeserializationError, Message, UnexpectedTypeError
from qemu.qmp.qmp_client import BadReplyError, ExecInterruptedError, GreetingError

from .test_monitor import GREETING, Server, connected, reply, value


def echo(message):
    """Answer with the argument n."""
    return json.dumps({'return': message['arguments']['n']})[:-1].encode() + b', "id": $id}'


def events(message):
    """Send two events with the argument n, and then the reply."""
    event = json.dumps({'event': 'A', 'n': message['arguments']['n']}).encode() + b'\r\n'
    return event * 2 + b'{"return": {}, "id": $id}'


def descriptors():
    return len(os.listdir('/proc/self/fd'))


class Stop(Exception):
    """What a signal handler raises."""


def in_finalizer(frame):
    """Say whether a finalizer calls. What a handler raises there is only printed."""
    while frame:
        if frame.f_code.co_name == '__del__':
            return True
        frame = frame.f_back
    return False


def returns(frame):
    """Say whether the next instruction is the one with which engine.call gives its value away."""
    return frame.f_code is engine.call.__code__ and dis.opname[frame.f_code.co_code[frame.f_lasti]] == 'RETURN_VALUE'


def stopped_at(step, work, before_return=False):
    """Call work, and raise Stop at a step of module engine. Say whether it was reached.

    A step is an instruction of the interpreter: between any two of them a signal handler
    can raise. With before_return none raises at the last instruction of engine.call.
    """
    steps = 0

    def trace(frame, event, _):
        nonlocal steps
        if event == 'call':
            if frame.f_code.co_filename != engine.__file__ or in_finalizer(frame):
                return None
            if frame.f_code.co_name in ('__enter__', '__exit__'):
                return None  # signals are blocked there
            frame.f_trace_opcodes = True
        if event == 'opcode':
            steps += 1
            if steps == step and not (before_return and returns(frame)):
                raise Stop
        return trace

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # since Python 3.12 a frame has to ask before settrace
    sys.settrace(trace)
    try:
        work()
    except Stop:
        pass
    finally:
        sys.settrace(before)
    return steps >= step


class Hook:
    """Calls functions at the steps of a request to the library.

    :ivar before:   called with the op before a request, and after with the op after it.
    :ivar decoding: an exception to raise once, when the next result is decoded.
    :ivar ops:      the ops of the requests.
    """

    def __init__(self):
        self.before = self.after = lambda op: None
        self.decoding = None
        self.ops = []

    def call(self, op, *args, **request):
        self.ops.append(op)
        self.before(op)
        result = self.real_call(op, *args, **request)
        self.after(op)
        return result

    def decode(self, text):
        error, self.decoding = self.decoding, None
        if error:
            raise error
        return self.real_decode(text)

    def __enter__(self):
        self.real_call, self.real_decode = engine.call, engine._decode
        engine.call, engine._decode = self.call, self.decode
        return self

    def __exit__(self, *_):
        engine.call, engine._decode = self.real_call, self.real_decode


class Interruptions(unittest.TestCase):
    @unittest.skipIf(sys.version_info < (3, 10), 'no handler runs in the middle: the module blocks signals')
    def test_exception_at_each_step(self):
        """Nothing is left, no reply goes to the next command, and no descriptor gets bytes."""
        with Server(echo) as server, connected(server) as qmp:
            value(qmp, 'x', n=0)
            gc.collect()
            before, opened = engine.count()['calls'], descriptors()
            for step in itertools.count(1):
                reached = stopped_at(step, lambda: value(qmp, 'x', n='interrupted'))
                # These get the numbers of descriptors that were closed too early.
                pairs = [socket.socketpair() for _ in range(3)]
                self.assertEqual(value(qmp, 'x', n=step), step)
                for end in itertools.chain(*pairs):
                    end.setblocking(False)
                    with self.assertRaises(BlockingIOError, msg=f'bytes at step {step}'):
                        end.recv(8)
                for end in itertools.chain(*pairs):
                    end.close()
                if not reached:
                    break
            gc.collect()
            self.assertGreater(step, 50)  # Python 3.13 does not report all of them
            self.assertEqual(engine.count()['calls'], before)
            # A pipe is lost if the exception comes between its making and its assignment.
            self.assertLessEqual(descriptors(), opened + 8)

    @unittest.skipIf(sys.version_info < (3, 10), 'no handler runs in the middle: the module blocks signals')
    def test_exception_at_each_step_of_the_constructor(self):
        gc.collect()
        objects = engine.count()['objects']
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter('ignore', ResourceWarning)
            path = os.path.join(folder, 's')
            for step in itertools.count(1):
                if not stopped_at(step, lambda: QEMUMonitorProtocol(path, server=True).close()):
                    break
                gc.collect()
                self.assertFalse(os.path.exists(path), f'step {step}: it still listens')
        gc.collect()
        self.assertEqual(engine.count()['objects'], objects)

    def test_call_in_a_signal_handler(self):
        """A handler may use the object whose call it interrupts."""
        seen = []
        with Server(echo) as server, connected(server) as qmp:
            before = signal.signal(signal.SIGALRM, lambda *_: seen.append(value(qmp, 'x', n=-1)))
            try:
                n = 0
                while len(seen) < 20:
                    n += 1
                    signal.setitimer(signal.ITIMER_REAL, n % 10 * 0.0001 + 0.0001)
                    self.assertEqual(value(qmp, 'x', n=n), n)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)
        self.assertEqual(set(seen), {-1})

    def test_keyboard_interrupt(self):
        # A program that was started in the background ignores SIGINT, and so does its Python.
        self.addCleanup(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.default_int_handler))
        with Server(reply(b'')) as server, connected(server) as qmp:
            for wait in (lambda: value(qmp, 'x'), lambda: qmp.pull_event(wait=True), lambda: qmp.get_events(wait=600.0)):
                timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
                with self.assertRaises(KeyboardInterrupt):
                    timer.start()  # in here, since the signal can come before the wait
                    wait()
                timer.join()

    def test_events_are_kept(self):
        """An exception at any step of a call leaves the events to the next call, in their order."""
        for name, take in (
                ('pull_event', lambda qmp: [qmp.pull_event()]),
                ('pull_event, waiting', lambda qmp: [qmp.pull_event(wait=True)]),
                ('get_events', lambda qmp: qmp.get_events()),
                ('get_events, waiting', lambda qmp: qmp.get_events(wait=True))):
            with self.subTest(name), Server(events) as server, connected(server) as qmp:
                value(qmp, 'x', n=0)
                with Hook() as hook:
                    hook.decoding = Stop
                    with self.assertRaises(Stop):
                        take(qmp)
                value(qmp, 'x', n=1)
                self.assertEqual([e['n'] for e in take(qmp) + qmp.get_events()], [0, 0, 1, 1])

    def test_events_are_kept_when_the_second_request_is_interrupted(self):
        """get_events(wait=True) waits for one event, and then asks for the others."""
        with Server(events) as server, connected(server) as qmp:
            with Hook() as hook:
                hook.after = lambda op: value(qmp, 'x', n=0) if hook.ops == ['events'] else None

                def before(op):
                    if hook.ops[-1] == 'events' and 'event' in hook.ops:
                        raise Stop

                hook.before = before
                with self.assertRaises(Stop):
                    qmp.get_events(wait=True)
            self.assertEqual([e['n'] for e in qmp.get_events()], [0, 0])

    def test_events_that_were_kept_before(self):
        with Server(events) as server, connected(server) as qmp:
            value(qmp, 'x', n=0)
            for _ in range(3):
                with Hook() as hook:
                    hook.decoding = Stop
                    with self.assertRaises(Stop):
                        qmp.get_events()
            self.assertEqual([e['n'] for e in qmp.get_events()], [0, 0])

    @unittest.skipIf(sys.version_info < (3, 10), 'no handler runs in the middle: the module blocks signals')
    def test_events_at_each_step(self):
        for take in (lambda: [qmp.pull_event()], lambda: [qmp.pull_event(wait=True)], lambda: qmp.get_events()):
            with Server(events) as server, connected(server) as qmp:
                for step in itertools.count(1):
                    value(qmp, 'x', n=step)
                    got = []
                    reached = stopped_at(step, lambda: got.extend(take()), before_return=True)
                    got += qmp.get_events()
                    self.assertEqual([e['n'] for e in got], [step] * 2, f'step {step}')
                    if not reached:
                        break
                self.assertGreater(step, 50)

    def test_two_readers_of_kept_events(self):
        """Another reader takes the last event that was kept, after this one has seen that there is one."""
        class Full(type(QEMUMonitorProtocol('/x')._kept)):
            def __bool__(self):
                return True

        with Server(events) as server, connected(server) as qmp:
            qmp._kept = Full()
            self.assertIsNone(qmp.pull_event())


class Making(unittest.TestCase):
    """Calls while another call makes the library's object for an open socket."""

    def setUp(self):
        ours, self.theirs = socket.socketpair()
        self.addCleanup(self.theirs.close)
        self.addCleanup(ours.close)
        self.qmp = QEMUMonitorProtocol(ours)
        gc.collect()
        self.objects = engine.count()['objects']

    def meanwhile(self, first, second, *, after, stops=()):
        """Call first, and second in another thread before or after the request that makes the object.

        Each of stops is raised in second when it is about to wait for the object's lock.
        """
        waits, raised, stops = threading.Event(), [], list(stops)

        class Lock:
            """The lock of the object. It says that the second thread waits for it, or has got it."""

            def __enter__(_, lock=self.qmp._making):
                if threading.current_thread() is thread:
                    if stops:
                        raise stops.pop()
                    waits.set()
                lock.acquire()

            def __exit__(_, *__, lock=self.qmp._making):
                lock.release()

        def run():
            try:
                second()
            except BaseException as err:
                raised.append(err)
            finally:
                waits.set()

        def at(op):
            if op == 'new' and not thread.ident:
                thread.start()
                waits.wait()

        thread = threading.Thread(target=run)
        self.qmp._making = Lock()
        with Hook() as hook:
            setattr(hook, 'after' if after else 'before', at)
            first()
            thread.join()
        self.assertEqual(hook.ops.count('new'), 1)
        self.assertEqual(stops, [])
        return raised

    def check(self):
        """The connection works, and there is one object."""
        self.qmp.connect(negotiate=False)
        self.theirs.sendall(b'{"event": "A"}\r\n')
        self.assertEqual(self.qmp.pull_event(wait=True), {'event': 'A'})
        self.assertLessEqual(engine.count()['objects'], self.objects + 1)
        self.qmp.close()

    def test_second_thread(self):
        for after in (False, True):
            for second in ('get_events', 'clear_events', 'close'):
                with self.subTest(second, after=after):
                    self.assertEqual(self.meanwhile(self.qmp.get_events, getattr(self.qmp, second), after=after), [])
                    if second == 'close':  # it has waited for the object, and closed the socket with it
                        with self.assertRaises(ConnectError):
                            self.qmp.connect(negotiate=False)
                    else:
                        self.check()
                self.doCleanups()
                self.setUp()

    def test_connect_of_a_second_thread(self):
        """It does not close the socket whose descriptor the first thread has given to the library."""
        for after in (False, True):
            self.assertEqual(
                self.meanwhile(self.qmp.get_events, lambda: self.qmp.connect(negotiate=False), after=after), [])
            self.qmp.close()
            self.doCleanups()
            self.setUp()

    def test_connect_that_a_signal_handler_ends(self):
        """It waits until the first thread has made the object, and closes the socket after that."""
        stop = Stop()
        self.assertEqual(self.meanwhile(self.qmp.get_events, lambda: self.qmp.connect(negotiate=False),
                                        after=False, stops=[stop]), [stop])
        self.assertEqual(self.qmp._socket.fileno(), -1)
        self.check()

    def test_connect_of_the_first_thread(self):
        for after in (False, True):
            self.assertEqual(
                self.meanwhile(lambda: self.qmp.connect(negotiate=False), self.qmp.get_events, after=after), [])
            self.qmp.close()
            self.doCleanups()
            self.setUp()

    def test_signal_handler(self):
        """A handler in the thread that makes the object can use it."""
        for when in ('before', 'after'):
            for inner in (lambda: self.qmp.get_events(), lambda: self.qmp.connect(negotiate=False)):
                with self.subTest(when), Hook() as hook:
                    setattr(hook, when, lambda op: inner() if hook.ops == ['new'] else None)
                    self.qmp.get_events()
                if 'connect' not in hook.ops:
                    self.check()
                self.assertEqual(engine.count()['objects'], self.objects + 1)
                self.qmp.close()
                self.doCleanups()
                self.setUp()

    def test_interrupted(self):
        """A handler that raises leaves an object that the next call makes, or finds."""
        for when in ('before', 'after', 'decoding'):
            with self.subTest(when), Hook() as hook:
                def stop(op):
                    raise Stop
                setattr(hook, when, Stop if when == 'decoding' else stop)
                with self.assertRaises(Stop):
                    self.qmp.get_events()
            self.check()
            self.doCleanups()
            self.setUp()

    def test_many_runs(self):
        """The same without hooks."""
        for _ in range(100):
            raised = []

            def run(call):
                try:
                    barrier.wait()
                    call()
                except Exception as err:
                    raised.append(err)

            barrier = threading.Barrier(2)
            calls = (lambda: self.qmp.connect(negotiate=False), lambda: self.qmp.get_events())
            threads = [threading.Thread(target=run, args=(call,)) for call in calls]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(raised, [])
            self.qmp.close()
            self.doCleanups()
            self.setUp()


class Objects(unittest.TestCase):
    def test_why_the_connection_ended_when_nobody_asks(self):
        """In Python 3.8 to 3.10, asyncio.TimeoutError is a class of its own."""
        before, seen = sys.unraisablehook, []
        self.addCleanup(setattr, sys, 'unraisablehook', before)
        sys.unraisablehook = lambda caught: seen.append(repr(caught.exc_value))

        def ended(op):
            if op == 'release':
                raise error

        for error in (asyncio.TimeoutError(), EOFError(), ConnectionResetError(), StateError('a', Runstate.IDLE, Runstate.RUNNING)):
            with Hook() as hook:
                hook.after = ended
                QEMUMonitorProtocol('/x')
                gc.collect()
            self.assertIn('release', hook.ops)
        self.assertEqual(seen, [])

    def test_errors_of_names(self):
        """A lookup that can succeed later has another number than a name that does not exist."""
        for temporary, number in ((True, socket.EAI_AGAIN), (False, socket.EAI_NONAME)):
            err = exception({'class': 'ConnectError', 'message': 'a', 'stage': 'connection',
                             'cause': {'class': 'gaierror', 'message': 'b', 'temporary': temporary}})
            self.assertIsInstance(err.exc, socket.gaierror)
            self.assertEqual(err.exc.args, (number, 'b'))

    def test_warning_that_is_an_exception(self):
        with Server(echo) as server, warnings.catch_warnings(), self.assertLogs() as logs:
            warnings.simplefilter('error', ResourceWarning)
            before = sys.unraisablehook
            sys.unraisablehook = lambda caught: logging.warning('%r', caught.exc_value)
            objects = engine.count()['objects']
            connected(server)
            gc.collect()
            sys.unraisablehook = before
        self.assertIn('never closed', logs.output[0])
        self.assertEqual(engine.count()['objects'], objects)

    def test_copies(self):
        with Server(echo) as server, connected(server) as qmp:
            for make in (copy.copy, copy.deepcopy, pickle.dumps):
                with self.assertRaisesRegex(TypeError, 'QEMUMonitorProtocol'):
                    make(qmp)
            gc.collect()
            self.assertEqual(value(qmp, 'x', n=1), 1)

    def test_copies_of_exceptions(self):
        """multiprocessing sends exceptions to another process in this way."""
        for err in (
                StateError('a', Runstate.IDLE, Runstate.RUNNING), ConnectError('a', OSError(2, 'x')),
                ExecuteError({'class': 'A', 'desc': 'b'}, Message({'execute': 'x'}), Message({})),
                ExecInterruptedError('a'), BadReplyError('a', Message({}), Message({})), RefusedError('a'),
                DeserializationError('a', b'x'), UnexpectedTypeError('a', 3), GreetingError('a', ValueError('x'))):
            other = pickle.loads(pickle.dumps(err))
            self.assertEqual((type(other), str(other), sorted(vars(other))), (type(err), str(err), sorted(vars(err))))

    def test_finalizers_in_any_order(self):
        """In a cycle the object can be finalized before the one that closes it."""
        class Owner:
            def __init__(self, qmp):
                self.qmp, qmp.owner = qmp, self

            def __del__(self):
                closed.append(self.qmp.close())

        closed = []
        with Server(echo) as server, warnings.catch_warnings():
            warnings.simplefilter('ignore', ResourceWarning)
            for _ in range(20):
                Owner(connected(server))
            gc.collect()
        self.assertEqual(closed, [None] * 20)

    def test_with_asyncio(self):
        async def main():
            loop = asyncio.get_running_loop()
            qmp = await loop.run_in_executor(None, connected, server)
            calls = [loop.run_in_executor(None, lambda n=n: value(qmp, 'x', n=n)) for n in range(50)]
            self.assertEqual(await asyncio.gather(*calls), list(range(50)))
            self.assertEqual(value(qmp, 'x', n='here'), 'here')
            qmp.close()

        with Server(echo) as server:
            asyncio.run(main())

    def test_errors_speak_python(self):
        with Server(echo) as server, connected(server) as qmp:
            with self.assertRaises(StateError) as caught:
                qmp.connect()
            self.assertIn('call close() first', str(caught.exception))
            with self.assertRaises(StateError) as caught:
                qmp.accept()
            self.assertNotIn('async', str(caught.exception))


class Addresses(unittest.TestCase):
    def test_abstract_names(self):
        """A zero byte begins one, as in module socket, and @ begins none."""
        name = f'goqmp-test-{os.getpid()}'
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind('\0' + name)
            listener.listen()
            with self.assertRaises(ConnectError) as caught:
                QEMUMonitorProtocol('@' + name).connect()
            self.assertIsInstance(caught.exception.exc, FileNotFoundError)
            qmp = QEMUMonitorProtocol('\0' + name)

            def serve():
                with listener.accept()[0] as conn:
                    conn.sendall(GREETING + b'{"return": {}}\r\n')
                    while conn.recv(100):
                        pass

            # A daemon, since it waits for ever if connect() fails.
            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            self.assertIn('QMP', qmp.connect())
            qmp.close()
            thread.join()

    def test_ports_and_paths(self):
        with Server(echo, socket.AF_INET) as server:
            host, port = server.address
            for address in ((host, str(port)), [host, port]):
                qmp = QEMUMonitorProtocol(address)
                qmp.connect()
                qmp.close()
        with Server(echo) as server:
            qmp = QEMUMonitorProtocol(pathlib.Path(server.address))
            qmp.connect()
            qmp.close()
        for address, cause in (('x' * 300, OSError), ('a\0b', ValueError), (('127.0.0.1', 99999), ValueError),
                               (('127.0.0.1', 1), ConnectionRefusedError)):
            with self.assertRaises(ConnectError) as caught:
                QEMUMonitorProtocol(address).connect()
            self.assertIsInstance(caught.exception.exc, cause)
        for address in (None, 5, bytearray(b'/x')):
            with self.assertRaises(TypeError):
                QEMUMonitorProtocol(address)

    def test_sockets(self):
        ours, theirs = socket.socketpair()
        again = ours.dup()
        ours.settimeout(0.01)  # concerns Python's object only
        theirs.sendall(GREETING)
        qmp = QEMUMonitorProtocol(ours)
        timer = threading.Timer(0.1, theirs.sendall, (b'{"return": {}}\r\n',))
        timer.start()
        qmp.connect()
        timer.join()
        qmp.close()
        again.close()  # the connection was open for the copy until here
        self.assertTrue(theirs.recv(100).startswith(b'{"execute"'))
        self.assertEqual(theirs.recv(100), b'')
        theirs.close()

        closed = socket.socket(socket.AF_UNIX)
        closed.close()
        with self.assertRaises(ConnectError):
            QEMUMonitorProtocol(closed).connect()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packets, self.assertRaises(ValueError):
            QEMUMonitorProtocol(packets)


# What a program does after it has connected, and what it prints.
ENDINGS = {
    'pass': '',
    'threading.Thread(target=lambda: wait(qmp), daemon=True).start()': '',
    'atexit.register(lambda: (qmp.close(), print("closed")))': 'closed\n',
    'threading.Thread(target=lambda: os._exit(0)).start(); wait(qmp)': '',
    'qmp.me = qmp': '',
    'os.execv("/bin/echo", ["echo", "executed"])': 'executed\n',
    '''
child = os.fork()
if not child:
    sys.exit(3)  # with finalizers and atexit
print(os.waitpid(child, 0)[1] >> 8)
qmp.close()
''': '3\n',
    '''
def fork():
    child = os.fork()
    if not child:
        try:
            qmp.close()
        except QMPError as err:
            os._exit("fork" in str(err))
        os._exit(9)
    print(os.waitpid(child, 0)[1] >> 8)
thread = threading.Thread(target=fork)
thread.start()
thread.join()
qmp.close()
''': '1\n',
}


class Endings(unittest.TestCase):
    def test_ends_of_the_process(self):
        head = '''
import atexit, os, sys, threading
from qemu.qmp import QMPError
from qemu.qmp.legacy import QEMUMonitorProtocol
def wait(qmp):
    qmp.pull_event(wait=True)
qmp = QEMUMonitorProtocol(sys.argv[1])
qmp.connect()
'''
        with Server(echo) as server:
            for ending, prints in ENDINGS.items():
                with self.subTest(ending):
                    done = subprocess.run([sys.executable, '-W', 'ignore::DeprecationWarning', '-c', head + ending, server.address], check=False,
                                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
                    self.assertEqual((done.stdout.decode(), done.stderr.decode(), done.returncode), (prints, '', 0))


class Versions(unittest.TestCase):
    def test_syntax_of_python_3_8(self):
        folder = pathlib.Path(__file__).resolve().parent.parent
        files = list(folder.glob('*/qemu/qmp/*.py'))
        self.assertGreater(len(files), 9)
        for file in files:
            ast.parse(file.read_text(encoding='utf-8'), feature_version=(3, 8))


if __name__ == '__main__':
    unittest.main()
