# pragma version 0.4.3
# pragma evm-version london
"""
@title A token that is as odd as some are, one oddity at a time
"""
event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    value: uint256

flag Oddity:
    SAYS_NO
    KEEPS_A_FEE
    ANSWERS_NOTHING
    COUNTS_ALLOWANCES_IN_96_BITS
    LETS_NOBODY_PULL

oddity: public(Oddity)
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])


@deploy
def __init__(supply: uint256, oddity: uint256):
    self.balanceOf[msg.sender] = supply
    self.oddity = convert(oddity, Oddity)


@external
def approve(spender: address, units: uint256) -> bool:
    assert self.oddity != Oddity.LETS_NOBODY_PULL
    self.allowance[msg.sender][spender] = units
    if self.oddity == Oddity.COUNTS_ALLOWANCES_IN_96_BITS:
        self.allowance[msg.sender][spender] = min(units, 2**96 - 1)
    return True


@external
@raw_return
def transfer(to: address, units: uint256) -> Bytes[32]:
    if self.oddity == Oddity.SAYS_NO:
        return abi_encode(False)
    self._move(msg.sender, to, units)
    if self.oddity == Oddity.ANSWERS_NOTHING:
        return b""
    return abi_encode(True)


@external
def transferFrom(owner: address, to: address, units: uint256) -> bool:
    self.allowance[owner][msg.sender] -= units
    self._move(owner, to, units)
    return True


@internal
def _move(owner: address, to: address, units: uint256):
    self.balanceOf[owner] -= units
    arrives: uint256 = units
    if self.oddity == Oddity.KEEPS_A_FEE:
        arrives = units - units // 10
    self.balanceOf[to] += arrives
    log Transfer(sender=owner, receiver=to, value=arrives)
