// The page "Try it": chainrule in the browser, in Python compiled to WebAssembly (Pyodide). Nothing is fetched before the
// first button is pressed, and nothing that is typed leaves the page.

const page = document.getElementById("try");

// What the buttons call. The command line does the work, so that the page shows what a terminal would.
const HARNESS = `
import contextlib
import io
import json
from pathlib import Path

from chainrule.cli import main


def call(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as end:
            code = end.code
    return json.dumps([code, out.getvalue() + (err.getvalue() if code == 2 else "")])


def check(source):
    Path("layer.py").write_text(source, encoding="utf-8")
    return call("check", "layer.py")


def graph(expression, values):
    return call("graph", "--format", "svg", "--", expression, *values.split())
`;

let starting = null; // one runtime, however many buttons are pressed while it starts

async function start() {
  say("Fetching Python and NumPy, some 15 MB. This happens once …");
  let python;
  try {
    const { loadPyodide } = await import(page.dataset.runtime);
    python = await loadPyodide();
    await python.loadPackage("micropip");
  } catch (error) {
    throw new Error(`Python could not be fetched. Are you online? Without a connection, install chainrule and run: chainrule check FILE.py\n${error}`);
  }
  say("Installing chainrule …");
  try {
    await python.runPythonAsync("import micropip; await micropip.install('chainrule')");
  } catch (error) {
    throw new Error(`Python is here, but there is no chainrule for it yet: install chainrule and run: chainrule check FILE.py\n${error}`);
  }
  await python.runPythonAsync(HARNESS);
  return python;
}

function say(text) {
  page.querySelector("output").textContent = text;
}

// Call a function of the harness with strings: its exit code, and what it printed.
async function ask(name, ...values) {
  starting ??= start();
  const python = await starting.catch((error) => {
    starting = null; // the next press tries again
    throw error;
  });
  values.forEach((value, i) => python.globals.set(`value${i}`, value));
  const found = await python.runPythonAsync(`${name}(${values.map((_, i) => `value${i}`).join(", ")})`);
  return JSON.parse(found);
}

// A button that shows what `work` gives, and cannot be pressed meanwhile.
function onPress(id, work) {
  const button = document.getElementById(id);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await work();
    } catch (error) {
      say(error.message);
    } finally {
      button.disabled = false;
    }
  });
}

const field = (id) => document.getElementById(id).value;

onPress("try-check", async () => {
  const [, text] = await ask("check", field("try-source"));
  say(text);
});

onPress("try-graph", async () => {
  const [code, text] = await ask("graph", field("try-expression"), field("try-values"));
  say(code === 0 ? "" : text);
  // As a picture, whatever is in it runs no script.
  document.getElementById("try-picture").src = code === 0 ? `data:image/svg+xml,${encodeURIComponent(text)}` : "";
});
