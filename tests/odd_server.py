"""A real server that answers as oddly as it is told."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace


@contextmanager
def odd_server() -> Iterator[SimpleNamespace]:
    """It answers at `url` with `status`, `headers` and `parts`, `seconds` before each.

    `parts_of` has other parts, by path. With `raw` the parts are the whole answer, its headers too. `asked`
    has the path and the login of each request.
    """
    shows = SimpleNamespace(status=200, headers={}, parts=[], parts_of={}, seconds=0.0, asked=[], raw=False)
    ended = threading.Event()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shows.asked.append((self.path, self.headers["authorization"]))
            if not shows.raw:
                self.send_response(shows.status)
                for name, value in shows.headers.items():
                    self.send_header(name, value)
                self.end_headers()
            for part in shows.parts_of.get(self.path, shows.parts):
                if ended.wait(shows.seconds):
                    return
                try:
                    self.wfile.write(part)
                except OSError:
                    return

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        shows.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield shows
        finally:
            ended.set()
            server.shutdown()
            thread.join()
