"""A target's process, watched: whether it dies, hangs, or tells of a finding."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from attack.box import Box
from attack.finding import Finding
from attack.smaller import smaller
from attack.worker import target_of

TESTS = Path(__file__).parents[1]
#: In memory, if the system has such a place: most cases are files that are read once.
_ROOM = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


@dataclass
class Outcome:
    """What came of an attack."""

    executions: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    learned: list[bytes] = field(default_factory=list)


def watched(
    name: str, place: str, seed: int, seconds: float, most: int = 2**62, deaths: int = 20, slower: float = 1
) -> Outcome:
    """Attack the target called `name`, which lies at `place`; after a death begin anew, with other cases.

    `slower` says by how much the machine may be slower than one that does nothing else.
    """
    outcome, end = Outcome(), time.monotonic() + seconds
    target, again = target_of(place), 0
    patience = target.patience * slower
    while (left := end - time.monotonic()) > 0 and outcome.executions < most:
        given = ["--seed", str(seed + 1000 * again), "--seconds", str(left)]
        part, died = _process(name, place, [*given, "--most", str(most - outcome.executions)], patience)
        if died is not None and target.shrinks and "died" in died.kind:  # each trial of a hang takes as long
            died = _smaller(died, place, patience)
        for finding in [*part.findings, *([] if died is None else [died])]:
            if finding.kind not in {known.kind for known in outcome.findings}:
                outcome.findings.append(finding)
        outcome.executions += part.executions
        outcome.notes, outcome.learned = part.notes, outcome.learned + part.learned
        if died is None:
            break
        again += 1
        if again == deaths:
            break
    return outcome


def repeated(finding: Finding, place: str) -> Finding | None:
    """Judge the case of a finding once more; give what is found now."""
    return _once(finding.target, place, finding.case, target_of(place).patience)


def _smaller(finding: Finding, place: str, patience: float) -> Finding:
    """Make the case smaller of which a process died."""

    def same(case: bytes) -> bool:
        now = _once(finding.target, place, case, patience)
        return now is not None and now.kind == finding.kind

    return Finding(finding.target, finding.kind, finding.seen, smaller(finding.case, same, 30))


def _once(name: str, place: str, case: bytes, patience: float) -> Finding | None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "case")
        path.write_bytes(case)
        part, died = _process(name, place, ["--case", str(path)], patience)
    return next(iter(part.findings), died)


def _process(name: str, place: str, arguments: list[str], patience: float) -> tuple[Outcome, Finding | None]:
    """Run a process to its end; give what it told, and what it died of."""
    outcome = Outcome()
    paths = [str(TESTS), *([os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else [])]
    around = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    with TemporaryDirectory(dir=_ROOM) as folder:
        box = Box(Path(folder, "box"))
        out, err = Path(folder, "out"), Path(folder, "err")
        work = Path(folder, "work")
        work.mkdir()
        command = [sys.executable, "-m", "attack.worker", place, "--box", str(Path(folder, "box")), *arguments]
        with out.open("wb") as stdout, err.open("wb") as stderr:
            # A session of its own: Ctrl-C is for the runner, which ends the process then.
            child = subprocess.Popen(
                command, cwd=work, env=around, stdout=stdout, stderr=stderr, start_new_session=True
            )
            try:
                hung = _waited(child, box, patience)
            finally:
                _end(child)
        for line in out.read_text(encoding="utf-8").splitlines():
            said = json.loads(line)
            if "kind" in said:
                outcome.findings.append(Finding(name, said["kind"], said["seen"], base64.b64decode(said["case"])))
            else:
                outcome.executions, outcome.notes = said["executions"], said["notes"]
                outcome.learned = [base64.b64decode(case) for case in said["learned"]]
        outcome.executions = max(outcome.executions, box.count)
        if child.returncode == 0:
            return outcome, None
        why = f"no answer for {patience:g} s" if hung else _death(child.returncode)
        wrote = err.read_text(encoding="utf-8", errors="replace")
        return outcome, Finding(name, why, f"{why}\n{wrote[-8000:]}", box.case)


def _waited(child: subprocess.Popen[bytes], box: Box, patience: float) -> bool:
    """Wait for the end; tell whether it hung, and was ended for that."""
    beat, since = box.beat, time.monotonic()
    while True:
        try:
            child.wait(0.05 if patience < 10 else 0.2)
        except subprocess.TimeoutExpired:
            pass
        else:
            return False
        if box.beat != beat:
            beat, since = box.beat, time.monotonic()
        # The machine may be busy: to be started takes what it takes, and with the first case more is imported.
        elif time.monotonic() - since > (60 if beat == 0 else patience + 5 * (beat <= 2)):
            child.send_signal(signal.SIGABRT)  # on which it writes where it is
            child.wait(10)
            return True


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the process and what it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _death(code: int) -> str:
    return f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
