"""Write docs/gallery.md anew from the files of this folder: ``python docs/gallery/make.py``. Takes seconds.

A file is the whole of its entry: a title and what it is about, code with one mistake, what to check it with, and, in
the comments at its end, the mistake. What the page says of a mistake stands there and nowhere else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

import numpy as np

from chainrule import ArrayCheck, GradientReport
from chainrule.checking.files import check_file

HERE = Path(__file__).parent
PAGE = HERE.parent / "gallery.md"
#: The files, in the order of the page.
GROUPS = {
    "Losses": (
        "mean_absolute_error",
        "huber_loss",
        "binary_cross_entropy",
        "cross_entropy",
        "focal_loss",
        "weight_decay",
    ),
    "Activations": ("leaky_relu", "gelu", "softmax"),
    "Layers": ("affine", "softmax_regression", "add_row", "batch_norm", "layer_norm", "dropout", "embedding"),
    "Rows and images": ("convolution", "padding", "max_pooling", "average_pooling", "upsampling"),
    "Sequences": ("lstm", "attention"),
    "Networks": ("hidden_layer", "tied_weights", "step_too_early"),
    "Graphs and formulas": ("shared_node", "division"),
}
#: Where the code ends and the mistake begins.
LINE = "# ---- The mistake. Look here when you have mended it. ----\n"
#: Relative differences above this are drawn as wrong.
WRONG = 1e-7


@dataclass(frozen=True)
class Entry:
    """What a file holds."""

    name: str
    title: str
    about: str
    #: All above the mistake but for what the file is about.
    code: str
    what: str
    in_the_report: str
    met: str
    links: tuple[str, ...]
    #: The lines that are wrong, and what they are mended with.
    wrong: str
    right: str

    @property
    def mended(self) -> str:
        """The code as it should be."""
        if self.code.count(self.wrong) != 1:
            raise ValueError(f"{self.name}.py: the lines to be mended stand {self.code.count(self.wrong)} times in it")
        return self.code.replace(self.wrong, self.right)


def read(name: str) -> Entry:
    """Take a file apart."""
    code, _, mistake = (HERE / f"{name}.py").read_text(encoding="utf-8").partition(LINE)
    head, code = code.split("\n", 1)
    title, about = head.strip('"').split(": ", 1)
    said, _, lines = mistake.partition("# Mended:\n")
    parts = re.split(r"(?:What is wrong|In the report|Met in): ", " ".join(re.sub(r"^#", "", said, flags=re.M).split()))
    met, *links = parts[3].split(" https://")
    wrong, right = ("".join(f"{line}\n" for line in re.findall(rf"^# \{sign} (.*)$", lines, re.M)) for sign in "-+")
    return Entry(
        name, title, about[0].upper() + about[1:], code.strip() + "\n", parts[1].strip(), parts[2].strip(),
        met.rstrip(":"), tuple(f"https://{link}" for link in links), wrong, right,
    )  # fmt: skip


def report_on(name: str) -> GradientReport:
    """Check the one thing that is in a file."""
    (check,) = check_file(str(HERE / f"{name}.py"))
    if check.report is None:
        raise ValueError(check.line)
    return check.report


def places(array: ArrayCheck) -> str | None:
    """Draw which entries of an array are wrong, if not all of them are."""
    if array.verdict != "wrong" or array.relative is None or array.relative.ndim > 2:
        return None
    wrong = np.atleast_2d(array.relative > WRONG)
    return None if wrong.all() else "\n".join(" ".join("x" if entry else "." for entry in row) for row in wrong)


def section(entry: Entry, report: GradientReport) -> str:
    """Give an entry of the page."""
    drawings = {array.name: places(array) for array in report.arrays}
    maps = "".join(
        f"Wrong entries of {name}:\n\n```text\n{drawn}\n```\n\n" for name, drawn in drawings.items() if drawn
    )
    diff = indent(entry.wrong, "-") + indent(entry.right, "+")
    met = f"{entry.met[0].upper()}{entry.met[1:]}: {', '.join(f'[{name_of(link)}]({link})' for link in entry.links)}"
    return f"""### {entry.title}

{entry.about}

```python
{entry.code}```

The report on `docs/gallery/{entry.name}.py`:

```text
{report}
```

<details><summary>The mistake</summary>

**What is wrong:** {entry.what}

**In the report:** {entry.in_the_report}

{maps}**Met in:** {met}.

```diff
{diff}```

</details>
"""


def name_of(link: str) -> str:
    """Give what a link leads to in short: ``owner/repository#7``."""
    owner, repository, *rest = link.removeprefix("https://github.com/").split("/")
    return f"{owner}/{repository}#{rest[1]}" if rest[0] in ("issues", "pull") else f"{owner}/{repository}"


def page() -> str:
    """Give the whole page."""
    entries = {name: (read(name), report_on(name)) for names in GROUPS.values() for name in names}
    named = sum(report.cause is not None for _, report in entries.values())
    rows = [
        f"| [{entry.title}](#{re.sub('[^a-z]+', '-', entry.title.lower())}) |"
        f" {', '.join(a.name for a in report.arrays if a.verdict == 'wrong')} | {report.cause or ''} |"
        for entry, report in entries.values()
    ]
    introduction = INTRODUCTION.format(count=len(entries), named=named, line=LINE.split(".")[0])
    groups = "\n".join(
        f"## {group}\n\n" + "\n".join(section(*entries[name]) for name in names) for group, names in GROUPS.items()
    )
    return f"{introduction}\n{groups}\n{TABLE}{chr(10).join(rows)}\n"


INTRODUCTION = """\
# A gallery of wrong gradients

<!-- Written by docs/gallery/make.py from the files in docs/gallery: change those. -->

{count} mistakes in hand-written gradients that were met in public code: in frameworks, in solutions to exercises, in
textbooks. Each is made anew in a few lines of our own; where it was met stands with it. What the check says is printed
below the code.

**As an exercise.** Each is a file in `docs/gallery` of the repository. Take one, look for the mistake, ask the check,
mend it, ask again:

<!-- not run: the file is in the repository -->
```console
$ sed '/^{line}/,$d' docs/gallery/affine.py > affine.py    # without the answer, which stands at the end
$ chainrule check affine.py
running affine.py, as python would
wrong     Affine: b[1]: analytic -0.5182, numeric -2.591; cause: factor 1/N (N = 5, a mean for a sum)
```

`--verbose` prints the whole report; [how to read it](gradient-check.md#reading-a-report). Questions for a class:

- Which arrays are wrong, and which are right? What do the wrong ones share on the way back?
- Are all entries of an array wrong, or some? Look at `report.arrays[0].relative`; `report.plot()` draws it.
- Would it be found with other numbers: a batch of one, a stride of 1, gamma = 1, no word twice?
- For {named} of the {count} the check names a cause. Why not for the others?
"""

TABLE = """\
## What the check says of them

| | wrong | cause |
| --- | --- | --- |
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
