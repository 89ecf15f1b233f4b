"""A server on the loopback interface that can go wrong in many ways."""

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requested.append(self.path)
        server.ranges.append(self.headers.get("Range"))
        with server.counting:
            server.now += 1
            server.most_at_once = max(server.most_at_once, server.now)
            if server.now >= server.gather:
                server.gathered.set()
        server.gathered.wait(60)
        try:
            if server.answers:
                answers = server.answers
                self.answer(*(answers.pop(0) if len(answers) > 1 else answers[0]))
            else:
                self.send_file()
        finally:
            with server.counting:
                server.now -= 1

    def do_HEAD(self):
        self.server.asked_size.append(self.path)
        self.answer(200, {"Content-Length": len(self.file())}, b"")

    def file(self):
        files = self.server.files
        return files.get(self.path.lstrip("/"), files.get(None, b""))

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def send_file(self):
        """The file, or the rest of it, as far as the next of `cuts` or `stalls` lets it."""
        server, body, headers = self.server, self.file(), dict(self.server.headers)
        start, asked = 0, self.headers.get("Range")
        condition = self.headers.get("If-Range")
        current = {headers.get("ETag"), headers.get("Last-Modified")} - {None}
        if asked and server.resumes and (condition is None or condition in current):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        end = server.cuts.pop(0) if server.cuts else len(body)
        self.send_response(206 if start else 200)
        for name, value in {"Content-Length": len(body) - start, **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        for place in range(start, max(min(end, len(body)), start), server.block):
            # Not after the last: who has everything goes, and this would still count as a request.
            time.sleep(server.pause if place > start else 0.0)
            self.wfile.write(body[place : min(place + server.block, end)])
        if end < len(body) and server.stall:
            time.sleep(server.stall)

    def log_message(self, *arguments):
        pass


class ArchiveServer(ThreadingHTTPServer):
    """Serves `files` (path to bytes; None: any path), or `answers` one after the other.

    Attributes
    ----------
    answers : list of (status, headers, body)
        The last is repeated. While there are some, files are not served.
    cuts : list of int
        Bytes of the file after which the connection of the next requests ends.
    stall : float
        Seconds that such a connection stays open without a byte.
    headers : dict
        Of files: a validator, for example.
    resumes : bool
        Whether Range is understood.
    block, pause
        Bytes sent at once, and seconds between.
    gather : int
        So many requests at the same time have to come before the first is answered.
    requested, ranges, asked_size, most_at_once
        What came: paths, Range headers, paths of HEAD, requests at the same time.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.answers, self.cuts, self.headers = {}, [], [], {"ETag": '"one"'}
        self.resumes, self.stall, self.block, self.pause = True, 0.0, 1 << 20, 0.0
        self.requested, self.ranges, self.asked_size = [], [], []
        self.now, self.most_at_once, self.counting = 0, 0, threading.Lock()
        self.gather, self.gathered = 1, threading.Event()
        self.base = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """Clients that went away are part of the tests."""


@contextmanager
def archive_server():
    """A running `ArchiveServer`."""
    with ArchiveServer() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()
