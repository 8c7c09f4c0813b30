"""
Answers as CSV or XML, for ``?_format=csv`` and ``?_format=xml`` (protocol sheet, section 3).

Errors stay JSON. The columns of a CSV are those of all rows together, in the order in which they
first come: rows have no nulls, so the first row alone would not name them all.
"""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

from .protocol import encode

# Characters that no XML may hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
JSON_TYPE = "application/json; charset=utf-8"


def rendered(body: object, named: object) -> tuple[bytes, str]:
    """The bytes of an answer and their content type; an unknown format is JSON."""
    if named == "csv":
        return _csv(body), "text/csv; charset=utf-8"
    if named == "xml":
        return _xml(body), "application/xml; charset=utf-8"
    return encode(body), JSON_TYPE


def _csv(body: object) -> bytes:
    listed = body if isinstance(body, list) else [body]
    rows = [row for row in listed if isinstance(row, dict)]
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row))
    if not names:
        return b""
    lines = [[f'"{name}"' for name in names]]
    lines += [[_cell(row.get(name)) for name in names] for row in rows]
    return "".join(",".join(line) + "\n" for line in lines).encode()


def _cell(value: object) -> str:
    """Numbers as they are; texts, and what is nested as JSON, in quotes."""
    if value is None or value == "":
        return ""
    written = value if isinstance(value, str) else encode(value).decode()
    if isinstance(value, str | list | dict):
        return '"' + written.replace('"', '""') + '"'
    return written


def _xml(body: object) -> bytes:
    """``<response>`` around one ``<result>`` a row [unsure: BitMEX's names of the elements]."""
    if isinstance(body, list):
        inner = "".join(_element("result", row) for row in body)
    else:
        inner = _inside(body)
    return f'<?xml version="1.0" encoding="UTF-8"?><response>{inner}</response>'.encode()


def _element(name: str, value: object) -> str:
    return f"<{name}>{_inside(value)}</{name}>"


def _inside(value: object) -> str:
    if isinstance(value, dict):
        return "".join(_element(str(name), inner) for name, inner in value.items())
    if isinstance(value, list):
        return "".join(_element("item", inner) for inner in value)
    written = value if isinstance(value, str) else encode(value).decode()
    return escape(_NOT_XML.sub("", written))
