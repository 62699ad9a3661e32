"""A served bundle in a process of its own, and a client that reads while it sends."""

import http.client
import re
import subprocess
import sys
from contextlib import closing, contextmanager, suppress
from threading import Thread
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

ARROW = "application/vnd.apache.arrow.stream"

_SERVE = """
import sys
from pathlib import Path
from churnops.jobs.serve import serve
serve(Path(sys.argv[1]), "127.0.0.1", 0)
"""


@contextmanager
def served(folder):
    """The process that serves the bundle in `folder`, and its URL."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVE, folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as server:
        try:
            first = server.stdout.readline().decode()
            yield server, re.search(r"http://127\.0\.0\.1:\d+", first).group()
        finally:
            server.terminate()
            server.communicate(timeout=20)


def arrow(table, rows=None, compression=None):
    """The table as an Arrow stream, in batches of so many rows."""
    options = pa.ipc.IpcWriteOptions(compression=compression)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=rows)
    return sink.getvalue().to_pybytes()


def views(n, text=b"x" * 20):
    """So many views of one text."""
    view_N = np.zeros(n, [("length", "<i4"), ("start", "S4"), ("buffer", "<i4"), ("offset", "<i4")])
    view_N["length"], view_N["start"] = len(text), text[:4]
    buffers = [None, pa.py_buffer(view_N.tobytes()), pa.py_buffer(text)]
    return pa.Array.from_buffers(pa.string_view(), n, buffers)


def stream_parts(table):
    """The bytes of a stream's schema, of its one batch, and of its end."""
    end = bytes.fromhex("ffffffff00000000")
    schema = arrow(table.slice(0, 0)).removesuffix(end)
    return schema, arrow(table).removeprefix(schema).removesuffix(end), end


@contextmanager
def streamed(url, chunks):
    """The answer to the body that `chunks` make together: it begins before the last of them is sent."""
    address = urlsplit(url)
    with closing(http.client.HTTPConnection(address.hostname, address.port, timeout=60)) as connection:
        connection.putrequest("POST", "/v1/score/stream")
        connection.putheader("content-type", ARROW)
        connection.putheader("transfer-encoding", "chunked")
        connection.endheaders()
        sender = Thread(target=_send, args=(connection.sock, chunks))
        sender.start()
        with connection.getresponse() as answer:
            yield answer
        sender.join()


def _send(sock, chunks):
    with suppress(OSError):  # the server has ended it
        for chunk in chunks:
            sock.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        sock.sendall(b"0\r\n\r\n")
