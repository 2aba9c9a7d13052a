"""Stands for the agent: what it reads as lines goes to the guard, what the guard says is printed.

    python -m tests.guard.agent SOCKET

A line `! WORDS` is a command that it starts itself, in a session of its own; its pid is printed.
"""

import socket
import subprocess
import sys


def main(path: str) -> None:
    guard = socket.socket(socket.AF_UNIX)
    guard.connect(path)
    answers = guard.makefile("rb")
    print("ready", flush=True)
    for line in sys.stdin:
        if line.startswith("!"):
            child = subprocess.Popen(line[1:].split(), start_new_session=True, stdin=-3, stdout=-3)
            print(child.pid, flush=True)
            continue
        guard.sendall(line.encode())
        print(answers.readline().decode(), end="", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
