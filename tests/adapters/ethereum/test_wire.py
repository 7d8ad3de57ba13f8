"""Whatever bytes a node sends: a value, a fault, or `Unreadable`, and nothing else."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.addresses import checksummed
from adapters.ethereum import envelope, wire
from adapters.ethereum.endpoint import names
from adapters.ethereum.envelope import Raw, RpcCall, RpcFault, Unreadable
from tests.chain import ACCOUNTS

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("0x1f")
junk = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
envelopes = st.fixed_dictionaries(
    {},
    optional={
        "id": scalars | st.integers(0, 3),
        "result": junk,
        "error": junk | st.fixed_dictionaries({"code": scalars}),
    },
)


@given(
    body=st.binary(max_size=60)
    | (envelopes | st.lists(envelopes, max_size=4) | junk).map(lambda x: json.dumps(x).encode())
)
@pytest.mark.parametrize("count", [1, 3])
def test_any_body_is_answers_or_a_fault_or_unreadable(count: int, body: bytes) -> None:
    with suppress(Unreadable):
        read = envelope.answers(body, count)
        assert isinstance(read, RpcFault) or len(read) == count


BLOCK = {"number": "0x1", "hash": "0xAB", "timestamp": "0x2", "baseFeePerGas": "0x3", "transactions": []}
TRANSACTION = {
    "hash": "0xab", "from": ACCOUNTS[0].address, "nonce": "0x0", "value": "0x1", "input": "0x", "to": None,
    "blockNumber": None, "gasPrice": "0x1",
}  # fmt: skip
LOG = {"address": ACCOUNTS[0].address, "topics": [], "data": "0x"}
RECEIPT = {
    "transactionHash": "0xab", "blockNumber": "0x1", "blockHash": "0xcd", "gasUsed": "0x5208", "status": "0x1",
    "effectiveGasPrice": "0x1", "contractAddress": None, "logs": [LOG],
}  # fmt: skip
FEES = {"baseFeePerGas": ["0x1", "0x2"], "gasUsedRatio": [0.5], "reward": [["0x1"]]}

READERS: list[tuple[Callable[[Raw], object], dict[str, Any]]] = [
    (wire.header, BLOCK),
    (wire.seen, TRANSACTION),
    (wire.gas_price, TRANSACTION),
    (wire.found_receipt, RECEIPT),
    (wire.fees, FEES),
    (lambda raw: wire.sent(raw, ACCOUNTS[0].address, 0), {"transactions": [TRANSACTION]}),
]


@given(data=st.data())
@pytest.mark.parametrize(("read", "good"), READERS)
def test_a_damaged_answer_is_a_value_or_unreadable(
    read: Callable[[Raw], object], good: dict[str, Any], data: st.DataObject
) -> None:
    damaged = dict(good)
    damaged[data.draw(st.sampled_from(sorted(good)))] = data.draw(junk)
    with suppress(Unreadable):
        read(Raw(json.dumps(damaged).encode()))


@pytest.mark.parametrize(("read", "good"), READERS)
def test_a_whole_answer_is_read(read: Callable[[Raw], object], good: dict[str, Any]) -> None:
    assert read(Raw(json.dumps(good).encode())) is not None


@given(value=junk)
def test_numbers_and_texts_are_hexadecimal_or_unreadable(value: object) -> None:
    raw = Raw(json.dumps(value).encode())
    for read in (wire.number, wire.text, wire.events):
        with suppress(Unreadable):
            read(raw)


def test_answers_are_put_in_order_by_their_numbers() -> None:
    body = json.dumps([{"id": n, "result": n} for n in (2, 0, 1)]).encode()
    read = envelope.answers(body, 3)
    assert not isinstance(read, RpcFault)
    assert [bytes(one) for one in read if isinstance(one, Raw)] == [b"0", b"1", b"2"]


@pytest.mark.parametrize("ids", [(0, 1), (0, 1, 1), (0, 1, 3), (None, None, None)])
def test_a_batch_with_missing_or_foreign_answers_is_unreadable(ids: tuple[int | None, ...]) -> None:
    body = json.dumps([{"id": n, "result": 1} for n in ids]).encode()
    with pytest.raises(Unreadable):
        envelope.answers(body, 3)


def test_an_answer_to_a_single_question_with_another_number_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        envelope.answers(b'{"jsonrpc":"2.0","id":7,"result":"0x1"}', 1)


def test_one_call_is_an_object_and_several_are_a_list() -> None:
    assert json.loads(envelope.request([RpcCall("a")])) == {"jsonrpc": "2.0", "id": 0, "method": "a", "params": []}
    assert [one["id"] for one in json.loads(envelope.request([RpcCall("a"), RpcCall("b")]))] == [0, 1]


def test_addresses_are_written_with_their_checksums() -> None:
    for account in ACCOUNTS:
        assert checksummed(account.address.lower()) == account.address
    for wrong in ("", "0x", "0x12", "12" * 21, "0x" + "zz" * 20, "0x" + "1" * 41):
        with pytest.raises(ValueError, match=r"address|literal"):
            checksummed(wrong)


def test_nodes_are_named_by_host_and_port_alone() -> None:
    urls = ["https://user:pass@a.example/v3/key", "http://a.example:8545", "https://a.example/v3/other"]
    assert names(urls) == ["a.example:443", "a.example:8545", "a.example:443#2"]
