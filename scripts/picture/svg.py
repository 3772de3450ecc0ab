"""The parts that all pictures share: escaped text, the frame of a file, fonts."""

import html

FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"


def number(value):
    """Two decimals at most, none that say nothing."""
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"


def escaped(text):
    """Text for an element. XML has no control characters."""
    return html.escape("".join(c if c.isprintable() else "\ufffd" for c in text), quote=False)


def document(width, height, title, description, style, body):
    """A whole file. Screen readers read the title and the description."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{number(width)}" height="{number(height)}" '
        f'viewBox="0 0 {number(width)} {number(height)}" xml:space="preserve" role="img" '
        'aria-labelledby="title description">\n'
        f'<title id="title">{escaped(title)}</title>\n<desc id="description">{escaped(description)}</desc>\n'
        f"<style>{style}</style>\n{body}</svg>\n"
    )
