"""How Sphinx builds these pages: ``make docs``. Needs no network, and what it makes asks for none."""

from __future__ import annotations

import chainrule

project = "chainrule"
author = "The chainrule developers"
project_copyright = "2026, The chainrule developers"
version = release = chainrule.__version__

extensions = [
    "myst_nb",  # Markdown, and notebooks
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "conf.py", "gallery", "pictures"]
# benchmarks.md is what the benchmark prints.
suppress_warnings = ["myst.header"]
html_theme = "furo"
html_title = f"chainrule {version}"
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["wide.css"]

# --- Markdown and notebooks ---
myst_heading_anchors = 3
# Plain scripts with cells, so that they are read, compared and tested as any other file; run anew for each build.
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_output_stderr = "remove"  # on a slow machine, the bar of a run that takes long

# --- docstrings ---
# `sigmoid` is a link if something of that name is documented; an argument, `x`, has no page, and that is no mistake.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [("py:obj", ".*")]
autodoc_typehints = "none"  # shapes and dtypes, which no annotation tells, stand in the docstring
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_xref_param_type = False

# --- the copy button leaves out the prompt, and the output under it ---
copybutton_prompt_text = "$ "
