# SPDX-License-Identifier: GPL-2.0-or-later
"""unittest with TAP on standard output, so that meson counts each case."""
import os
import sys
import time
import traceback
import unittest


class TapResult(unittest.TestResult):
    count = 0
    broken = None  # the case that runs, when a part of it failed
    began = time.monotonic()

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def say(self, ok, test, more=""):
        self.count += 1
        print(f"# {time.monotonic() - self.began:.1f} s", flush=True)
        print(f"{'ok' if ok else 'not ok'} {self.count} {test.id().split('.', 1)[-1]}{more}", flush=True)

    def explain(self, err):
        for line in "".join(traceback.format_exception(*err)).splitlines():
            print(f"# {line}", flush=True)

    def addSuccess(self, test):
        self.say(True, test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.say(False, test)
        self.explain(err)

    def addError(self, test, err):
        super().addError(test, err)
        self.say(False, test)
        self.explain(err)

    def addSubTest(self, test, subtest, err):
        """Said once a case, where it ends: unittest calls nothing else when a part of it failed."""
        super().addSubTest(test, subtest, err)
        if err:
            print(f"# {subtest}", flush=True)
            self.explain(err)
            self.broken = test

    def stopTest(self, test):
        super().stopTest(test)
        if self.broken is test:
            self.say(False, test)
        self.broken = None

    def addSkip(self, test, reason):
        self.say(True, test, f" # SKIP {reason}")


def count(result):
    """For a run that is not meson's: tests/summary.py adds these up."""
    target = os.environ.get("LIFEBOAT_TEST_COUNT")
    if target:
        bad, skipped = len(result.failures) + len(result.errors), len(result.skipped)
        with open(target, "a", encoding="ascii") as f:
            f.write(f"{result.count - bad - skipped} {bad} {skipped}\n")


def main(module="__main__", counted=False):
    names = sys.argv[1:]
    loader = unittest.defaultTestLoader
    suite = loader.loadTestsFromNames(names, sys.modules[module]) if names else \
        loader.loadTestsFromModule(sys.modules[module])
    print(f"1..{suite.countTestCases()}", flush=True)
    result = TapResult()
    suite.run(result)
    if counted:
        count(result)
    sys.exit(0 if result.wasSuccessful() else 1)
