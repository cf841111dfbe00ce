"""Glare's own functional API tests, as published in its package, against Fresnel's artifacts.

    run.py [--server BINARY] [--list] [REGEX]

Every test gets a process of its own, with the types and limits that the test gives Glare, and asks it over HTTP as
it would ask Glare. Tokens are those of `tests/functional/identity.py`. The type that the tests bring is Python there;
here it is the schema that the tests expect of it, with the sizes of its blobs. What waits is in `waiting.txt`: a
listed test that passes fails the run, as does any other that fails. REGEX selects tests by their ids.

--server  the program (target/debug/fresnel)
--list    only the ids
"""

import argparse
import configparser
import importlib
import json
import pathlib
import pkgutil
import re
import socket
import subprocess
import sys
import tempfile
import time
import types
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "functional"))

from identity import Identity  # noqa: E402

PREFIX = "glare.tests.functional"
# About Glare's processes and its store in the database, not about the API.
NOT_API = ("test_scrubber", "test_database_store")
START_LIMIT_SECONDS = 60
# What a schema does not say of the tests' own type.
SIZES = {
    "small_blob": {"maxBlobSize": 10},
    "dict_of_blobs": {"maxFolderSize": 2000, "maxKeyLength": 1000},
}

server = None
identity = None


class FunctionalTest(unittest.TestCase):
    """In the place of Glare's class of that name, which starts Glare."""

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.glare_server = types.SimpleNamespace(
            max_uploaded_data="1099511627776",
            max_artifact_number="100",
            artifact_type_section="",
            sql_connection=None,
        )
        self.process = None
        self.addCleanup(self.stop_servers)

    def tearDown(self):
        super().tearDown()

    def start_servers(self, **_):
        for user in self.users.values():
            if user["token"]:
                body = identity.body(user["id"], user["tenant_id"], [user["role"]])
                identity.tokens[user["token"]] = body
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.glare_port = free.getsockname()[1]
        types_file = self.folder / "sample_artifact.json"
        types_file.write_text(json.dumps(sample()))
        conf = self.folder / "fresnel.conf"
        conf.write_text(self.configuration(types_file))
        self.log = self.folder / "log"
        with self.log.open("ab") as log:
            command = [server, "serve", "--config-file", conf]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.wait()

    def configuration(self, types_file):
        own = self.glare_server
        limits = {"max_uploaded_data": own.max_uploaded_data, "max_artifact_number": own.max_artifact_number}
        sections = configparser.ConfigParser()
        sections.read_string(own.artifact_type_section)
        for section in sections.sections():
            kind = section.removeprefix("artifact_type:")
            own_limits = {name: value for name, value in sections[section].items() if name.startswith("max_")}
            limits |= {f"{name}:{kind}": value for name, value in own_limits.items()}
        enabled = [name for name in own.enabled_artifact_types.split(",") if name != "all"]
        return f"""[DEFAULT]
bind_host = 127.0.0.1
bind_port = {self.glare_port}
allow_anonymous_access = true
[paste_deploy]
flavor = keystone
[keystone_authtoken]
auth_url = {identity.url}
auth_type = password
username = service
password = secret
project_name = service
user_domain_name = Default
project_domain_name = Default
[fresnel]
data_dir = {self.folder}
artifacts = true
artifact_types = {",".join(enabled)}
artifact_type_files = {types_file}
artifact_quotas = {",".join(f"{name}={value}" for name, value in limits.items())}
[glance_store]
stores = file,http
[import_filtering_opts]
allowed_hosts = 127.0.0.1
"""

    def wait(self):
        limit = time.monotonic() + START_LIMIT_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.glare_port)).close()
                return
            except ConnectionRefusedError:
                if self.process.poll() is not None or time.monotonic() > limit:
                    raise AssertionError(f"the server did not start:\n{self.log.read_text()}") from None
            time.sleep(0.01)

    def stop_servers(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _reset_database(self, _):
        pass


def replace_the_servers():
    """Puts that class where the tests look for Glare's."""
    import glare.tests

    package = types.ModuleType(PREFIX)
    package.__path__ = [str(pathlib.Path(glare.tests.__file__).parent / "functional")]
    package.FunctionalTest = FunctionalTest
    sys.modules[PREFIX] = package
    glare.tests.functional = package


def sample():
    schema = dict(importlib.import_module(PREFIX + ".test_schemas").fixtures["sample_artifact"])
    schema["properties"] = {name: {**field, **SIZES.get(name, {})} for name, field in schema["properties"].items()}
    return schema


def collect():
    def tests(suite):
        for member in suite:
            yield from tests(member) if isinstance(member, unittest.TestSuite) else [member]

    found = pkgutil.iter_modules(sys.modules[PREFIX].__path__)
    names = [one.name for one in found if one.name.startswith("test_") and one.name not in NOT_API]
    loader = unittest.TestLoader()
    modules = [importlib.import_module(f"{PREFIX}.{name}") for name in names]
    return sorted((test for module in modules for test in tests(loader.loadTestsFromModule(module))), key=short)


def short(test):
    return test.id().removeprefix(PREFIX + ".")


def waiting():
    lines = [line.split("#")[0].split() for line in (HERE / "waiting.txt").read_text().splitlines()]
    return {test: why for why, test in filter(None, lines)}


class Outcomes(unittest.TestResult):
    """Prints a line a test, and counts."""

    def __init__(self, listed):
        super().__init__()
        self.listed = listed
        self.counts = dict.fromkeys(("passed", "waiting", "failed", "passed but listed as waiting"), 0)

    def addSuccess(self, test):
        self.count("passed but listed as waiting" if short(test) in self.listed else "passed", test)

    def addSkip(self, test, reason):
        self.count("failed", test, f"skipped: {reason}")

    def addError(self, test, error):
        super().addError(test, error)
        self.count("waiting" if short(test) in self.listed else "failed", test, self.errors[-1][1])

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.count("waiting" if short(test) in self.listed else "failed", test, self.failures[-1][1])

    def count(self, outcome, test, report=""):
        self.counts[outcome] += 1
        print(f"{outcome} {short(test)}", flush=True)
        if outcome == "failed":
            print(report, file=sys.stderr, flush=True)

    def verdict(self):
        print(", ".join(f"{count} {outcome}" for outcome, count in self.counts.items() if count))
        wrong = self.counts["failed"] + self.counts["passed but listed as waiting"]
        return 1 if wrong or not self.counts["passed"] else 0


def main():
    global server, identity
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("regex", nargs="?", default="")
    parser.add_argument("--server", type=pathlib.Path, default=HERE.parent.parent / "target/debug/fresnel")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    replace_the_servers()
    selected = [test for test in collect() if re.search(arguments.regex, short(test))]
    if arguments.list:
        print("\n".join(short(test) for test in selected))
        return 0
    server, identity = arguments.server.resolve(), Identity()
    outcomes = Outcomes(waiting())
    for test in selected:
        test.run(outcomes)
    return outcomes.verdict()


if __name__ == "__main__":
    sys.exit(main())
