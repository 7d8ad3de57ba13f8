"""What proves to whoever has no node that a block holds a transaction, and that it was carried out."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from adapters.ethereum.inclusion import Inclusion, NotIncluded, included
from adapters.ethereum.node import Nodes
from machines.core.chain import Receipt
from tests.adapters.ethereum.conftest import payment
from tests.chain import LANE, Anvil, raw_key, stranger


async def _paid(chain: Anvil, nodes: Nodes, how_many: int) -> list[tuple[Receipt, Inclusion]]:
    key = raw_key(LANE.key)
    sent = [await key.sign(payment(nonce, stranger(), value_wei=nonce + 1)) for nonce in range(how_many)]
    for one in sent:
        await nodes.broadcast(one.raw)
    await chain.mine()
    found = []
    for one in sent[:1] + sent[1:][-20:]:  # places from 128 on are written in two bytes
        receipt = await nodes.receipt(one.hash)
        assert receipt is not None
        proof = await nodes.inclusion(receipt)
        assert proof is not None
        found.append((receipt, proof))
    return found


@pytest.mark.parametrize("how_many", [1, 2, 17, 140])
async def test_each_transaction_of_a_block_is_proven_by_its_header(chain: Anvil, lone: Nodes, how_many: int) -> None:
    for receipt, proof in await _paid(chain, lone, how_many):
        found = included(proof)
        assert (found.hash, found.block, found.ok) == (receipt.hash, receipt.block, True)
        assert (found.says.value_wei, found.sender) == (proof.place + 1, LANE.address)


async def test_nothing_of_a_proof_can_be_changed(chain: Anvil, lone: Nodes) -> None:
    (_, proof), (_, other) = (await _paid(chain, lone, 20))[3:5]
    for changed in (
        replace(proof, place=other.place),
        replace(proof, transaction=other.transaction),
        replace(proof, receipt=other.receipt),
        replace(proof, transaction=proof.receipt),
        replace(proof, receipt=proof.receipt[:-1]),
        replace(proof, receipt=(*proof.receipt, proof.receipt[-1])),
        replace(proof, block_hash="0x" + "00" * 32),
        replace(proof, header=proof.header[:-2] + "77"),
        replace(proof, header="0xc0"),
    ):
        with pytest.raises(NotIncluded):
            included(changed)
    changes: list[Callable[[str], Inclusion]] = [
        lambda text: replace(proof, header=text),
        lambda text: replace(proof, transaction=(*proof.transaction[:-1], text)),
        lambda text: replace(proof, receipt=(*proof.receipt[:-1], text)),
    ]
    for change, node in zip(changes, (proof.header, proof.transaction[-1], proof.receipt[-1]), strict=True):
        for at in range(2, len(node), 37):
            digit = "0" if node[at] != "0" else "1"
            with pytest.raises(NotIncluded):
                included(change(node[:at] + digit + node[at + 1 :]))
