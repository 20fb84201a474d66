"""A page as text: one file of HTML with its style, scripts and pictures inside."""

from __future__ import annotations

from nas.errors import UsageError
from nas.report.blocks import Page
from nas.version import __version__


def html(page: Page) -> str:
    """The whole file.

    Everything but the charts is escaped by the template; nothing in it refers to a network.

    Raises:
        UsageError: jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise UsageError(
            "A report needs jinja2: run pip install 'discriminator-nas[report]'."
        ) from error

    environment = Environment(
        loader=PackageLoader("nas.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(page=page, version=__version__)
