"""A transfer of a gateway's test mode, end to end, and what differed from what we expect of the gateway."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Literal

import aiohttp
import typer
from rich.text import Text

from adapters.flutterwave.credentials import is_test_key
from adapters.flutterwave.expected import differences
from adapters.flutterwave.rail import FlutterwaveV3
from adapters.http import GatewayClient, HttpReply, HttpRequest, SecretKey
from machines.core.clock import SECOND, SystemClock
from machines.core.errors import BadInput, NotPossible, PayflowError
from machines.core.money import NGN, Money
from machines.core.ports import Destination, Failed, Payment, Pending, Reversed, Settled, Status, Unsent
from payflow.app.installation import Payflow
from payflow.cli.terminal import Code, Column, Commands, Terminal, drawn
from payflow.desk import trial as trials
from payflow.store.store import Store

command = Commands()

AMOUNT = "100"
End = Literal["paid", "failed"]
ENDS: dict[End, str] = {"paid": "_PMCKDU_1", "failed": "_PMCK_ST_FDU_1"}
"""What the test mode wants at the end of a reference, so that a transfer ends after a minute."""
LOOK_S = 5.0
WEBHOOK_S = 20.0
"""How long after the end its webhook is waited for."""


@dataclass(frozen=True, slots=True)
class HeardReply:
    """One exchange with the gateway."""

    method: str
    path: str
    status: int
    differs: list[str]


COLUMNS = (
    Column("method", "method"),
    Column("path", "path"),
    Column("status", "HTTP>"),
    Column("differs", "differs", lambda one: "; ".join(one.differs)),
)


@command("payflow trial flutterwave")
async def trial(
    terminal: Terminal,
    payflow: Payflow,
    gateway: Annotated[Literal["flutterwave"], typer.Argument(help="Which gateway.")],
    *,
    end: Annotated[End, typer.Option(help="How it is to end.")] = "paid",
    bank: Annotated[str, typer.Option(help="A bank of the test mode.")] = "044",
    account: Annotated[str, typer.Option(help="An account of it.")] = "0690000031",
    wait: Annotated[float, typer.Option(min=1, help="How many seconds it is waited for.")] = 180.0,
) -> Code:
    settings = terminal.settings
    key = settings.flutterwave_secret_key.get_secret_value() if settings.flutterwave_secret_key else ""
    if settings.flutterwave_version != "v3" or not is_test_key(key):
        raise BadInput(
            f"A trial moves no money: {gateway} needs FLUTTERWAVE_VERSION=v3 and a FLUTTERWAVE_SECRET_KEY that begins "
            "with FLWSECK_TEST."
        )
    replies: list[HeardReply] = []

    def hear(request: HttpRequest, reply: HttpReply) -> None:
        replies.append(HeardReply(request.method, request.path, reply.status, list(differences(request.path, reply))))

    payment = Payment(
        trials.reference(),
        Destination("bank", (("bank_code", bank), ("account_number", account))),
        Money.parse(AMOUNT, NGN),
        "Payflow trial",
    )
    async with aiohttp.ClientSession() as session:
        client = GatewayClient(
            session, "Flutterwave", settings.flutterwave_url, SecretKey(key), SystemClock(), heard=hear
        )
        came, ended = await _played(FlutterwaveV3(client, ENDS[end]), payment, wait)
    said = await _webhook(payflow.store, payment) if ended else None
    as_it_should = ended and not any(one.differs for one in replies)
    terminal.tell(
        {
            "reference": payment.key,
            "outcome": came,
            "ended": ended,
            "webhook": said,
            "exchanges": [
                {"method": one.method, "path": one.path, "status": one.status, "differs": one.differs}
                for one in replies
            ],
        },
        f"{payment.key}: {came}",
        f"Its webhook said {said}."
        if said
        else "No webhook of it arrived: is its address set in the dashboard, "
        "and does the service run with the same FLUTTERWAVE_WEBHOOK_HASH?",
        drawn(COLUMNS, replies),
        Text("All as expected.", "green")
        if as_it_should
        else Text("Not as expected: please send us this, with --json. It holds no key and no account.", "yellow"),
    )
    return Code.OK if as_it_should else Code.REFUSED


async def _played(rail: FlutterwaveV3, payment: Payment, wait_s: float) -> tuple[str, bool]:
    """Pay, and look until it has ended or the time is up; gives what came of it, and whether it ended."""
    try:
        handle = await rail.submit(payment)
    except PayflowError as error:
        return f"it was not taken in: {error}", False
    if handle is None:
        raise NotPossible("The gateway says that this reference was used before, which it cannot have been.")
    clock = SystemClock()
    until = clock.now() + int(wait_s * SECOND)
    said = "it is under way"
    while clock.now() < until:
        try:
            status = await rail.status(payment)
        except PayflowError as error:
            said = f"a look told nothing: {error}"
        else:
            said, ended = _in_words(status)
            if ended:
                return said, True
        await asyncio.sleep(min(LOOK_S, wait_s / 4))
    return f"{said} after {wait_s:.0f} s", False


def _in_words(status: Status) -> tuple[str, bool]:
    match status:
        case Settled():
            return "it was paid", True
        case Failed():
            return f"it failed: {status.reason}", True
        case Reversed():
            return "it was reversed", True
        case Pending():
            return f"it is under way{f', waiting for {status.waiting_for}' if status.waiting_for else ''}", False
        case Unsent():
            return "the gateway cannot find it", False


async def _webhook(store: Store, payment: Payment) -> str | None:
    """Wait a little for what the gateway tells by itself."""
    for _ in range(int(WEBHOOK_S / LOOK_S) * 4):
        said = await trials.heard(store, payment.key)
        if said is not None:
            return said
        await asyncio.sleep(LOOK_S / 4)
    return None
