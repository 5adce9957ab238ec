"""What lies in the folder that `forked.programs` names, under the name of each program: it has the process
that forks start a copy with this program's arguments, environment, folder and descriptors, hands signals on
to that copy, and ends as it ends.

Run with -IS, since a start is to take a hundredth of a second.
"""

import json
import os
import signal
import socket
import sys


def _words(program: str, arguments: list[str]) -> list[str]:
    """As `python` it is what `llmitm` starts itself with again."""
    match arguments:
        case _ if program != "python":
            return [program, *arguments]
        case ["-P", "-m", "llmitm", *words] | ["-m", "llmitm", *words]:
            return ["llmitm", *words]
    os.execv(sys.executable, [sys.executable, *arguments])


def _inherited() -> list[int]:
    """Descriptors that a program would find open."""
    found: list[int] = []
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            if os.get_inheritable(number):
                found.append(number)
        except OSError:  # the one of the listing
            pass
    return found


def _handed_on(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:  # it has ended, and its status is on its way
        pass


def main() -> None:
    folder, program = os.path.split(os.path.abspath(sys.argv[0]))
    numbers = _inherited()
    asked = {
        "words": _words(program, sys.argv[1:]),
        "cwd": os.getcwd(),
        "env": dict(os.environ),
        "numbers": numbers,
        "executable": f"{folder}/python",
        "is_of_own_session": os.getsid(0) == os.getpid(),
    }
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(f"{folder}.asked")
        socket.send_fds(connection, [json.dumps(asked).encode()], numbers)
        pid = int(connection.recv(16))
        for number in numbers:
            if number > 2:  # locks and pipes are the copy's now
                os.close(number)
        for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(one, lambda number, _: _handed_on(pid, number))
        status = int(connection.recv(16))
    if status >= 0:
        sys.exit(status)
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)


main()
