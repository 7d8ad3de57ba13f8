# pragma version 0.4.3
# pragma evm-version london
"""
@title A token with a mood for each recipient
"""
event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    value: uint256

flag Mood:
    REVERTS
    SAYS_NO
    MOVES_AND_SAYS_NO
    SAYS_YES_AND_STAYS
    BURNS

balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])
moods: public(HashMap[address, Mood])


@deploy
def __init__(supply: uint256):
    self.balanceOf[msg.sender] = supply


@external
def annoy(who: address, mood: uint256):
    self.moods[who] = convert(mood, Mood)


@external
def approve(spender: address, units: uint256) -> bool:
    self.allowance[msg.sender][spender] = units
    return True


@external
def transferFrom(owner: address, to: address, units: uint256) -> bool:
    mood: Mood = self.moods[to]
    assert mood != Mood.REVERTS
    if mood == Mood.SAYS_NO:
        return False
    if mood == Mood.SAYS_YES_AND_STAYS:
        return True
    if mood == Mood.BURNS:
        raise UNREACHABLE
    self.allowance[owner][msg.sender] -= units
    self.balanceOf[owner] -= units
    self.balanceOf[to] += units
    log Transfer(sender=owner, receiver=to, value=units)
    return mood != Mood.MOVES_AND_SAYS_NO
