"""Whether a receipt is what it says: offline, from the file alone and the keys of who made it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from adapters.ethereum.contracts import topic
from adapters.ethereum.inclusion import Included, Inclusion, NotIncluded, included
from adapters.ethereum.pay_many import FAILED, MOST_UNITS, PAID, packed, word_of_batch
from machines.core.chain import Address, BatchPayee, Log
from machines.transaction.calldata import TRANSFERRED
from payflow.desk.receipts.signing import MOST_BYTES, OPENS, NoReceipt, canonical, page_hash, receipt_in
from payflow.store.receipt_keys import is_signed, key_id

HIDDEN = "\N{BULLET}"
"""Stands for each part of a payee that is not shown."""
_WORD = 64
_SELECTOR = 10
_LINES_AT = {True: 4, False: 3}
"""Behind so many words of a batch's call its lines begin: with a token, and without."""
_TRANSFER_TOPICS = 3
_EXECUTED = ((topic("Safe", "ExecutionSuccess"),), (topic("MultiSigWallet", "Execution"),))


@dataclass(frozen=True, slots=True)
class CheckedReceipt:
    """What holds of a receipt."""

    body: Mapping[str, Any]
    key: str
    known: bool
    """Whether the key is one of those that were given as the installation's."""
    holds: Sequence[str]


def check(file: bytes, known: Sequence[bytes] = ()) -> CheckedReceipt:
    """Check a receipt, as JSON or in its page; raises `NoReceipt` at the first thing that is not so."""
    if len(file) > MOST_BYTES:
        raise NoReceipt(f"A receipt has at most {MOST_BYTES:,} bytes.")
    content = receipt_in(file) if OPENS in file else file
    body, public = _signed(content)
    if content is not file and page_hash(file) != body.get("page"):
        raise NoReceipt("The page around the receipt is not the one that was signed.")
    if known and public not in known:
        raise NoReceipt(f"It was signed with the key {key_id(public)}, which is none of those that were given.")
    holds = [f"signed with the key {key_id(public)}"]
    if "chain" in body:
        holds.append(prove(body))
    elif "evidence" in body:
        evidence = body["evidence"]
        holds.append(f"the word of {evidence['source']} for {evidence['reference']}, as it was read, is in it")
    return CheckedReceipt(body, key_id(public), public in known, holds)


def _signed(content: bytes) -> tuple[dict[str, Any], bytes]:
    try:
        file = json.loads(content)
        body, public, signature = file["body"], bytes.fromhex(file["public"]), bytes.fromhex(file["signature"])
        whole = canonical(file) == content and set(file) == {"body", "key", "public", "signature"}
        if not whole or file["key"] != key_id(public) or not isinstance(body, dict):
            raise NoReceipt("The file is not as it was written: not one byte of it may differ.")
        if not is_signed(public, signature, canonical(body)):
            raise NoReceipt("The signature is not of what the file says.")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise NoReceipt("The file is no receipt of Payflow.") from error
    return body, public


# ── the chain's own proof ────────────────────────────────────────────────────────────────────────────────────────────


def prove(body: Mapping[str, Any]) -> str:
    """Say what the chain's own proof in a receipt proves; raises `NoReceipt` where that is not what it says."""
    chain, evidence = body["chain"], body["evidence"]
    at = f"block {chain['block']} of chain {chain['chain_id']}, {chain['depth']} deep when it was written"
    if "proof" not in chain:
        return f"said by nodes to be in {at}; this chain's own proof cannot be written down"
    proof = chain["proof"]
    try:
        found = included(
            Inclusion(
                proof["block_hash"],
                proof["header"],
                proof["place"],
                tuple(proof["transaction"]),
                tuple(proof["receipt"]),
            )
        )
    except NotIncluded as error:
        raise NoReceipt(f"The proof of the chain does not hold: {error}.") from error
    if found.hash != evidence["reference"] or found.block != chain["block"]:
        raise NoReceipt("The proof of the chain is of another transaction.")
    if not (found.ok and _pays(found, chain["pays"], chain["chain_id"]) and _is_all(body, chain["pays"])):
        raise NoReceipt("What the chain proves does not pay what the receipt says.")
    what = (
        "the wallet carried out the proposal" if chain["pays"]["how"] == "wallet" else "so much was paid to this payee"
    )
    return f"{what}, by the header {proof['block_hash']} of {at}; ask any node or explorer whether it is of the chain"


def _is_all(body: Mapping[str, Any], pays: Mapping[str, str]) -> bool:
    """Whether it is the payee that the receipt shows, as far as it does, and the amount that it names, if any."""
    shown, to = body["to"].lower(), pays.get("to", "").lower()
    if "to" in pays and not (to.startswith(shown.partition(HIDDEN)[0]) and to.endswith(shown.rpartition(HIDDEN)[2])):
        return False
    if "arrives" not in body or "decimals" not in pays:
        return True
    return Decimal(body["arrives"]["amount"]).scaleb(int(pays["decimals"])) == int(pays["units"])


def _pays(found: Included, pays: Mapping[str, str], chain_id: int) -> bool:
    """Whether a transaction that was carried out paid so much to whom it says."""
    if found.says.chain_id != chain_id:
        return False
    to, units = pays.get("to", "").lower(), int(pays.get("units", "0"))
    match pays["how"]:
        case "plain":
            return (found.says.to or "").lower() == to and found.says.value_wei == units
        case "token":
            return _came(found.logs, pays["token"], to) >= units
        case "batch":
            return _batch_pays(found, pays, to, units)
        case "wallet":
            said = pays["executed"].removeprefix("0x").lower()
            ours = [one for one in _of(found.logs, pays["wallet"]) if one.topics[:1] in _EXECUTED]
            return any(said in "".join((*one.topics[1:], one.data)).lower() for one in ours)
        case _:
            return False


def _batch_pays(found: Included, pays: Mapping[str, str], to: str, units: int) -> bool:
    place, token = int(pays["place"]), pays.get("token", "")
    words = found.says.data[_SELECTOR:]
    begins = (_LINES_AT[bool(token)] + place) * _WORD
    if not 0 <= units <= MOST_UNITS:
        return False
    line = f"{packed(BatchPayee(Address(to), units)):0{_WORD}x}"
    ours = [one for one in _of(found.logs, pays["contract"]) if one.topics[1:] == (word_of_batch(pays["batch"]),)]
    failed = [int(one.data[2 : 2 + _WORD], 16) for one in ours if one.topics[0] == FAILED]
    return (
        (found.says.to or "").lower() == pays["contract"].lower()
        and words[begins : begins + _WORD] == line
        and sum(one.topics[0] == PAID for one in ours) == 1
        and place not in failed
        and (not token or _came(found.logs, token, to) >= units)
    )


def _came(logs: Sequence[Log], token: str, to: str) -> int:
    return sum(
        int(one.data[2 : 2 + _WORD], 16)
        for one in _of(logs, token)
        if len(one.topics) == _TRANSFER_TOPICS and one.topics[0] == TRANSFERRED and one.topics[2][-40:] == to[2:]
    )


def _of(logs: Sequence[Log], address: str | Address) -> list[Log]:
    return [one for one in logs if one.address.lower() == address.lower()]
