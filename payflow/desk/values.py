"""The values that the desk answers with: all that a surface may name of the engine and of what the store writes.

Nothing here writes. Pages and commands import commits, pauses, proposals and books from nowhere else.
"""

from payflow.engine.step import Applied
from payflow.store.accounts import LedgerAccount
from payflow.store.integrity import IntegrityFault
from payflow.store.ledger import JournalCursor, LedgerCheck, LedgerReport
from payflow.store.pauses import EVERYTHING, Pause, scope_of_shard
from payflow.store.registers.proposals import Proposal

__all__ = [
    "EVERYTHING",
    "Applied",
    "IntegrityFault",
    "JournalCursor",
    "LedgerAccount",
    "LedgerCheck",
    "LedgerReport",
    "Pause",
    "Proposal",
    "scope_of_shard",
]
