"""Connections against which a server must hold its own: heads without end, clients that say or take nothing, and an end in time."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import uvicorn

from sdz.server.app import create_app
from sdz.server.connections import GRACE_SECONDS, MAX_HEAD, BoundedProtocol, configured

LARGE = bytes(40_000_000)


class Hasty(BoundedProtocol):
    request_seconds = 0.6
    stalled_seconds = 0.6
    tick = 0.1


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    site = tmp_path_factory.mktemp("site")
    (site / "index.html").write_bytes(b"<!doctype html>")
    (site / "large.bin").write_bytes(LARGE)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(configured(create_app(site), Hasty))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


def connected(port: int) -> closing[socket.socket]:
    return closing(socket.create_connection(("127.0.0.1", port), timeout=30))


def everything(connection: socket.socket) -> bytes:
    """All that comes until the other side ends the connection."""
    out = b""
    try:
        while piece := connection.recv(1 << 16):
            out += piece
    except ConnectionResetError:
        pass
    return out


def test_a_head_without_end_is_cut_off(port: int) -> None:
    with connected(port) as connection:
        sent = 0
        try:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
            while sent < 300_000_000:
                connection.sendall(b"X-%06d: " % (sent % 999_983) + b"a" * 8000 + b"\r\n")
                sent += 8010
        except (BrokenPipeError, ConnectionResetError):
            pass
        # what the system's buffers took of it counts too
        assert sent < 16_000_000
        assert everything(connection).partition(b"\r\n")[0] in (b"HTTP/1.1 400 Bad Request", b"")


def test_a_head_of_usual_size_is_taken(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: " + b"a" * (MAX_HEAD // 2) + b"\r\n\r\n")
        assert everything(connection).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    "said", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /"], ids=["nothing", "half", "half a second"]
)
def test_who_says_nothing_more_is_left(port: int, said: bytes) -> None:
    with connected(port) as connection:
        connection.sendall(said)
        answer = everything(connection)
        assert answer.count(b"HTTP/1.1 200 OK") == said.count(b"\r\n\r\n")


def test_who_says_a_byte_now_and_then_is_left(port: int) -> None:
    with connected(port) as connection:
        sent = 0
        try:
            for byte in b"GET / HTTP/1.1\r\nHost: " + b"a" * 1000:
                connection.sendall(bytes([byte]))
                sent += 1
                time.sleep(0.05)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert sent < 500


def test_who_takes_nothing_is_left(port: int) -> None:
    with connected(port) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(2.5)
        assert len(everything(connection)) < len(LARGE)


def test_who_is_slow_but_goes_on_gets_all(port: int) -> None:
    with connected(port) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        connection.sendall(b"GET /large.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        got = 0
        while piece := connection.recv(1 << 20):
            got += len(piece)
            time.sleep(0.02)
        assert got > len(LARGE)


def test_the_server_ends_when_told_although_a_client_reads_nothing(tmp_path: Path) -> None:
    (tmp_path / "large.bin").write_bytes(LARGE)
    command = [sys.executable, "-m", "server", str(tmp_path), "--port", "0", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().split("/")[2].partition(":")[2])
        with connected(port) as connection:
            connection.sendall(b"GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n")
            assert connection.recv(10) == b"HTTP/1.1 2"
            process.send_signal(signal.SIGTERM)
            assert process.wait(GRACE_SECONDS + 55) == -signal.SIGTERM
