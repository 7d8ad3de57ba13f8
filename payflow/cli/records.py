"""Looking at records: how many are where, which they are, and the whole story of one."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import msgspec
from rich.text import Text

from machines.core.clock import SECOND, Millis
from machines.core.ids import RecordId, owner_of, parse_id
from machines.core.lifecycle import By, Lifecycle, State
from machines.core.machine import AnyMachine
from machines.core.record import Record
from payflow.app import Payflow
from payflow.cli.desk import Code, Desk, Usage, listed, machine_of, typed
from payflow.cli.words import amount, amount_json, clean, iso, rows, span, table, utc
from payflow.store.codec import Event
from payflow.store.ledger import Account
from payflow.store.listing import PAGE, Crowd, Outlook
from payflow.telemetry.logs import redacted

Json = dict[str, Any]
