"""Here it is decided that the bot sends for a bounty what a worker decided, and nothing that was written in since.

A worker puts a seal on how the wallet is made, where it is, who wins as the forge shows it, and on exactly what is paid
to whom, each in the moment in which it decides it, and compares right before the bot sends. The keys for that are in
workers alone: whoever takes over the API can write into a record, and makes the bot agree to nothing by it. What people
decide through the API (which merged claim, a refund and the hands that ask for it, where a contributor wants to be
paid) is their word, as the API passes it on.
"""

from dataclasses import replace

from machines.bounty import lifecycle as s
from machines.bounty.data import MACHINE, BountyData, BountyRecord, Hand, ProposalAttempt
from machines.core.clock import Millis
from machines.core.errors import Unapproved
from machines.core.ids import RecordId, derived_id, parse_id
from machines.core.machine import SealAdoption
from machines.core.ports import PermitSigner, SealKind
from machines.core.wallets import Creation, WalletProposal

Parts = tuple[str | int, ...]
_KINDS = (SealKind.PERMIT, SealKind.ADOPTION)
ADOPT = "Two operators look at it and take it over with `payflow permit adopt`, or override it."


def made_like(record: BountyRecord, creation: Creation, hands: tuple[Hand, ...]) -> Parts:
    """Give what the seal on how a wallet is made is over."""
    call, owners = creation.call, creation.owners
    whose = (part for hand in hands for part in (hand.person, hand.address))
    return ("wallet plan", record.id, record.data.deploys, creation.kind, creation.threshold, len(owners), *owners,
            call.to, call.data, creation.address, *whose)  # fmt: skip


def made_at(record: BountyRecord, wallet: str) -> Parts:
    """Give what the seal on where a wallet is is over; what comes in later is paid out of the same one."""
    return ("wallet", root_of(record), wallet)


def won(record: BountyRecord) -> Parts:
    """Give what the seal on who wins is over."""
    data = record.data
    return ("winner", record.id, data.place.repository, data.issue_id, data.winner_pull, data.winner_id)


def paid(record: BountyRecord, proposal: WalletProposal, *, refund: bool) -> Parts:
    """Give what the seal on a payment is over."""
    data, operation, approval = record.data, proposal.operation, proposal.approval
    whose = ("refund", data.refund_to) if refund else won(record)
    amounts = (part for one in proposal.holdings for part in (one.token, one.units))
    return ("payment", record.id, *whose, proposal.kind, proposal.number, proposal.wallet, proposal.to, operation.to,
            operation.data, proposal.value_units, int(proposal.delegate), proposal.nonce, proposal.hash, approval.to,
            approval.data, *amounts)  # fmt: skip


def sealed(signer: PermitSigner, parts: Parts) -> str:
    """Put a worker's seal on what it decided."""
    return signer.sign(SealKind.PERMIT, *parts)


def holds(signer: PermitSigner, seal: str, parts: Parts) -> bool:
    """Tell whether a worker, or two who took it over, put a seal on just this."""
    return signer.knows(seal, _KINDS, *parts)


def refuse_unsealed(signer: PermitSigner, record: BountyRecord, attempt: ProposalAttempt) -> None:
    """Raise unless a payment is what a worker decided."""
    if not holds(signer, attempt.seal, paid(record, attempt.proposal, refund=attempt.refund)):
        raise Unapproved(
            f"No worker decided this payment as it is: somebody else wrote it, or an older version. {ADOPT}"
        )


def root_of(record: BountyRecord) -> RecordId:
    """Name the bounty that a wallet was made for."""
    return RecordId(record.data.sweep_of or record.id)


def is_its_issue(record: BountyRecord) -> bool:
    """Tell whether a record is that of the issue that it names."""
    data = record.data
    root = root_of(record)
    return root == derived_id(MACHINE, parse_id(root)[1], str(data.place.repository), str(data.issue_id))


# ── what an older version decided, or what a forge does not show any more ─────────────────────────────────────────────


def _waits(record: BountyRecord) -> bool:
    """Whether it was set aside for want of a seal."""
    unsealed = record.state in (s.MERGED, s.EXECUTED, s.REVOKING) and record.parked.startswith("Unapproved")
    return unsealed and bool(record.data.contract_address)


def _adopted(record: BountyRecord, signer: PermitSigner, _: str, __: Millis) -> BountyData:
    def seal(parts: Parts) -> str:
        return signer.sign(SealKind.ADOPTION, *parts)

    data = record.data
    current = data.current
    newest = (replace(current, seal=seal(paid(record, current.proposal, refund=current.refund))),) if current else ()
    return replace(
        data,
        wallet_seal=seal(made_at(record, data.contract_address)),
        winner_seal=seal(won(record)),
        attempts=(*data.attempts[: len(data.attempts) - len(newest)], *newest),
    )


ADOPTION: SealAdoption[BountyData] = SealAdoption(_waits, _adopted)
