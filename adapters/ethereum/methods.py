"""What a lane pays: ether, and the tokens that it was given."""

from collections.abc import Iterable

from machines.core.methods import ADDRESS, MethodField, PayMethod
from machines.core.money import ETH

KIND = "ethereum"
"""What destinations on a chain are called where they are kept, whichever lane pays them."""
TEST = "On a test chain, or on the one of `payflow sandbox`, it ends as on any chain: there is no test key."

WHERE = MethodField(
    ADDRESS, "Address", "0x and 40 digits and letters up to F, of this chain", "0x[0-9a-fA-F]{40}",
    "0x52908400098527886E0F7030069857D2E4169EE7",
)  # fmt: skip


def methods(tokens: Iterable[str], method: str = KIND) -> tuple[PayMethod, ...]:
    """Give the rows of a lane; nobody can say whose an address is, and what gas costs is the lane's."""
    return tuple(PayMethod(code, method, (WHERE,), TEST, kind=KIND) for code in (ETH.code, *tokens))
