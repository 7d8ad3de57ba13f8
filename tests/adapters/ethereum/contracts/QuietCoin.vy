# pragma version 0.4.3
# pragma evm-version london
"""
@title A token that answers nothing, as the best known one does
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
def approve(spender: address, units: uint256):
    self.allowance[msg.sender][spender] = units


@external
def transferFrom(owner: address, to: address, units: uint256):
    self.allowance[owner][msg.sender] -= units
    self.balanceOf[owner] -= units
    self.balanceOf[to] += units
    log Transfer(sender=owner, receiver=to, value=units)
