"""A server that answers with the bytes of a file: /NAME with those of NAME.raw, and closes if they are said to be the last.

What it was asked is in the file `asked`: the head of each request, and how many bytes of body it had.
"""
import os
import socket
import sys
import threading
import time


def more(conn, data):
    got = conn.recv(65536)
    if not got:
        raise EOFError
    return data + got


def body(conn, head, data):
    """The body's length and trailers as text, and what follows it."""
    fields = {}
    for line in head.split(b"\r\n")[1:]:
        name, value = line.split(b":", 1)
        fields[name.lower()] = value.strip()
    if b"transfer-encoding" in fields:
        size, told = 0, []
        while True:
            while b"\r\n" not in data:
                data = more(conn, data)
            line, data = data.split(b"\r\n", 1)
            n = int(line.split(b";")[0], 16)
            if n == 0:
                break
            while len(data) < n + 2:
                data = more(conn, data)
            data, size = data[n + 2:], size + n
        while True:
            while b"\r\n" not in data:
                data = more(conn, data)
            line, data = data.split(b"\r\n", 1)
            if not line:
                return f"chunked {size} {told}", data
            told.append(line.decode())
    n = left = int(fields.get(b"content-length", 0))
    while left > 0:
        if not data:
            data = more(conn, data)
        here = min(left, len(data))
        data, left = data[here:], left - here
    return f"length {n}", data


def serve(conn, number):
    data, lock = b"", threading.Lock()
    try:
        while True:
            while b"\r\n\r\n" not in data:
                data = more(conn, data)
            head, data = data.split(b"\r\n\r\n", 1)
            name = head.split(b" ")[1].decode().split("?")[0].strip("/")
            if name == "deaf":
                time.sleep(600)
            if b"100-continue" in head:
                conn.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            told, data = body(conn, head, data)
            with lock, open("asked", "a") as asked:
                asked.write(f"[{number}] {head.decode()}\n[{number}] {told}\n")
            with open((name or "index") + ".raw", "rb") as file:
                answer = file.read()
            last = answer.endswith(b"CLOSE")
            conn.sendall(answer.removesuffix(b"CLOSE"))
            if last:
                return
    except (EOFError, OSError):
        pass
    finally:
        conn.close()


server = socket.create_server(("", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
for number in range(1, 1 << 30):
    threading.Thread(target=serve, args=(server.accept()[0], number), daemon=True).start()
