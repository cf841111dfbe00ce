"""The other workers of the image service, where a test plays them: its `ksa_client`, which Glance would have for
a client of them, answers on a socket here.
"""

import http.server
import json
import threading

import requests

TIMEOUT_SECONDS = 60  # which the client keeps to itself


class Workers:
    server = None

    def __init__(self, test):
        self.test = test

    def address(self, url):
        """Where the worker is to be found that calls itself so: nowhere, if the test has it unreachable."""
        played = getattr(self.test, "ksa_client", None)
        if played is None or isinstance(played.return_value.post.side_effect, requests.exceptions.ConnectionError):
            return url
        if self.server is None:
            self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(played.return_value))
            self.server.daemon_threads = True
            threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_address[1]}/{url.removeprefix('http://')}"

    def stop(self):
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


def handler(client):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "null")
            method = getattr(client, self.command.lower())
            try:
                answer = method("http:/" + self.path, json=body, timeout=TIMEOUT_SECONDS)
            except requests.exceptions.RequestException:
                self.wfile.write(b"this is no answer\r\n\r\n")
                self.close_connection = True
                return
            self.send_response(answer.status_code, answer.reason)
            for name, value in {**answer.headers, "Content-Length": 0}.items():
                self.send_header(name, str(value))
            self.end_headers()

        do_DELETE = do_POST

        def log_message(self, *_):
            pass

    return Handler
