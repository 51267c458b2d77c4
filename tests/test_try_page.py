"""The page that runs chainrule in a browser, with a stand-in for Pyodide that has the page's Python run here.

What it cannot show: that Pyodide itself starts, and that a wheel for it can be built.
"""

from __future__ import annotations

import ast
import asyncio
import http.server
import inspect
import json
import re
import shutil
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[1] / "docs"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

#: What of Pyodide the page uses: the Python goes to the server that this module came from.
RUNTIME = """
const post = async (what) => {
  const answer = await fetch("/python", { method: "POST", body: JSON.stringify(what) });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
};
export async function loadPyodide() {
  const globals = {};
  return {
    globals: { set: (name, value) => { globals[name] = value; } },
    loadPackage: async () => {},
    runPythonAsync: (code) => post({ globals, code }),
  };
}
"""
#: Press a button, and say when its work is done.
PRESS = """
<script type="module">
import "./_static/try.js";
for (const id of %s) {
  const button = document.getElementById(id);
  button.click();
  while (button.disabled) await new Promise((done) => setTimeout(done, 10));
}
document.body.dataset.done = "yes";
</script>
"""


class Page(HTMLParser):
    """What of the page after the press is looked at: the text of <output>, the picture, and whether all was done."""

    def __init__(self, dom: str) -> None:
        super().__init__()
        self.output, self.picture, self.done, self._inside = "", "", False, False
        self.feed(dom)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside |= tag == "output"
        self.done |= tag == "body" and dict(attrs).get("data-done") == "yes"
        if tag == "img":
            self.picture = dict(attrs).get("src") or ""

    def handle_endtag(self, tag: str) -> None:
        self._inside &= tag != "output"

    def handle_data(self, data: str) -> None:
        self.output += data if self._inside else ""


def run_python(code: str, names: dict[str, Any]) -> Any:
    """Run `code` in `names` as Pyodide does: ``await`` at the top, and the value of a last expression."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<page>", "exec"), names)
    if not isinstance(last, ast.Expr):
        return None
    found = eval(compile(ast.Expression(last.value), "<page>", "eval", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    return asyncio.run(found) if inspect.iscoroutine(found) else found


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the address of a server with the page, and what it is to serve."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    served: dict[str, Any] = {"installed": []}

    async def install(what: str) -> None:
        served["installed"].append(what)
        if served.get("refuses"):
            raise ValueError("Can't find a pure Python 3 wheel")

    micropip = types.ModuleType("micropip")
    monkeypatch.setitem(vars(micropip), "install", install)
    monkeypatch.setitem(sys.modules, "micropip", micropip)

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def answer(self, status: int, kind: str, body: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body.encode())

        def do_GET(self) -> None:
            if self.path == "/try.html":
                self.answer(200, "text/html; charset=utf-8", served["page"])
            elif self.path == "/_static/try.js":
                self.answer(200, "text/javascript", (DOCS / "static" / "try.js").read_text(encoding="utf-8"))
            elif self.path == "/runtime.mjs":
                self.answer(200, "text/javascript", RUNTIME)
            else:
                self.answer(404, "text/plain", "")

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            names.update(asked["globals"])
            try:
                self.answer(200, "application/json", json.dumps(run_python(asked["code"], names)))
            except Exception as error:
                self.answer(500, "text/plain", f"{type(error).__name__}: {error}")

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/try.html", served
        server.shutdown()
        thread.join()


def pressed(served: tuple[str, dict[str, Any]], *buttons: str, runtime: str = "/runtime.mjs", **fields: str) -> Page:
    """Give the page after `buttons` were pressed, one after the other, `fields` being what was typed before."""
    (html,) = re.findall(r"^```\{raw\} html\n(.*?)^```$", (DOCS / "try.md").read_text(encoding="utf-8"), re.M | re.S)
    html, times = re.subn(r'data-runtime="https://[^"]*/pyodide\.mjs"', f'data-runtime="{runtime}"', html)
    assert times == 1
    typed = "".join(f"document.getElementById('try-{id}').value = {json.dumps(text)};" for id, text in fields.items())
    address, what = served
    press = PRESS % json.dumps([f"try-{name}" for name in buttons])
    what["page"] = f"<!doctype html><body>{html}<script>{typed}</script>{press}"
    assert CHROMIUM is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom"]
    command = [CHROMIUM, *options, "--virtual-time-budget=60000", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    page = Page(done.stdout)
    assert page.done, done.stdout
    return page


def test_the_layer_on_the_page_is_wrong_and_the_page_says_so_as_a_terminal_would(served: Any) -> None:
    page = pressed(served, "check")
    assert page.output.startswith("wrong     Scale(gamma (4,)).forward(x (5, 4)): gamma[")
    assert page.output.endswith("; cause: factor 1/N (N = 5, a mean for a sum)\n")
    assert served[1]["installed"] == ["chainrule"]


def test_the_mended_layer_is_right_and_python_is_started_once(served: Any) -> None:
    source = (DOCS / "try.md").read_text(encoding="utf-8")
    mended = unescape(re.findall(r"<textarea[^>]*>\n(.*?)</textarea>", source, re.S)[0]).replace("mean(", "sum(")
    page = pressed(served, "check", "check", source=mended)
    assert page.output.startswith("right     Scale(gamma (4,)).forward(x (5, 4))")
    assert served[1]["installed"] == ["chainrule"]


def test_an_expression_is_drawn(served: Any) -> None:
    page = pressed(served, "graph", expression="(a + b) * -c", values="a=2 b=3  c=4")
    assert page.output == ""
    assert page.picture.startswith("data:image/svg+xml,%3Csvg")


@pytest.mark.parametrize(
    ("button", "fields", "said"),
    [
        ("check", {"source": "def f(:"}, "SyntaxError"),
        ("check", {"source": "<b>x</b>"}, "SyntaxError"),
        ("check", {"source": "x = 1"}, "layer.py"),
        ("graph", {"expression": "x +", "values": "x=1"}, "chainrule"),
        ("graph", {"expression": "-x", "values": ""}, "chainrule"),
    ],
)
def test_what_is_wrong_with_what_was_typed_is_said(button: str, fields: dict[str, str], said: str, served: Any) -> None:
    page = pressed(served, button, **fields)
    assert said in page.output
    assert "Traceback" not in page.output
    assert page.picture == ""


def test_offline_it_says_so_and_what_to_do(served: Any) -> None:
    page = pressed(served, "check", runtime="/nowhere.mjs")
    assert page.output.startswith("Python could not be fetched. Are you online?")
    assert "chainrule check FILE.py" in page.output


def test_without_a_wheel_it_says_so(served: Any) -> None:
    served[1]["refuses"] = True
    page = pressed(served, "check", "check")
    assert page.output.startswith("Python is here, but there is no chainrule for it yet")
    assert "Can't find a pure Python 3 wheel" in page.output
    assert len(served[1]["installed"]) == 2  # tried anew
