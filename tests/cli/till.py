"""What a test of the command line does: type a command, and do behind its back what no command does."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from unittest.mock import patch

from typer.testing import CliRunner

from machines.core.facts import Fact
from machines.core.ids import Owner, RecordId
from machines.core.record import Record
from payflow.app.installation import Assemble, Payflow, opened
from payflow.cli.commands import cli
from payflow.config import load
from payflow.desk.person import shell
from payflow.store.registers.tokens import UNSCOPED, Role, Tokens, TokenScope
from tests.desk import ANN, ask, claim_one, fund, tell
from tests.errand import Approved, Done, NotDone, Sent
from tests.service import parts

T = TypeVar("T")

SHELL = shell().name
"""Who types without a token."""

PATHS: dict[str, tuple[Fact, ...]] = {
    "ASKED": (),
    "READY": (Approved(),),
    "SENDING": (Approved(), Sent()),
    "DONE": (Approved(), Sent(), Done("receipt")),
    "FAILED": (Approved(), Sent(), NotDone("bounced")),
}


class Behind(Protocol):
    """What can do something behind the command line's back."""

    def do(self, work: Callable[[Payflow], Awaitable[T]]) -> T:
        """Do it."""


@contextmanager
def showing(
    till: Behind, name: str, role: Role = Role.OPERATOR, of: str = "", made_by: str = "boss",
    scope: TokenScope = UNSCOPED,
) -> Iterator[str]:  # fmt: skip
    """Type commands with somebody's token, which is made now and revoked afterwards."""

    async def make(payflow: Payflow) -> str:
        return await Tokens(payflow.store.link).create(name, role, of, made_by, scope=scope)

    async def revoke(payflow: Payflow) -> None:
        await Tokens(payflow.store.link).revoke(name, "boss")

    secret = till.do(make)
    try:
        with patch.dict(os.environ, PAYFLOW_TOKEN=secret):
            yield secret
    finally:
        till.do(revoke)


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str


class Till:
    """The command line, with the sample machine unless it is told what else."""

    def __init__(self, assemble: Assemble = parts) -> None:
        self._parts = assemble

    def __call__(self, *words: str, answer: str = "") -> Result:
        """Type a command."""
        result = CliRunner().invoke(cli, list(words), obj=self._parts, input=answer or None)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    def json(self, *words: str, code: int = 0) -> Any:  # noqa: ANN401  (it is what the command says)
        """Type a command with --json, and read its one document."""
        result = self(*words, "--json")
        assert result.code == code, result
        (line,) = result.out.splitlines()
        return json.loads(line)

    def refused(self, *words: str, code: int = 1, answer: str = "") -> str:
        """Type a command that must not be done; gives its one sentence."""
        result = self(*words, answer=answer)
        assert result.code == code, result
        assert result.err.startswith("payflow: "), result
        assert "Traceback" not in result.err
        return result.err.removeprefix("payflow: ").strip()

    def do(self, work: Callable[[Payflow], Awaitable[T]]) -> T:
        """Do something behind the command line's back."""

        async def opened_for_it() -> T:
            async with opened(load(), self._parts) as payflow:
                return await work(payflow)

        return asyncio.run(opened_for_it())

    def made(self) -> None:
        """Make the store, as a service does when it starts."""

        async def nothing(_: Payflow) -> None: ...

        self.do(nothing)

    def errand(self, state: str = "ASKED", *, owner: Owner = ANN, units: int = 1_200, key: str = "1") -> RecordId:
        """Make an errand of an owner with money, and bring it into a state."""

        async def make(payflow: Payflow) -> RecordId:
            await fund(payflow.store, owner, 1_000_000)
            record_id = await ask(payflow.store, owner, units, key)
            for fact in PATHS[state]:
                await tell(payflow.store, record_id, fact)
            return record_id

        return self.do(make)

    def parked(self) -> RecordId:
        """Make an errand that a worker set aside."""
        record_id = self.errand()

        async def park(payflow: Payflow) -> None:
            await payflow.store.records.park(await claim_one(payflow.store), "a bug", "worker-1")

        self.do(park)
        return record_id

    def record(self, record_id: RecordId) -> Record[Any]:
        """Read a record."""

        async def read(payflow: Payflow) -> Record[Any]:
            return (await payflow.store.records.read(record_id)).record

        return self.do(read)

    def store_ask(self, *command: str | int | bytes) -> Any:  # noqa: ANN401
        """Speak to the store as a vandal would."""

        async def speak(payflow: Payflow) -> Any:  # noqa: ANN401
            return await payflow.store.link.ask(*command)

        return self.do(speak)
