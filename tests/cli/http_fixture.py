"""An HTTP server on 127.0.0.1 that serves data files well or badly.

The first part of a path says how: http://127.0.0.1:PORT/<manner>/<set>/<file>.

good      the real file, by Range where asked
norange   the real file, always whole
redirect  to `good`
halved    the first half as if that were all
cut       all is announced, the first half sent, the connection closed
stalled   all is announced, the first half sent, then silence
zeros     as many bytes as asked for by the file's real size, all of them 0
longer    the real size and one byte more, all of them 0
other     anything else: 404
"""

import http.server
import os
import pathlib
import re
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        manner, name = self.path.lstrip("/").split("/", 1)
        self.server.requests.append((manner, name, self.headers.get("Range")))
        size = self.server.sizes.get(name)
        if manner == "redirect":
            self.send_response(302)
            self.send_header("Location", f"/good/{name}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif size is None or not hasattr(self, "serve_" + manner):
            self.send_error(404)
        else:
            getattr(self, "serve_" + manner)(name, size)

    def answer(self, content, announced=None, status=200, headers=()):
        self.send_response(status)
        self.send_header("Content-Length", str(announced or len(content)))
        for header in headers:
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def content(self, name):
        if self.server.folder is None:
            return bytes(self.server.sizes[name])
        return (self.server.folder / name).read_bytes()

    def serve_good(self, name, size):
        content = self.content(name)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked is None:
            self.answer(content)
            return
        start = int(asked[1])
        content_range = ("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.answer(content[start:], status=206, headers=[content_range])

    def serve_norange(self, name, size):
        self.answer(self.content(name))

    def serve_halved(self, name, size):
        self.answer(self.content(name)[: size // 2])

    def serve_cut(self, name, size):
        self.answer(self.content(name)[: size // 2], announced=size)
        self.close_connection = True

    def serve_stalled(self, name, size):
        self.answer(self.content(name)[: size // 2], announced=size)
        self.server.released.wait()
        self.close_connection = True

    def serve_zeros(self, name, size):
        self.answer(bytes(size))

    def serve_longer(self, name, size):
        self.answer(bytes(size + 1))


class DataServer(http.server.ThreadingHTTPServer):
    """`sizes` maps "<set>/<file>" to bytes; `folder` holds the real files, or is None."""

    daemon_threads = True

    def __init__(self, sizes, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.sizes = sizes
        self.folder = None if folder is None else pathlib.Path(folder)
        self.requests = []
        self.released = threading.Event()

    def handle_error(self, request, client_address):
        """A client that was killed, or had enough, is no error of the server."""

    def base(self, manner):
        return f"http://127.0.0.1:{self.server_address[1]}/{manner}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.released.set()
        self.shutdown()
        self.server_close()


def real_data_folder():
    """GRADTHRU_DATA_DIR where it holds MNIST, else None."""
    folder = os.environ.get("GRADTHRU_DATA_DIR", "")
    return folder if folder and (pathlib.Path(folder) / "mnist").is_dir() else None
