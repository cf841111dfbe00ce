"""The door of Glance's functional tests, and who stands behind it.

The tests build Glance's WSGI application (`glance.common.config.load_paste_app`) and call it. `opened` puts a
`Door` in its place: it turns each request into one over a socket, to a process that is configured as the test
has configured Glance up to then. A test that changes an option or a policy rule later gets a new process on the
same database and stores.
"""

import contextlib
import http.client
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from unittest import mock

import webob
import yaml
from oslo_config import cfg
from testtools.content import text_content

from glance.api import policy
from glance.api.v2 import cached_images
from glance.common import config
from glance.db import migration  # noqa: registers the options of the database
from glance.tests import functional
from glance.tests import utils as test_utils

from identity import Identity
from workers import Workers

START_LIMIT_SECONDS = 60
REQUEST_LIMIT_SECONDS = 60
PIECE_BYTES = 65536
LOG_SHOWN_CHARS = 4000
# What Keystone's middleware tells the application, and nobody else may.
IDENTITY = ("x-identity-status", "x-user-id", "x-tenant-id", "x-project-id", "x-roles", "x-auth-token")
DISABLED_BY = "/tmp/test_path"  # in the paste file of the tests
ATTEMPTS = ".fresnel"  # in the directory of a file store


@contextlib.contextmanager
def opened(program):
    """While it lasts, tests that ask for Glance's application get a door to what `program()` makes."""
    identity = Identity()
    run = functional.SynchronousAPIBase.run
    set_rules = policy.Enforcer.set_rules
    rmdir = os.rmdir
    current = None

    def run_behind(test, result=None):
        nonlocal current
        current = Door(program(), identity, test)
        try:
            return run(test, result)
        finally:
            current.close()

    def set_rules_behind(enforcer, rules, *arguments, **named):
        set_rules(enforcer, rules, *arguments, **named)
        current.rules = policy_text(enforcer)

    def rmdir_behind(path, *arguments, **named):
        # A store whose directory a test takes away has one of ours in it.
        ours = pathlib.Path(path) / ATTEMPTS
        if ours.is_dir():
            rmdir(ours)
        rmdir(path, *arguments, **named)

    def load(pipeline, conf_file=None):
        current.pipeline = pipeline
        # What would cache in Glance's process, for tests that hold it: ours does not wait.
        cached_images.WORKER = mock.Mock()
        current.test.addOnException(lambda _: current.test.addDetail("server", text_content(current.program.log())))
        return current

    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(functional.SynchronousAPIBase, "run", run_behind),
        mock.patch.object(policy.Enforcer, "set_rules", set_rules_behind),
        mock.patch.object(config, "load_paste_app", load),
        mock.patch.object(os, "rmdir", rmdir_behind),
        mock.patch.object(test_utils, "db_sync", migrated_once(pathlib.Path(folder) / "migrated.db")),
    ):
        yield


def migrated_once(template):
    """Glance's own migrations take seconds: they run for the first test, and the others get a copy."""
    migrate = test_utils.db_sync

    def db_sync(engine=None, **named):
        database = engine.url.database
        if not template.exists():
            migrate(engine=engine, **named)
            shutil.copy(database, template)
        else:
            engine.dispose()
            shutil.copy(template, database)

    return db_sync


def policy_text(enforcer):
    """The rules that the enforcer has now."""
    rules = dict(enforcer.rules)
    if enforcer.use_conf:  # on top of its file and its defaults
        rules = {**yaml.safe_load(policy_file().read_text()), **rules}
    else:  # and no others: what is not among them is refused
        rules = {**dict.fromkeys(enforcer.registered_rules, rules.get("default", "!")), **rules}
    return "".join(f'"{name}": "{check}"\n' for name, check in sorted(rules.items()))


def policy_file():
    return pathlib.Path(cfg.CONF.oslo_policy.policy_file)


class Door:
    """What the tests take for Glance's application."""

    def __init__(self, program, identity, test):
        self.program = program
        self.identity = identity
        self.test = test
        self.pipeline = None
        self.rules = None
        self.workers = Workers(test)
        identity.limits = self.limits

    def __call__(self, request):
        self.program.behave(self.configuration(), self.rules_text(), pathlib.Path(self.test.test_dir), self.identity)
        return exchange(self.program.address, request, self.authenticated(request))

    def close(self):
        self.program.stop()
        self.workers.stop()

    def configuration(self):
        """The options that the test has set, by section."""
        options = overrides(cfg.CONF)
        options.setdefault("paste_deploy", {})["flavor"] = self.flavor()
        if self.pipeline == "glance-api-cors":
            options["cors"] = {"allowed_origin": "http://valid.example.com"}
        defaults = options.setdefault("DEFAULT", {})
        if "worker_self_reference_url" in defaults:
            defaults["worker_self_reference_url"] = self.workers.address(defaults["worker_self_reference_url"])
        return options

    def rules_text(self):
        """The policy file: the rules that the test has set in place of it, if any."""
        return self.rules if self.rules is not None else policy_file().read_text()

    def flavor(self):
        if self.pipeline == "glance-api-versionnegotiation":
            return "cachemanagement"
        return {"glance-api-cachemanagement": "keystone+cachemanagement"}.get(self.pipeline, "keystone")

    def authenticated(self, request):
        """The headers of the request, with a token in place of what its headers say about the caller."""
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in IDENTITY]
        said = dict(request.headers)
        if self.pipeline == "glance-api-fake" and said.get("X-Auth-Token"):
            user, project, roles = said["X-Auth-Token"].split(":")
            project = None if project.lower() == "none" else project
            said |= {"X-Identity-Status": "Confirmed", "X-User-Id": user, "X-Project-Id": project, "X-Roles": roles}
        if said.get("X-Identity-Status") == "Confirmed":
            roles = [role.strip() for role in said.get("X-Roles", "").split(",") if role.strip()]
            project = said.get("X-Project-Id", said.get("X-Tenant-Id"))
            headers.append(("X-Auth-Token", self.identity.token(said.get("X-User-Id"), project, roles)))
        return headers

    def limits(self):
        """Those of the enforcer that the test has put in place of oslo.limit's."""
        faked = getattr(self.test, "enforcer_mock", None)
        if faked is None:
            return {}
        names = ("image_size_total", "image_stage_total", "image_count_total", "image_count_uploading")
        enforcer = faked.Enforcer(lambda _project, names: dict.fromkeys(names, 0))
        return {name: usage.limit for name, usage in enforcer.calculate_usage(None, names).items()}


def overrides(conf):
    """What `set_override` has set, as a configuration file would have it: {section: {option: text}}."""
    sections = {"DEFAULT": conf._opts, **{name: group._opts for name, group in conf._groups.items()}}
    return {
        section: options
        for section, known in sections.items()
        if (options := {name: written(info) for name, info in known.items() if "override" in info})
    }


def written(info):
    value = text(info["override"])
    return f"[{value}]" if getattr(info["opt"].type, "bounds", False) else value


def text(value):
    if isinstance(value, (list, tuple)):
        return ",".join(map(text, value))
    if isinstance(value, dict):
        return ",".join(f"{name}:{text(item)}" for name, item in value.items())
    return "" if value is None else str(value)


def exchange(address, request, headers):
    """Sends the request, chunked where its length is unknown, and reads the whole answer."""
    connection = http.client.HTTPConnection(*address, timeout=REQUEST_LIMIT_SECONDS)
    try:
        names = {name.lower() for name, _ in headers}
        connection.putrequest(request.method, request.path_qs, skip_host="host" in names, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        chunked = request.content_length is None and request.is_body_readable
        if chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        elif "content-length" not in names and request.method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", "0")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the answer may come before the end
            body = pieces(request) if chunked or request.content_length else ()
            connection.endheaders(body, encode_chunked=chunked)
        answer = connection.getresponse()
        body = answer.read()
        kept = [pair for pair in answer.getheaders() if pair[0].lower() not in ("transfer-encoding", "connection")]
        response = webob.Response(body, status=f"{answer.status} {answer.reason}", headerlist=kept)
        response.request = request
        return response
    finally:
        connection.close()


def pieces(request):
    body = request.environ["wsgi.input"]
    if not hasattr(body, "read"):
        yield from body
        return
    while piece := body.read(PIECE_BYTES):
        yield piece


class Program:
    """A process that serves on `address`."""

    child = None
    options = None
    rules = None
    output = None

    def behave(self, options, rules, folder, identity):
        """Lets it run with these options and rules."""
        if (options, rules) != (self.options, self.rules):
            self.stop()
            self.options, self.rules = options, rules
            self.start(folder, identity)

    def log(self):
        return self.output.read_text()[-LOG_SHOWN_CHARS:] if self.output else ""

    def start(self, folder, identity):
        port = free_port()
        self.address = ("127.0.0.1", port)
        own = folder / "process"
        own.mkdir(exist_ok=True)
        options = {section: dict(values) for section, values in self.options.items()}
        policy_file = own / "policy.yaml"
        policy_file.write_text(self.rules)
        options["oslo_policy"]["policy_file"] = str(policy_file)
        options["keystone_authtoken"] = {
            "auth_url": identity.url,
            "auth_type": "password",
            "username": "service",
            "password": "secret",
            "project_name": "service",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }
        options["oslo_limit"] = {**options["keystone_authtoken"], **options.get("oslo_limit", {})}
        for section, more in self.further(own, port, options["paste_deploy"].pop("flavor")).items():
            options.setdefault(section, {}).update(more)
        # The tests' Glance finds no schema-image.json, and declares no property of its own.
        (own / "schema-image.json").write_text("{}")
        written = own / "glance-api.conf"
        written.write_text("".join(
            f"[{section}]\n" + "".join(f"{name} = {value}\n" for name, value in values.items())
            for section, values in options.items()
        ))
        self.output = own / "log"
        with self.output.open("ab") as output:
            command, environment = self.command(own, port)
            self.child = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.wait()

    def wait(self):
        limit = time.monotonic() + START_LIMIT_SECONDS
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(self.address).close()
                return
            if self.child.poll() is not None or time.monotonic() > limit:
                raise AssertionError(f"the server did not start:\n{self.log()}")
            time.sleep(0.01)

    def stop(self):
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()
            self.child = None


class Fresnel(Program):
    def __init__(self, binary):
        self.binary = binary

    def further(self, own, port, flavor):
        return {
            "DEFAULT": {"bind_host": "127.0.0.1", "bind_port": port},
            "fresnel": {"data_dir": own, "image_schema_file": own / "schema-image.json"},
            "healthcheck": {"disable_by_file_path": DISABLED_BY},
            "paste_deploy": {"flavor": flavor},
        }

    def command(self, own, port):
        return [self.binary, "serve", "--config-file", own / "glance-api.conf"], {}


class Glance(Program):
    def behave(self, options, rules, folder, identity):
        if options != self.options:
            super().behave(options, rules, folder, identity)
        elif rules != self.rules:
            self.rules = rules
            (folder / "process/policy.yaml").write_text(rules)  # which it looks at in every request

    def further(self, own, port, flavor):
        return {
            "paste_deploy": {"flavor": flavor, "config_file": own / "glance-api-paste.ini"},
            "keystone_authtoken": {"token_cache_time": 300},
            "oslo_concurrency": {"lock_path": own},
            "wsgi": {"python_interpreter": sys.executable},
        }

    def command(self, own, port):
        prefix = pathlib.Path(sys.prefix)
        paste = (prefix / "etc/glance/glance-api-paste.ini").read_text()
        (own / "glance-api-paste.ini").write_text(paste.replace("/etc/glance/healthcheck_disable", DISABLED_BY))
        uwsgi = [prefix / "bin/uwsgi", "--http-socket", f"127.0.0.1:{port}", "--need-app", "--lazy-apps"]
        uwsgi += ["--module", "glance.wsgi.api:application", "--enable-threads", "--threads", "4", "--die-on-term"]
        uwsgi += ["--http-chunked-input", "--http-raw-body", "--add-header", "Connection: close", "--buffer-size", "65535"]
        return uwsgi, {"OS_GLANCE_CONFIG_DIR": str(own)}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
