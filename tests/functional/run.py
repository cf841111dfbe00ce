"""Glance's own functional API tests, as published in its package, against Fresnel.

    run.py [--server BINARY | --glance] [--list] [REGEX]

Every test calls the API through one door (`door.py`), behind which stands a process of its own, configured as
the test configures Glance. What waits for a later feature is in `waiting.txt`; a listed test that passes fails
the run (but for `raced` ones), as does any other that fails or is skipped: the list only shrinks. REGEX selects
tests by their ids.

--server  the program (target/debug/fresnel)
--glance  Glance itself in its place, under uWSGI: what fails there cannot be passed through this door. The list
          is not looked at then.
--list    only the ids
Exit status 0: nothing failed, and the list is right.
"""

import argparse
import importlib
import os
import pathlib
import pkgutil
import re
import signal
import socket
import sys
import tempfile
import time
import unittest

import testtools

HERE = pathlib.Path(__file__).resolve().parent
PREFIX = "glance.tests.functional."
# About Glance's processes and its log, not about the API.
NOT_API = ("test_glance_manage", "test_logging", "test_sqlite")
# Listed, and may pass.
RACED = "raced"


def main():
    arguments = parse()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # where the package leaves a log as it is imported
        import glance.tests

        # The tests open their data files by paths from the folder that holds the package.
        os.chdir(pathlib.Path(glance.__file__).parent.parent)
    selected = [test for test in collect() if re.search(arguments.regex, short(test))]
    if arguments.list:
        print("\n".join(short(test) for test in selected))
        return 0
    import door

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no server is left behind
    program = door.Glance if arguments.glance else lambda: door.Fresnel(arguments.server)
    outcomes = Outcomes({} if arguments.glance else waiting())
    with door.opened(program):
        for test in selected:
            test.run(outcomes)
    return outcomes.verdict()


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("regex", nargs="?", default="")
    parser.add_argument("--server", type=pathlib.Path, default=HERE.parent.parent / "target/debug/fresnel")
    parser.add_argument("--glance", action="store_true")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    arguments.server = arguments.server.resolve()
    return arguments


def collect():
    """Every test that goes through the door, in order of its id."""
    from glance.tests import functional

    def tests(suite):
        for member in suite:
            yield from tests(member) if isinstance(member, unittest.TestSuite) else [member]

    folders = {PREFIX: functional.__path__, PREFIX + "v2.": [functional.__path__[0] + "/v2"]}
    modules = [
        prefix + found.name
        for prefix, path in folders.items()
        for found in pkgutil.iter_modules(path)
        if found.name.startswith("test_") and found.name not in NOT_API
    ]
    loader = unittest.TestLoader()
    found = [
        test
        for module in modules
        for test in tests(loader.loadTestsFromModule(importlib.import_module(module)))
        if isinstance(test, functional.SynchronousAPIBase)
    ]
    return sorted(found, key=short)


def short(test):
    return test.id().removeprefix(PREFIX)


def waiting():
    """{id: why} of `waiting.txt`. Those of `network` wait only where a name of the Internet has no address."""
    lines = [line.split("#")[0].split() for line in (HERE / "waiting.txt").read_text().splitlines()]
    reachable = has_address("example.com")
    return {test: why for why, test in filter(None, lines) if not (why == "network" and reachable)}


def has_address(host):
    try:
        return bool(socket.getaddrinfo(host, 80))
    except OSError:
        return False


class Outcomes(testtools.TestResult):
    """Prints a line a test, and counts."""

    def __init__(self, waiting):
        super().__init__()
        self.waiting = waiting
        self.counts = {"passed": 0, "waiting": 0, "skipped": 0, "failed": 0, "passed but listed as waiting": 0}

    def startTest(self, test):
        super().startTest(test)
        self.started = time.monotonic()

    def addSuccess(self, test, details=None):
        listed = self.waiting.get(short(test), RACED) != RACED
        self.count("passed but listed as waiting" if listed else "passed", test)

    def addSkip(self, test, reason=None, details=None):
        super().addSkip(test, reason, details)
        self.count("waiting" if short(test) in self.waiting else "skipped", test, reason)

    def addError(self, test, error=None, details=None):
        super().addError(test, error, details)
        self.count("waiting" if short(test) in self.waiting else "failed", test, self.errors[-1][1])

    def addFailure(self, test, error=None, details=None):
        super().addFailure(test, error, details)
        self.count("waiting" if short(test) in self.waiting else "failed", test, self.failures[-1][1])

    def count(self, outcome, test, report=""):
        self.counts[outcome] += 1
        seconds = time.monotonic() - self.started
        print(f"{outcome} {short(test)} {seconds:.1f} s", flush=True)
        if outcome == "failed":
            print(report, file=sys.stderr, flush=True)

    def verdict(self):
        print(", ".join(f"{count} {outcome}" for outcome, count in self.counts.items() if count))
        wrong = sum(count for outcome, count in self.counts.items() if outcome not in ("passed", "waiting"))
        return 1 if wrong or not self.counts["passed"] else 0


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    sys.exit(main())
