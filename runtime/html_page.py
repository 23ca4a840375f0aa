"""The begin and the end of a self-contained HTML page, with the style that all pages share."""

from __future__ import annotations

import html

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; padding: 16px; max-width: 1200px; }
h1 { font-size: 22px; } .scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: 4px 10px; border-bottom: 1px solid #8884; vertical-align: middle; }
td.number { text-align: right; font-variant-numeric: tabular-nums; } td { overflow-wrap: anywhere; }
"""


def page_begin(title: str, style: str) -> str:
    """The text of a page up to its content, with `style` (CSS) after the shared rules. It refers to no other file."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}{style}</style></head><body>\n"
    )


def page_end(script: str) -> str:
    """The text after the content: `script`, which runs when the content is there."""
    return f"<script>{script}</script></body></html>\n"
