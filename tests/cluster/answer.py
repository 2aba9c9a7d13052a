"""NAME PORT [FILE] → a program that answers on every address of its host with the host's name and a count.

Run by its path with the standard library alone: it answers soon after its start. It takes NAME for its
process, so that a sampler finds it. FILE keeps the count, for those who come after.
"""

import json
import os
import signal
import socket
import sys


def main(name: str, port: str, file: str = "") -> None:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    with open("/proc/self/comm", "w", encoding="ascii") as comm:
        comm.write(name)
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(("", int(port)))
        door.listen(64)
        kept = os.open(file, os.O_RDWR | os.O_CREAT, 0o644) if file else -1
        count = int((os.read(kept, 64) if file else b"") or 0)
        while True:
            caller, _ = door.accept()
            with caller:
                caller.settimeout(1)
                count += 1
                try:
                    caller.recv(65536)
                    if file:
                        os.pwrite(kept, b"%d" % count, 0)
                        os.fsync(kept)
                    body = json.dumps({"host": socket.gethostname(), "name": name, "count": count}).encode()
                    head = (
                        b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                    )
                    caller.sendall(head % len(body) + body)
                except OSError as fault:
                    print(f"{name}: {fault}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
