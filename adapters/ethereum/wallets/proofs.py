"""Messages that a browser's wallet signs (EIP-191), and who signed them."""

from eth_account import Account
from eth_account.messages import encode_defunct

from adapters.ethereum.addresses import checksummed
from machines.core.chain import Address
from machines.core.errors import BadInput

SIGNATURE_CHARS = 132


def signer_of(message: str, signature: str) -> Address:
    """Tell which account signed a message."""
    if len(signature) != SIGNATURE_CHARS or not signature.startswith("0x"):
        raise BadInput("A signature is 0x and 130 hexadecimal digits.")
    try:
        found = Account.recover_message(encode_defunct(text=message), signature=signature)
    except Exception as error:
        raise BadInput("The signature cannot be read.") from error
    return checksummed(found)
