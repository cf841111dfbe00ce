"""What two passes of Tempest did, beside `waiting.txt`: results.py [--selected] SUBUNIT...

A line for every test that is not as it must be, then the numbers. With --selected only some tests were run, and
what is listed and did not run is no matter. Exit status 0: as it must be.
"""

import pathlib
import re
import sys

import subunit
import testtools

STATES = {"success": "passed", "xfail": "passed", "skip": "skipped"}


def main():
    streams = [argument for argument in sys.argv[1:] if argument != "--selected"]
    ran = {}
    for stream in streams:
        ran.update(results(stream))
    waiting = listed(pathlib.Path(__file__).with_name("waiting.txt"))
    counts = {"passed": 0, "waiting": 0}
    for test, (state, why) in sorted(ran.items()):
        outcome = {(True, True): "passed but listed as waiting", (True, False): "passed", (False, True): "waiting"}.get(
            (state == "passed", test in waiting), state
        )
        counts[outcome] = counts.get(outcome, 0) + 1
        if outcome not in ("passed", "waiting"):
            print(f"{outcome}: {test}{why and ': ' + why}")
    lost = [] if "--selected" in sys.argv else sorted(waiting.keys() - ran.keys())
    for test in lost:
        print(f"listed, but did not run: {test}")
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    return 0 if counts["passed"] and counts.keys() == {"passed", "waiting"} and not lost else 1


def results(path):
    """{id without its tags: (state, the last line of its complaint)}."""
    found = {}

    def ended(test):
        state = STATES.get(test["status"], "failed")
        texts = [detail.as_text().strip() for name, detail in test["details"].items() if name in ("reason", "traceback")]
        why = texts[-1].splitlines()[-1] if texts and texts[-1] and state != "passed" else ""
        found[re.sub(r"\[[^]]*\]", "", test["id"])] = (state, why)

    result = testtools.StreamToDict(ended)
    result.startTestRun()
    with open(path, "rb") as stream:
        subunit.ByteStreamToStreamResult(stream, non_subunit_name="stdout").run(result)
    result.stopTestRun()
    return found


def listed(path):
    """{id: the feature that it waits for}."""
    lines = [line.split("#")[0].split(maxsplit=1) for line in path.read_text().splitlines()]
    return {line[1].strip(): line[0] for line in lines if line}


if __name__ == "__main__":
    sys.exit(main())
