"""What tests of batches share: the contract on the chain, and accounts that exist."""

from adapters.ethereum.pay_many import PayManyContract
from machines.core.chain import Address
from tests.chain import LANE, Anvil, deploy_data, stranger


async def made_contract(chain: Anvil) -> PayManyContract:
    """Let the lane's address make the contract, with its nonce 0."""
    tx = await chain.rpc("eth_sendTransaction", {"from": LANE.address, "data": deploy_data(LANE.address)})
    await chain.mine(4)
    receipt = await chain.rpc("eth_getTransactionReceipt", tx)
    return PayManyContract(receipt["contractAddress"])


async def existing(chain: Anvil, count: int) -> list[Address]:
    """Make accounts that exist."""
    addresses = [stranger() for _ in range(count)]
    for address in addresses:
        await chain.set_balance(address, 1)
    return addresses
