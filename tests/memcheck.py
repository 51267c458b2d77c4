"""``make memcheck``: the tests of the extension under valgrind's memcheck, which sees each read and write out of place.

Python and NumPy are not built for it, and have errors of their own there: what counts is an error with a frame of the
extension's in its stack. The portable kernels run, since valgrind knows no AVX-512; the gemm crate chooses by itself
what valgrind says that the CPU has. Some fifty times as slow as without.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

TESTS = Path(__file__).parent


def errors_of_ours(report: Path) -> list[str]:
    """Give the errors of an XML report of valgrind's that have a frame of the extension's, as text."""
    found = []
    for error in ElementTree.parse(report).iter("error"):
        frames = [
            (frame.findtext("obj", ""), frame.findtext("fn", frame.findtext("ip", ""))) for frame in error.iter("frame")
        ]
        if any("_kernels" in Path(holds).name for holds, _ in frames):
            what = error.findtext("what") or error.findtext("xwhat/text") or ""
            found.append("\n  ".join([what, *(f"{function} in {Path(holds).name}" for holds, function in frames[:12])]))
    return found


def main() -> int:
    """Run the tests, or those that pytest's arguments name, and print what was found."""
    if shutil.which("valgrind") is None:
        print("make memcheck needs valgrind (on Debian and Ubuntu: apt install valgrind)", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        under = ["valgrind", "--num-callers=40", "--xml=yes", f"--xml-file={report}"]
        tests = ["-m", "pytest", "--quiet", "--timeout=0", "-p", "no:cacheprovider"]
        done = subprocess.run(
            [*under, sys.executable, *tests, *(sys.argv[1:] or [str(TESTS / "test_kernels.py")])],
            env={**os.environ, "PYTHONMALLOC": "malloc", "CHAINRULE_SIMD": "portable", "CHAINRULE_NUM_THREADS": "2"},
            check=False,
        )
        found = errors_of_ours(report)
    print("\n\n".join([*found, f"{len(found)} errors with a frame of the extension's"]))
    return 1 if found or done.returncode != 0 else 0


if __name__ == "__main__":
    sys.exit(main())
