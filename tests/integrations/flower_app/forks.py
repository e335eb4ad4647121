"""Flower's programs at the price of a fork: a process that has imported them forks one whenever it is asked to.

Flower starts a program for every message, and each takes one to two seconds of a processor to import what it needs.
Ten nodes need sixty of them. A forked one is a process like any other: it runs the program's own entry point, has its
own identifier, belongs to the group of whoever asked, and can be killed.
"""

import contextlib
import importlib.metadata
import json
import os
import signal
import socket
import sys

import numpy.random  # noqa: F401

import bluetusk.integrations.flower  # noqa: F401

NAMES = ("flower-supernode", "flower-superexec", "flwr-clientapp", "flwr-serverapp")

ASK = """#!{python} -SE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect({path!r})
    argv = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
    ask = {{"argv": argv, "cwd": os.getcwd(), "group": os.getpgrp(), "env": dict(os.environ)}}
    socket.send_fds(sock, [json.dumps(ask).encode()], [1, 2])
    sock.recv(1)
"""


def main(folder):
    """Serve until killed: programs of the same names in `folder` ask for a fork."""
    programs = {}
    for point in importlib.metadata.distribution("flwr").entry_points:
        if point.name in NAMES:
            programs[point.name] = point.load()
    path = os.path.join(folder, "socket")
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(100)
    children = set()

    def reap(*_):
        while children and (pid := os.waitpid(-1, os.WNOHANG)[0]):
            children.discard(pid)

    def stop(*_):
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        os._exit(0)

    signal.signal(signal.SIGCHLD, reap)
    signal.signal(signal.SIGTERM, stop)
    for name in NAMES:
        script = os.path.join(folder, name)
        with open(script, "w") as out:
            out.write(ASK.format(python=sys.executable, path=path))
        os.chmod(script, 0o755)
    print("ready", flush=True)
    while True:
        sock, _ = server.accept()
        data, fds, _, _ = socket.recv_fds(sock, 1 << 20, 2)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM})
        pid = os.fork()
        if pid == 0:
            server.close()
            become(json.loads(data), fds, programs, sock)
        children.add(pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD, signal.SIGTERM})
        for fd in fds:
            os.close(fd)
        sock.close()


def become(ask, fds, programs, sock):
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD, signal.SIGTERM})
    with contextlib.suppress(PermissionError):  # a group of another session: SuperLink starts its SuperExec in one
        os.setpgid(0, ask["group"])
    os.chdir(ask["cwd"])
    os.environ.clear()
    os.environ.update(ask["env"])
    os.dup2(fds[0], 1)
    os.dup2(fds[1], 2)
    sys.argv = ask["argv"]
    sock.close()  # whoever asked goes on: we are in its group
    code = 1
    try:
        code = programs[ask["argv"][0]]()
    except SystemExit as err:
        code = err.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    main(sys.argv[1])
