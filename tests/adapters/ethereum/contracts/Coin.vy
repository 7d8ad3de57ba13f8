# pragma version 0.4.3
# pragma evm-version london
# pragma optimize gas
"""
@title A token as most are
"""
event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    value: uint256

balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])


@deploy
def __init__(supply: uint256):
    self.balanceOf[msg.sender] = supply


@external
def approve(spender: address, units: uint256) -> bool:
    self.allowance[msg.sender][spender] = units
    return True


@external
def transfer(to: address, units: uint256) -> bool:
    self._move(msg.sender, to, units)
    return True


@external
def transferFrom(owner: address, to: address, units: uint256) -> bool:
    allowed: uint256 = self.allowance[owner][msg.sender]
    if allowed != max_value(uint256):
        self.allowance[owner][msg.sender] = allowed - units
    self._move(owner, to, units)
    return True


@internal
def _move(owner: address, to: address, units: uint256):
    self.balanceOf[owner] -= units
    self.balanceOf[to] = unsafe_add(self.balanceOf[to], units)  # the sum of all is the supply
    log Transfer(sender=owner, receiver=to, value=units)
