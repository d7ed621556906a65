"""How Sphinx makes the documentation's site of this folder: ``tox -e docs``. It needs no network."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the pages that are generated, by the same functions as in the tests

import charkit  # noqa: E402
from guide import site  # noqa: E402

project = "charkit"
author = "The charkit authors"
copyright = "The charkit authors"  # noqa: A001 - Sphinx's name
version = release = charkit.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx_copybutton"]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
root_doc = "index"
nitpicky = False
smartquotes = False  # an option's two hyphens are no dash
highlight_language = "none"  # a block without a language is a terminal

# ---- Markdown and notebooks ------------------------------------------------------------------------------
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4  # as on a host of repositories, so that one link works in both
nb_execution_mode = "off"  # the notebooks have their outputs; the tests execute them
nb_merge_streams = True

# ---- Python ----------------------------------------------------------------------------------------------
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
autosummary_generate = True

# ---- pages -----------------------------------------------------------------------------------------------
html_theme = "furo"
html_title = f"charkit {release}"
html_static_path = ["_static"]
html_css_files = ["charkit.css"]
html_show_sphinx = False
html_copy_source = False
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
pygments_style = "a11y-light"
pygments_dark_style = "a11y-dark"

#: More parameters than this are shown without types and defaults.
_MOST_TYPED_PARAMETERS = 16
#: Code with longer words may be broken anywhere in a table.
_LONGEST_WORD = 30
_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?!docs/)([\w./-]+)(?:#[\w-]+)?\)")


def _source_read(_app: Any, name: str, source: list[str]) -> None:
    """Puts in what is generated, and names files of the repository, which the site does not hold, without a link."""
    text = site.with_generated(source[0], name)
    depth = name.count("/")
    source[0] = _OUTSIDE.sub(lambda found: _named(found, depth), text)


def _named(found: re.Match[str], depth: int) -> str:
    label, path = found[1], found[2]
    leaves = found[0].count("../") > depth
    if not leaves:
        return found[0]
    return f"{label}" if path in label else f"{label} (`{path}`)"


def _docstring(_app: Any, _kind: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Reads docstrings as they are written: an indented block is code, and a star outside of backquotes is a star."""
    lines[:] = [line for block in _blocks(lines) for line in block]


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """The paragraphs, each with the empty line before it; code is marked as such."""
    in_code = False
    for paragraph in "\n".join(lines).split("\n\n"):
        block = paragraph.split("\n")
        is_code = all(line.startswith("    ") or not line for line in block) and any(block)
        if is_code:
            language = "python" if _is_python(paragraph) else "none"
            yield ["", *([] if in_code else [f".. code-block:: {language}", ""]), *block]
        else:
            yield ["", *map(_escaped, block)]
        in_code = is_code


def _is_python(code: str) -> bool:
    try:
        compile(inspect.cleandoc(code), "example", "exec")
    except SyntaxError:
        return False
    return True


def _escaped(line: str) -> str:
    parts = line.split("``")
    parts[::2] = [part.replace("*", "\\*") for part in parts[::2]]
    return "``".join(parts)


def _doctree_read(_app: Any, doctree: nodes.document) -> None:
    """Keeps words in code whole in a table, but lets a name break after an underscore."""
    for code in list(doctree.findall(nodes.literal)):
        text = code.astext()
        if any(len(word) > _LONGEST_WORD for word in text.split()):
            continue
        if " " in text or "-" in text or "_" not in text.strip("_"):
            code["classes"].append("words")
            continue
        parts = re.split(r"(?<=\w_)(?=\w)", text)
        code.clear()
        for part in parts:
            if code.children:
                code.append(nodes.raw("", "<wbr>", format="html"))
            code.append(nodes.Text(part))


def _signature(
    _app: Any, kind: str, _name: str, thing: Any, _options: Any, arguments: str, returns: str
) -> Any:
    """The names alone of parameters that are too many to be read with their types: the settings."""
    if kind != "function" or arguments is None:
        return None
    parameters = inspect.signature(thing).parameters.values()
    if len(parameters) <= _MOST_TYPED_PARAMETERS:
        return None
    names = [
        parameter.name
        if parameter.default is parameter.empty or parameter.kind is parameter.KEYWORD_ONLY
        else f"{parameter.name}={parameter.default!r}"
        for parameter in parameters
    ]
    star = next((place for place, one in enumerate(parameters) if one.kind is one.KEYWORD_ONLY), None)
    if star is not None:
        names.insert(star, "*")
    return f"({', '.join(names)})", returns


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _docstring)
    app.connect("source-read", _source_read)
    app.connect("doctree-read", _doctree_read)
