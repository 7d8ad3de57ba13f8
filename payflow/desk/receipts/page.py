"""A receipt as a page of its own, which a person reads and prints; it holds the signed file, and loads nothing."""

import base64
import io
import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

import segno

from payflow.desk.receipts.signing import CLOSES, OPENS
from payflow.shown import plain

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 0 auto; max-width: 50rem;
       padding: 2rem 1.2rem; overflow-wrap: anywhere }
header { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 1rem; padding-bottom: 1rem;
         border-bottom: 2px solid #1a1a1a }
header div { flex: 1 1 14rem } header img { width: 7.5rem; height: 7.5rem }
h1 { font-size: 1.1rem; margin: 0; font-weight: 600 } h2 { font-size: 1rem; margin: 1.6rem 0 .3rem }
.says { font-size: 1.7rem; font-weight: 700; margin: .2rem 0 } .paid { color: #0a6b2d } .not { color: #a11212 }
dl { display: grid; grid-template-columns: 11rem 1fr; gap: .2rem 1rem; margin: 0 }
dt, th { color: #555 } dd { margin: 0 }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #ddd; vertical-align: top }
th { font-weight: 500 } td, th { white-space: nowrap } td:last-child { white-space: normal }
footer { margin-top: 1.6rem; color: #555; font-size: .85rem }
@media (max-width: 40rem) {
  dl { display: block } dt { margin-top: .4rem }
  table, tbody, tr, td { display: block; white-space: normal } th { display: none }
  tr { border-bottom: 1px solid #ddd; padding: .3rem 0 } td { border: 0; padding: 0 }
}
@media print { body { max-width: none; padding: 0; font-size: 10.5pt } }
@page { margin: 18mm }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_GOOD, _BAD = "PAID", ("NOT PAID", "REVERSED")
_CHECKED = (
    "<p>This file is signed as a whole: <code>payflow verify-receipt</code>, and the page <code>/verify-receipt</code> "
    "of every installation, say whether a byte of it was changed, without asking anybody.</p>"
)

Pairs = Iterable[tuple[str, Any]]


def written(body: Mapping[str, Any]) -> bytes:
    """Write the page, with an empty place for the receipt itself."""
    parts = [
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<meta http-equiv='Content-Security-Policy' content=\"{_POLICY}\">",
        f"<title>Receipt {escape(body['id'])}</title><style>{_STYLE}</style></head><body>",
        _head(body),
        "<h2>Payment</h2>",
        _pairs(_payment(body)),
        *_approvals(body),
        *_attempts(body),
        *_evidence(body),
        "<h2>History</h2>",
        _table(body["events"], ("at", "state", "move", "by", "who", "why")),
        f"<footer><p>The newest hash of its history is {escape(body['history']['hashes'][-1])}.</p>{_CHECKED}</footer>",
        OPENS.decode(),
        CLOSES.decode(),
        "</body></html>\n",
    ]
    return "".join(parts).encode()


def _head(body: Mapping[str, Any]) -> str:
    says = body["says"]
    kind = "paid" if says == _GOOD else "not" if says in _BAD else ""
    amount = body.get("arrives") or body.get("amount")
    how_much = f"{amount['asset']} {amount['amount']}" if amount else ""
    seen = body.get("status") or f"{body['id']} {body['history']['hashes'][-1]}"
    picture = io.BytesIO()
    segno.make_qr(seen).save(picture, kind="svg", scale=3, border=1)
    source = base64.b64encode(picture.getvalue()).decode()
    return (
        f"<header><div><h1>Receipt of the installation {escape(body['installation'])}</h1>"
        f"<p class='says {kind}'>{escape(says)}</p>"
        f"<p>{escape(how_much)} to {escape(body['to'])}</p></div>"
        f"<img alt='{escape(seen)}' src='data:image/svg+xml;base64,{source}'></header>"
    )


def _payment(body: Mapping[str, Any]) -> Pairs:
    names = {
        "id": "Number", "kind": "Kind", "owner": "For", "to": "To", "method": "Way", "note": "Note", "for": "For what",
        "winner": "Winner", "rail": "Rail", "asked_at": "Asked for", "made_at": "This was written",
        "asked_by": "Asked by", "status": "How it stands now",
    }  # fmt: skip
    for name, label in names.items():
        if name in body:
            yield label, body[name]
    for name, label in (("amount", "Amount"), ("fee", "Fee"), ("arrives", "Arrives")):
        if name in body:
            yield label, f"{body[name]['asset']} {body[name]['amount']}"
    if body.get("approved_by"):
        yield "Approved by", body["approved_by"]
    if body.get("also_paid"):
        yield "Paid besides, which should not be", ", ".join(body["also_paid"])


def _approvals(body: Mapping[str, Any]) -> list[str]:
    found = body.get("approvals")
    return ["<h2>Approved</h2>", _table(found, ("at", "by"))] if found else []


def _attempts(body: Mapping[str, Any]) -> list[str]:
    found = body.get("attempts")
    return ["<h2>Attempts</h2>", _table(found, ("reference", "opened_at", "outcome"))] if found else []


def _evidence(body: Mapping[str, Any]) -> list[str]:
    parts = []
    if "evidence" in body:
        found = body["evidence"]
        named = [("Shown by", found["source"]), ("Reference", found["reference"]), *found["details"].items()]
        parts += ["<h2>Evidence</h2>", _pairs(named)]
    if "chain" in body:
        chain = body["chain"]
        proof = chain.get("proof")
        named = [
            ("Chain", chain["chain_id"]),
            ("Block", chain["block"]),
            ("Depth", f"{chain['depth']} blocks when this was written"),
            ("Block's hash", proof["block_hash"] if proof else "its header cannot be written down"),
            *((name, value) for name, value in chain["pays"].items()),
        ]
        parts += ["<h2>In the chain</h2>", _pairs(named)]
    return parts


def _pairs(pairs: Pairs) -> str:
    return f"<dl>{''.join(f'<dt>{escape(plain(str(name)))}</dt><dd>{_text(value)}</dd>' for name, value in pairs)}</dl>"


def _text(value: object) -> str:
    """Write a value; times as people read them."""
    text = str(value)
    return escape(f"{text[:10]} {text[11:19]} UTC" if _TIME.fullmatch(text) else text)


def _table(rows: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> str:
    rows = list(rows)
    used = [name for name in columns if any(one.get(name) for one in rows)]
    head = "".join(f"<th>{escape(plain(name))}</th>" for name in used)
    cells = [[f"<td>{_text(one.get(name, ''))}</td>" for name in used] for one in rows]
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{str().join(line)}</tr>' for line in cells)}</table>"
