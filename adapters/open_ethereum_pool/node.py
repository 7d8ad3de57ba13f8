"""The pool's own node: how many peers it has, and what an address sent in which block."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from adapters.http import HttpLimits, NoReply, exchange, split_login
from adapters.open_ethereum_pool import addresses
from machines.core.chain import Address, Seen, TxHash
from machines.core.errors import Retryable

TOGETHER = 20
"""How many blocks are asked for in one request."""
LIMITS = HttpLimits(body_bytes=64 * 1024 * 1024)


class PoolNode:
    """Asks one node. What it does not answer is `Retryable`."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url, self._headers = split_login(url)
        self._timeout_s = timeout_s
        self._session = aiohttp.ClientSession()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def count(self) -> int:
        """Count its peers."""
        return _number(await self._ask("net_peerCount"))

    async def chain_id(self) -> int:
        """Ask which chain it is on."""
        return _number(await self._ask("eth_chainId"))

    async def hash_of(self, block: int) -> str | None:
        """Give the hash of a block; None where the node does not have it yet."""
        found = await self._ask("eth_getBlockByNumber", hex(block), False)  # noqa: FBT003  (without its transactions)
        return str(found["hash"]).lower() if isinstance(found, dict) else None

    async def sent(self, sender: Address, first: int, last: int) -> Sequence[Seen]:
        """List what an address sent in some blocks, oldest first."""
        found: list[Seen] = []
        for start in range(first, last + 1, TOGETHER):
            numbers = range(start, min(start + TOGETHER, last + 1))
            for block in await self._ask_together([("eth_getBlockByNumber", [hex(one), True]) for one in numbers]):
                if not isinstance(block, dict):
                    raise Retryable("The pool's node lacks a block that others have: it lags, or has pruned it.")
                found += [_seen(one) for one in block["transactions"] if one["from"].lower() == sender.lower()]
        return found

    async def time_of(self, block: int) -> int:
        """Say in which second a block was made."""
        found = await self._ask("eth_getBlockByNumber", hex(block), False)  # noqa: FBT003  (without its transactions)
        if not isinstance(found, dict):
            raise Retryable("The pool's node lacks a block that others have: it lags, or has pruned it.")
        return _number(found["timestamp"])

    async def block_before(self, second: int) -> int:
        """Find the newest block that is older than a time."""
        low, high = 0, _number(await self._ask("eth_blockNumber"))
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if await self.time_of(middle) < second else (low, middle - 1)
        return low

    async def _ask(self, method: str, *parameters: object) -> Any:  # noqa: ANN401  (each method has its own answer)
        (answer,) = await self._ask_together([(method, list(parameters))])
        return answer

    async def _ask_together(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[Any]:
        bodies = [
            {"jsonrpc": "2.0", "id": place, "method": method, "params": parameters}
            for place, (method, parameters) in enumerate(calls)
        ]
        content = msgspec.json.encode(bodies if len(bodies) > 1 else bodies[0])
        try:
            reply = await exchange(
                self._session,
                "POST",
                self._url,
                headers=self._headers,
                total_s=self._timeout_s,
                limits=LIMITS,
                body=content,
            )
            answers = msgspec.json.decode(reply.body)
        except (NoReply, ValueError) as error:  # ValueError has msgspec's in it
            raise Retryable(f"The pool's node does not answer: {error}.") from error
        found = answers if isinstance(answers, list) else [answers]
        by_id = {answer.get("id"): answer for answer in found if isinstance(answer, dict)}
        # A node that cannot answer at all answers once, and not with the number of any question.
        return [_result(by_id.get(place, found[0] if found else None)) for place in range(len(bodies))]


def _result(answer: object) -> Any:  # noqa: ANN401  (as above)
    if not isinstance(answer, dict):
        raise Retryable("The pool's node answers with something that is no JSON-RPC.")
    error = answer.get("error")
    if error:
        said = error.get("message", error) if isinstance(error, dict) else error
        raise Retryable(f"The pool's node refuses: {said}")
    return answer.get("result")


def _number(text: object) -> int:
    if not isinstance(text, str):
        raise Retryable("The pool's node answers with something that is no number.")
    try:
        return int(text, 16)
    except ValueError:
        raise Retryable(f"The pool's node answers with {text[:40]!r}, which is no number.") from None


def _seen(transaction: dict[str, Any]) -> Seen:
    to = transaction.get("to")
    return Seen(
        hash=TxHash(transaction["hash"].lower()),
        sender=addresses.parse(transaction["from"]),
        nonce=_number(transaction["nonce"]),
        to=None if to is None else _address(to),
        value_wei=_number(transaction["value"]),
        data=transaction.get("input", "0x"),
        block=_number(transaction["blockNumber"]),
    )


def _address(text: str) -> Address:
    from eth_utils.address import to_checksum_address  # noqa: PLC0415  (slow to import; anything may be paid, even 0x0)

    return Address(to_checksum_address(text))
