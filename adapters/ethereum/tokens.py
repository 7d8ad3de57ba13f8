"""Where USDC and USDT are on chains that lanes often pay on: contracts of Circle and Tether, or of the chain's bridge.

A lane that pays them says their name alone; of any other token it says contract and decimals.
"""

from collections.abc import Mapping

from eth_utils.address import to_checksum_address

KNOWN: Mapping[int, Mapping[str, tuple[str, int]]] = {
    1: {
        "USDC": ("0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48", 6),
        "USDT": ("0xdac17f958d2ee523a2206206994597c13d831ec7", 6),
    },
    10: {
        "USDC": ("0x0b2c639c533813f4aa9d7837caf62653d097ff85", 6),
        "USDT": ("0x94b008aa00579c1307b0ef2c499ad98a8ce58e58", 6),
    },
    56: {
        "USDC": ("0x8ac76a51cc950d9822d68b83fe1ad97b32cd580d", 18),
        "USDT": ("0x55d398326f99059ff775485246999027b3197955", 18),
    },
    137: {
        "USDC": ("0x3c499c542cef5e3811e1192ce70d8cc03d5c3359", 6),
        "USDT": ("0xc2132d05d31c914a87c6611c10748aeb04b58e8f", 6),
    },
    8453: {"USDC": ("0x833589fcd6edb6e08f4c7c32d4f71b54bda02913", 6)},
    42161: {
        "USDC": ("0xaf88d065e77c8cc2239327c5edb3a432268e5831", 6),
        "USDT": ("0xfd086bc7cd5c481dcc9c85ebe478a1c0b69fcbb9", 6),
    },
    43114: {
        "USDC": ("0xb97ef9ef8734c71904d8002f8b6bc66dd9c48a6e", 6),
        "USDT": ("0x9702230a8ea53601f5cd2dc00fdbc13d4df4a8c7", 6),
    },
    11155111: {"USDC": ("0x1c7d4b196cb0c7b01d743fbc6116a902379c7238", 6)},
}
"""By chain and name: the contract, and the decimals that it counts."""


def known_token(chain_id: int, code: str) -> tuple[str, int] | None:
    """Find a token by its name; None where it is not known on a chain."""
    found = KNOWN.get(chain_id, {}).get(code)
    return (str(to_checksum_address(found[0])), found[1]) if found else None
