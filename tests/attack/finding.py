"""What was found, as a file that tells how to see it again."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Finding:
    """A case of a target that went wrong."""

    target: str
    #: What went wrong, as it is told from other things: two findings of one kind are one.
    kind: str
    #: What was seen: a traceback, or what the process wrote as it died.
    seen: str
    case: bytes

    def write(self, folder: Path) -> Path:
        """Write it to a file of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(f"{self.target} {self.kind}".encode()).hexdigest()[:8]
        path = folder / f"{self.target}-{digest}.json"
        how = f'make attack ARGS="--repeat {path}"'
        text = base64.b64encode(self.case).decode()
        path.write_text(json.dumps({**asdict(self), "case": text, "how": how}, indent=1) + "\n", encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Finding:
        """Read such a file."""
        said = json.loads(path.read_text(encoding="utf-8"))
        return cls(said["target"], said["kind"], said["seen"], base64.b64decode(said["case"]))
