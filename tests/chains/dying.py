"""A lane whose process may die before and after every call: to the store, to the chain, to its signer."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from machines.core.chain import Address, SignedTransaction, Signer, Unsigned
from machines.core.errors import OutcomeUnknown, Retryable
from tests.chains.mortal import Fate

CALLS = frozenset(
    {
        "head", "nonce", "balance", "receipt", "transaction", "sent_by", "broadcast", "market", "estimate", "call",
        "code", "known", "logs",
    }
)  # fmt: skip


class DyingChain:
    """A chain whose caller may die before or after each call, or not hear the answer."""

    def __init__(self, chain: Any, fate: Fate) -> None:  # noqa: ANN401  (it stands for every method of it)
        self._chain = chain
        self._fate = fate
        self.cut = False
        """Whether its process is dead: nothing of it leaves any more."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        found = getattr(self._chain, name)
        return self._dying(name, found) if name in CALLS else found

    def _dying(self, name: str, call: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        @wraps(call)
        async def called(*args: object) -> object:
            self._alive()
            await self._fate.meet()
            self._alive()
            if self._fate.fails():
                raise Retryable("the node does not answer")
            answer = await call(*args)
            await self._fate.meet()
            if self._fate.fails():
                raise OutcomeUnknown("lost") if name == "broadcast" else Retryable("the answer is lost")
            return answer

        return called

    def _alive(self) -> None:
        if self.cut:
            raise Retryable("the process is dead")


class DyingSigner:
    """A signer whose caller may die before or after each signature."""

    def __init__(self, signer: Signer, fate: Fate) -> None:
        self._signer = signer
        self._fate = fate

    @property
    def address(self) -> Address:
        """For whom it signs."""
        return self._signer.address

    async def sign(self, unsigned: Unsigned) -> SignedTransaction:
        """Sign, unless death comes first."""
        await self._fate.meet()
        if self._fate.fails():
            raise Retryable("the signer is down")
        signed = await self._signer.sign(unsigned)
        await self._fate.meet()
        return signed
