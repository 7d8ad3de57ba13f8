# pragma version 0.4.3
# pragma evm-version london
"""
@title Calls back when it is paid
"""
target: public(address)
call: public(Bytes[160])
worked: public(bool)
tried: public(bool)


@external
def prepare(target: address, call: Bytes[160]):
    self.target = target
    self.call = call


@external
@payable
def act(target: address, call: Bytes[320]):
    raw_call(target, call, value=msg.value)


@external
@payable
def __default__():
    if self.target != empty(address):
        self.worked = raw_call(self.target, self.call, revert_on_failure=False)
