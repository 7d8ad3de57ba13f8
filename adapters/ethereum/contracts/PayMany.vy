# pragma version 0.4.3
# pragma evm-version london
# pragma optimize gas
"""
@title PayMany
@notice Pays many recipients in one transaction of the one account that it was made for.
@dev A recipient that fails does not stop the others: an event names it, and its amount is back with the lane when the
     transaction ends. Nothing stays in this contract. Each batch has an id that is accepted once.

     A recipient is one word: its amount in the upper 96 bits, its address in the lower 160.
"""

event Paid:
    batch: indexed(bytes32)
    count: uint256
    failed: uint256

event Failed:
    batch: indexed(bytes32)
    place: uint256
    payee: uint256

interface Token:
    def balanceOf(owner: address) -> uint256: view
    def allowance(owner: address, spender: address) -> uint256: view

MOST: constant(uint256) = 500
ADDRESS: constant(uint256) = 2**160 - 1

# What a recipient may burn. A contract wallet takes less than 10,000 to receive.
ETH_GAS: constant(uint256) = 30_000
TOKEN_GAS: constant(uint256) = 100_000

# What must be left before a call, so that it gets all of the above: the EVM keeps a 64th back and takes the price of
# the call itself (2,600 for an address, 9,000 for a value, 25,000 for a new account) beforehand. Without this whoever
# sends the transaction with too little gas could make honest recipients fail.
ETH_LEFT: constant(uint256) = ETH_GAS * 64 // 63 + 36_600 + 5_000
TOKEN_LEFT: constant(uint256) = TOKEN_GAS * 64 // 63 + 2_600 + 5_000

LANE: public(immutable(address))

used: public(HashMap[bytes32, bool])


@deploy
def __init__(lane: address):
    assert lane != empty(address), "no lane"
    LANE = lane


@external
@payable
def payETH(batch: bytes32, payees: DynArray[uint256, MOST]):
    """
    @notice Sends each recipient its amount out of the value of this call, which must be their sum.
    """
    self._begin(batch)
    total: uint256 = 0
    back: uint256 = 0
    failed: uint256 = 0
    place: uint256 = 0
    for payee: uint256 in payees:
        amount: uint256 = payee >> 160
        # 500 amounts of 96 bits do not overflow.
        total = unsafe_add(total, amount)
        assert msg.gas >= ETH_LEFT, "too little gas"
        # Nothing that it returns is copied.
        if not raw_call(
            convert(payee & ADDRESS, address), b"", value=amount, gas=ETH_GAS, revert_on_failure=False
        ):
            back = unsafe_add(back, amount)
            failed = unsafe_add(failed, 1)
            log Failed(batch=batch, place=place, payee=payee)
        place = unsafe_add(place, 1)
    assert total == msg.value, "not the sum"
    if back != 0:
        # The sums that came back are counted and not read from the balance, which anybody may raise.
        raw_call(LANE, b"", value=back)
    log Paid(batch=batch, count=place, failed=failed)


@external
def payToken(batch: bytes32, token: address, payees: DynArray[uint256, MOST]):
    """
    @notice Moves a token from the lane, which must have allowed it, to each recipient.
    """
    self._begin(batch)
    assert token.is_contract, "no token"
    before: uint256 = staticcall Token(token).balanceOf(LANE)
    allowed: uint256 = staticcall Token(token).allowance(LANE, self)
    lane: uint256 = convert(LANE, uint256)
    done: bool = False
    answer: Bytes[32] = b""
    total: uint256 = 0
    back: uint256 = 0
    failed: uint256 = 0
    place: uint256 = 0
    for payee: uint256 in payees:
        amount: uint256 = payee >> 160
        total = unsafe_add(total, amount)
        assert msg.gas >= TOKEN_LEFT, "too little gas"
        done, answer = raw_call(
            token,
            abi_encode(lane, payee & ADDRESS, amount, method_id=method_id("transferFrom(address,address,uint256)")),
            max_outsize=32,
            gas=TOKEN_GAS,
            revert_on_failure=False,
        )
        if done:
            # A token answers yes, no, or nothing, which is yes. What else it may mean is seen at the end.
            done = convert(answer, uint256) == 1
            if not done:
                done = len(answer) == 0
        if not done:
            back = unsafe_add(back, amount)
            failed = unsafe_add(failed, 1)
            log Failed(batch=batch, place=place, payee=payee)
        place = unsafe_add(place, 1)
    # Or else some failed for want of these, and they are not to blame.
    assert before >= total, "short of the token"
    assert allowed >= total, "not allowed"
    # A token that says no and moves, or yes and does not, takes everything back.
    assert staticcall Token(token).balanceOf(LANE) == unsafe_add(unsafe_sub(before, total), back), "the token lies"
    log Paid(batch=batch, count=place, failed=failed)


@internal
def _begin(batch: bytes32):
    assert msg.sender == LANE, "only the lane"
    assert not self.used[batch], "used"
    self.used[batch] = True
