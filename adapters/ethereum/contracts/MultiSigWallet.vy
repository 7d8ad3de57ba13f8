# pragma version 0.4.3
# A wallet of several owners, with the calls and events that wallets of this family share. What it pays is confirmed by
# so many owners as were said when it was made; a payment that fails stays open and can be carried out again by anybody.

MOST_OWNERS: constant(uint256) = 10
MOST_DATA: constant(uint256) = 4096
MOST_TOKENS: constant(uint256) = 16

event Confirmation:
    sender: indexed(address)
    transactionId: indexed(uint256)

event Revocation:
    sender: indexed(address)
    transactionId: indexed(uint256)

event Submission:
    transactionId: indexed(uint256)

event Execution:
    transactionId: indexed(uint256)

event ExecutionFailure:
    transactionId: indexed(uint256)

event Deposit:
    sender: indexed(address)
    value: uint256

struct Transaction:
    destination: address
    amount: uint256
    data: Bytes[MOST_DATA]
    executed: bool

required: public(uint256)
isOwner: public(HashMap[address, bool])
transactionCount: public(uint256)
confirmations: public(HashMap[uint256, HashMap[address, bool]])
_owners: DynArray[address, MOST_OWNERS]
_transactions: HashMap[uint256, Transaction]


@deploy
def __init__(owners: DynArray[address, MOST_OWNERS], required: uint256):
    assert required > 0 and required <= len(owners), "required"
    for owner: address in owners:
        assert owner != empty(address) and not self.isOwner[owner], "owner"
        self.isOwner[owner] = True
    self._owners = owners
    self.required = required


@external
@payable
def __default__():
    if msg.value > 0:
        log Deposit(sender=msg.sender, value=msg.value)


@external
@view
def getOwners() -> DynArray[address, MOST_OWNERS]:
    return self._owners


@external
@view
def transactions(transactionId: uint256) -> (address, uint256, Bytes[MOST_DATA], bool):
    one: Transaction = self._transactions[transactionId]
    return one.destination, one.amount, one.data, one.executed


@internal
@view
def _confirmed(transactionId: uint256) -> bool:
    count: uint256 = 0
    for owner: address in self._owners:
        if self.confirmations[transactionId][owner]:
            count += 1
    return count >= self.required


@external
@view
def isConfirmed(transactionId: uint256) -> bool:
    return self._confirmed(transactionId)


@external
@view
def getConfirmations(transactionId: uint256) -> DynArray[address, MOST_OWNERS]:
    found: DynArray[address, MOST_OWNERS] = []
    for owner: address in self._owners:
        if self.confirmations[transactionId][owner]:
            found.append(owner)
    return found


@external
def submitTransaction(destination: address, amount: uint256, data: Bytes[MOST_DATA]) -> uint256:
    assert self.isOwner[msg.sender], "owner"
    assert destination != empty(address), "destination"
    transactionId: uint256 = self.transactionCount
    self._transactions[transactionId] = Transaction(destination=destination, amount=amount, data=data, executed=False)
    self.transactionCount = transactionId + 1
    log Submission(transactionId=transactionId)
    self._confirm(transactionId, msg.sender)
    return transactionId


@external
def confirmTransaction(transactionId: uint256):
    self._confirm(transactionId, msg.sender)


@external
def revokeConfirmation(transactionId: uint256):
    assert self.isOwner[msg.sender] and self.confirmations[transactionId][msg.sender], "confirmed"
    assert not self._transactions[transactionId].executed, "executed"
    self.confirmations[transactionId][msg.sender] = False
    log Revocation(sender=msg.sender, transactionId=transactionId)


@external
def executeTransaction(transactionId: uint256):
    self._execute(transactionId)


@external
def payTogether(
    to: address, amount: uint256, tokens: DynArray[address, MOST_TOKENS], units: DynArray[uint256, MOST_TOKENS]
):
    # Several assets in one step, all or none. Only the wallet itself may ask for it, so it takes confirmations.
    assert msg.sender == self, "wallet"
    assert len(tokens) == len(units), "units"
    for i: uint256 in range(len(tokens), bound=MOST_TOKENS):
        answer: Bytes[32] = raw_call(
            tokens[i],
            abi_encode(to, units[i], method_id=method_id("transfer(address,uint256)")),
            max_outsize=32,
        )
        assert len(answer) == 0 or convert(answer, uint256) == 1, "transfer"
    if amount > 0:
        raw_call(to, b"", value=amount)


@internal
def _confirm(transactionId: uint256, owner: address):
    assert self.isOwner[owner], "owner"
    assert self._transactions[transactionId].destination != empty(address), "transaction"
    assert not self.confirmations[transactionId][owner], "confirmed"
    self.confirmations[transactionId][owner] = True
    log Confirmation(sender=owner, transactionId=transactionId)
    if self._confirmed(transactionId):
        self._execute(transactionId)


@internal
def _execute(transactionId: uint256):
    one: Transaction = self._transactions[transactionId]
    assert not one.executed and self._confirmed(transactionId), "confirmed"
    # Written before the call, so that who is called cannot come back and be paid twice.
    self._transactions[transactionId].executed = True
    if raw_call(one.destination, one.data, value=one.amount, revert_on_failure=False):
        log Execution(transactionId=transactionId)
    else:
        self._transactions[transactionId].executed = False
        log ExecutionFailure(transactionId=transactionId)
