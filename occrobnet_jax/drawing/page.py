"""HTML pages that are one file and open offline: style, scripts and pictures are inside."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

_HERE = Path(__file__).parent


def render_page(template: Path, context: Mapping[str, Any]) -> str:
    """Fill a Jinja template, which extends `base.html` and may import `parts.html`.

    Everything in the context is escaped but `Markup`.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, _HERE]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (Markup((_HERE / name).read_text()) for name in ("page.css", "viewer.js"))
    return environment.get_template(template.name).render(style=style, script=script, **context)


def data_uri(content: bytes, kind: str) -> str:
    """Return a picture for the `src` of an image; `kind` is "jpeg" or "png"."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
