#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Count test results.

summary.py JUNIT.xml LABEL STATUS   name what failed, with the end of what it said, and what was skipped; add the counts
                                    to $LIFEBOAT_TEST_COUNT. STATUS is what meson ended with: it knows of a program that
                                    did not end, the XML may not
summary.py --total FILE             add up, print "N passed, N failed"; a skip counts as failed when $CI is set
"""
import itertools
import os
import sys
import xml.etree.ElementTree as ET

LINES = 12  # of what a failed case said

def said(suite, case):
    """The last of the comments that follow the "not ok" of a case."""
    lines = (suite.findtext("system-out") or "").splitlines()
    at = next((i for i, line in enumerate(lines) if line.startswith("not ok ") and line.endswith(f" {case}")), len(lines))
    return [*itertools.takewhile(lambda line: line.startswith("#"), lines[at + 1:])][-LINES:]


def count(path, label, status):
    passed = failed = skipped = 0
    root = ET.parse(path)
    for suite, case in ((suite, case) for suite in root.iter("testsuite") for case in suite.iter("testcase")):
        name = f"{label}: {case.get('classname', '')} {case.get('name', '')}"
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
            print("\n".join([f"FAILED  {name}", *said(suite, name.split()[-1])]))
        elif case.find("skipped") is not None:
            skipped += 1
            print(f"SKIPPED {name}")
        else:
            passed += 1
    if passed + failed + skipped == 0:
        failed = 1
        print(f"FAILED  {label}: no test ran")
    if status and not failed:
        failed = 1
        print(f"FAILED  {label}: a test program ran out of its time, or ended badly; see above")
    add(passed, failed, skipped)
    return failed


def add(passed, failed, skipped):
    target = os.environ.get("LIFEBOAT_TEST_COUNT")
    if target:
        with open(target, "a", encoding="ascii") as f:
            f.write(f"{passed} {failed} {skipped}\n")


def total(path):
    with open(path, encoding="ascii") as f:
        rows = [[int(n) for n in line.split()] for line in f]
    passed, failed, skipped = (sum(column) for column in zip(*rows))
    if os.environ.get("CI"):
        failed += skipped
        skipped = 0
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return failed


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--total":
        sys.exit(1 if total(sys.argv[2]) else 0)
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(1 if count(sys.argv[1], sys.argv[2], int(sys.argv[3])) else 0)
