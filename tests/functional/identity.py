"""A token endpoint that plays Keystone's part for the functional tests, on a port of its own of 127.0.0.1.

The tests name an identity in headers, as Keystone's middleware hands it on. Here each becomes a token, which the
service under test validates as it would any: with a token of its own, by GET /v3/auth/tokens.
"""

import hashlib
import http.server
import json
import threading

SERVICE_TOKEN = "the-service-itself"
DOMAIN = {"id": "default", "name": "Default"}


class Identity:
    def __init__(self):
        self.tokens = {}
        self.limits = lambda: {}  # {name: limit}, of every project
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.tokens[SERVICE_TOKEN] = self.body("service", "service", ["service"])
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def token(self, user, project, roles):
        """A token of this identity; its name says nothing about it."""
        name = hashlib.sha256(repr((user, project, roles)).encode()).hexdigest()
        self.tokens[name] = self.body(user, project, roles)
        return name

    def body(self, user, project, roles):
        token = {
            "methods": ["password"],
            "user": {"id": user, "name": user, "domain": DOMAIN, "password_expires_at": None},
            "audit_ids": ["audit"],
            "issued_at": "2020-01-01T00:00:00.000000Z",
            "expires_at": "2100-01-01T00:00:00.000000Z",
        }
        if roles:
            token["roles"] = [{"id": role, "name": role} for role in roles]
        if project:
            token["project"] = {"id": project, "name": project, "domain": DOMAIN}
            token["is_domain"] = False
            token["catalog"] = [
                {
                    "id": "identity",
                    "type": "identity",
                    "name": "keystone",
                    "endpoints": [
                        {
                            "id": interface,
                            "interface": interface,
                            "region": "RegionOne",
                            "region_id": "RegionOne",
                            "url": self.url + "/v3",
                        }
                        for interface in ("public", "internal", "admin")
                    ],
                }
            ]
        return {"token": token}

    def answer(self, method, path, headers):
        """Status, headers and body."""
        if path in ("", "/"):
            return 300, {}, {"versions": {"values": [self.version()]}}
        if path == "/v3":
            return 200, {}, {"version": self.version()}
        if path == "/v3/auth/tokens" and method == "POST":
            return 201, {"X-Subject-Token": SERVICE_TOKEN}, self.tokens[SERVICE_TOKEN]
        if headers.get("X-Auth-Token") != SERVICE_TOKEN:
            return 401, {}, {"error": {"code": 401, "title": "Unauthorized", "message": "not the service"}}
        subject = headers.get("X-Subject-Token")
        if path == "/v3/auth/tokens" and subject in self.tokens:
            return 200, {"X-Subject-Token": subject}, self.tokens[subject]
        if path == "/v3/limits/model":
            return 200, {}, {"model": {"name": "flat", "description": ""}}
        if path == "/v3/limits":
            return 200, {}, {"limits": [], "links": {}}
        if path == "/v3/registered_limits":
            return 200, {}, {"registered_limits": [self.limit(*pair) for pair in self.limits().items()], "links": {}}
        if path.startswith("/v3/endpoints/"):
            endpoint = {"id": path.rsplit("/")[-1], "service_id": "image", "region_id": None, "interface": "public"}
            return 200, {}, {"endpoint": {**endpoint, "url": "http://127.0.0.1"}}
        return 404, {}, {"error": {"code": 404, "title": "Not Found", "message": "no such token"}}

    def version(self):
        link = {"rel": "self", "href": self.url + "/v3/"}
        return {"id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z", "links": [link], "media-types": []}

    def limit(self, name, value):
        where = {"service_id": "image", "region_id": None, "description": None}
        return {"id": name, "resource_name": name, "default_limit": value, **where}

    def handler(self):
        identity = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path = self.path.split("?")[0].rstrip("/")
                status, headers, body = identity.answer(self.command, path, self.headers)
                body = json.dumps(body).encode()
                self.send_response(status)
                headers = {"Content-Type": "application/json", "Vary": "X-Auth-Token", **headers}
                for name, value in {**headers, "Content-Length": len(body)}.items():
                    self.send_header(name, str(value))
                self.end_headers()
                self.wfile.write(body if self.command != "HEAD" else b"")

            do_POST = do_HEAD = do_GET

            def log_message(self, *_):
                pass

        return Handler
