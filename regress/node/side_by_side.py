"""
All node tests, a file a process, as many files at a time as there are
processors: they wait more than they work.  Prints TAP.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
RUN = HERE / "run"


def files():
    """Those that are likely to take long come first."""
    return sorted(HERE.glob("test_*.py"), key=lambda path:
                  (-path.read_text().count("def test_"), path.name))


def run(path):
    return subprocess.run([RUN, path], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True,
                          errors="backslashreplace", check=False)


class Points:
    """The points of all files, numbered anew."""

    def __init__(self):
        self.number = 0
        self.good = True

    def put(self, good, title):
        self.number += 1
        self.good = self.good and good
        print(f"{'ok' if good else 'not ok'} {self.number} - {title}",
              flush=True)

    def pass_on(self, path, done):
        """What a run has printed; that it died is a point, too."""
        failed = False
        for line in done.stdout.splitlines():
            point = re.match(r"(not )?ok \d+ - (.*)", line)
            if point is not None:
                failed = failed or bool(point[1])
                self.put(not point[1], point[2])
            elif line.startswith("Bail out!"):
                print(f"# {line}")
            elif not re.match(r"1\.\.\d+$", line):
                print(line if line.startswith("#") else f"# {line}")
        if done.returncode != 0 and not failed:
            self.put(False, f"{path.name} ends well")


def main():
    points = Points()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {pool.submit(run, path): path for path in files()}
        for job in concurrent.futures.as_completed(jobs):
            points.pass_on(jobs[job], job.result())
    print(f"1..{points.number}")
    return 0 if points.good else 1


sys.exit(main())
