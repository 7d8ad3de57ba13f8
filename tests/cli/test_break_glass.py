"""When no service answers, two operators do at one terminal what takes two; it is told and written down first."""

import os
import socket
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from machines.core.errors import Retryable
from machines.core.ids import RecordId
from payflow.app.installation import Payflow
from payflow.cli import break_glass
from payflow.desk import dual_control
from payflow.desk.break_glass import sign_off
from payflow.desk.person import Person
from payflow.store import keys
from payflow.store.registers.anchors import ANCHORS
from payflow.store.registers.audit import AuditLine
from payflow.store.registers.persons import RegisteredPerson
from payflow.store.registers.tokens import Role, Tokens
from payflow.store.seals import new_key
from tests.cli.till import Till

WHY = ("--reason", "the pages are down")


class Contacts:
    """Stands for mail and chats: what it took, and whether anything had been done by then."""

    def __init__(self, till: Till, record_id: str) -> None:
        self.took: list[tuple[str, ...]] = []
        self.broken = False
        self.anchored_before: list[int] = []
        self.till, self.record = till, RecordId(record_id)

    def __call__(self, _: str) -> "Contacts":
        return self

    async def tell(self, contacts: Sequence[str], subject: str, text: str) -> None:
        if self.broken:
            raise Retryable("no network")
        self.anchored_before.append((await anyio.Path("data", ANCHORS).read_text("ascii")).count("\n"))
        self.took.append((*contacts, text))


@pytest.fixture
def contacts(till: Till, monkeypatch: pytest.MonkeyPatch) -> Contacts:
    """Two operators with tokens in files and a contact, one record that may have left, and no service."""
    monkeypatch.setenv("PAYFLOW_SEAL_KEYS", new_key())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PAYFLOW_PORT", str(free.getsockname()[1]))

    async def operators(payflow: Payflow) -> None:
        store = payflow.store
        for name in ("olu", "otto"):
            secret = await Tokens(store.link).create(name, Role.OPERATOR, "", "shell:root@host")
            await anyio.Path(f"{name}.token").write_text(secret, "ascii")
        now = await store.records.now()
        person = RegisteredPerson("olu", frozenset({Role.OPERATOR}), "shell:root@host", now)
        await store.persons.write(store.persons.with_contacts(person, ["mailto:olu@example.com"]))

    till.do(operators)
    found = Contacts(till, till.errand("SENDING"))
    monkeypatch.setattr(break_glass, "People", found)
    return found


def typed(contacts: Contacts, *files: str, words: Sequence[str] = ()) -> tuple[str, ...]:
    """The command, over an override that takes two."""
    names = ("--first", "--second")
    shown = [word for name, file in zip(names, files, strict=False) for word in (name, f"{file}.token")]
    act = words or ("override", contacts.record, "CANCELLED", "--reason", "it never left", "--yes")
    return ("break-glass", *shown, *WHY, "--", *act)


def state(till: Till, contacts: Contacts) -> str:
    return str(till.record(contacts.record).state)


def audited(till: Till) -> list[AuditLine]:
    async def lines(payflow: Payflow) -> list[AuditLine]:
        assert await payflow.store.audit.fault() == ""
        return (await payflow.store.audit.page(None, 100))[::-1]

    return till.do(lines)


def test_two_operators_do_what_takes_two_and_everything_was_said_before(till: Till, contacts: Contacts) -> None:
    done = till(*typed(contacts, "olu", "otto"))
    assert done.code == 0, done
    assert state(till, contacts) == "CANCELLED"
    ((to, text),) = contacts.took
    assert (to, "olu and otto do at a terminal: override" in text) == ("mailto:olu@example.com", True)
    assert contacts.anchored_before[0] > 0
    acts = [line.act for line in audited(till)]
    assert acts.index("break glass") < acts.index("propose override") < acts.index("confirm override")
    assert "PAYFLOW_TOKEN_FILE" not in os.environ
    # It stands there until somebody looks at it.
    checks = {one["name"]: one for one in till.json("doctor", code=0)["checks"]}
    assert checks["break-glass"]["level"] == "warn"

    async def looked_at(payflow: Payflow) -> list[str]:
        (one,) = await payflow.store.glass.all()
        await sign_off(payflow.store, one.at, Person("olu", Role.OPERATOR))
        return [one.who, *(str(left) for left in await payflow.store.glass.all())]

    assert till.do(looked_at) == ["olu and otto"]


def test_it_is_refused_where_a_service_runs(till: Till, contacts: Contacts, monkeypatch: pytest.MonkeyPatch) -> None:
    async def told(payflow: Payflow) -> None:
        await payflow.store.link.ask("SET", keys.ALIVE, "worker-7", "EX", 45)

    async def silent(payflow: Payflow) -> None:
        await payflow.store.link.ask("DEL", keys.ALIVE)

    till.do(told)
    assert "Worker-7 told within 45 seconds that it runs" in till.refused(*typed(contacts, "olu", "otto"))
    till.do(silent)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("PAYFLOW_PORT", str(server.getsockname()[1]))
        assert "Something answers at 127.0.0.1" in till.refused(*typed(contacts, "olu", "otto"))
    assert (contacts.took, state(till, contacts)) == ([], "SENDING")


def test_one_person_twice_one_alone_a_shell_and_a_wrong_token_come_to_nothing(till: Till, contacts: Contacts) -> None:
    Path("eve.token").write_text("payflow_" + "x" * 43, "ascii")
    for files, why in (
        (("olu", "olu"), "one person"), (("olu",), "takes two operators"), (("olu", "eve"), "unknown here"),
        (("olu", "gone"), "cannot be read"),
    ):  # fmt: skip
        assert why in till.refused(*typed(contacts, *files))
    assert "Write the command" in till.refused(*typed(contacts, "olu", "otto", words=("serve",)))
    assert (contacts.took, state(till, contacts)) == ([], "SENDING")


def test_without_an_anchor_nothing_is_done_and_who_could_not_be_told_is_said(
    till: Till, contacts: Contacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYFLOW_ANCHORS", "/no/such/folder/anchors")
    assert "cannot be written down" in till.refused(*typed(contacts, "olu", "otto"), code=2)
    monkeypatch.delenv("PAYFLOW_ANCHORS")
    assert (contacts.took, state(till, contacts)) == ([], "SENDING")
    contacts.broken = True
    done = till(*typed(contacts, "olu", "otto"))
    assert (done.code, "A contact did not take the message: mailto" in done.err) == (0, True)
    assert state(till, contacts) == "CANCELLED"


def test_what_waited_before_is_not_confirmed_with_it(till: Till, contacts: Contacts) -> None:
    assert till(*typed(contacts, "olu", "otto", words=("pause", "everything", "--why", "fire"))).code == 1
    assert state(till, contacts) == "SENDING"


def test_one_alone_waits_in_real_time_where_one_is_enough(
    till: Till, contacts: Contacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def enough(payflow: Payflow) -> None:
        found, now = await payflow.store.alone.read(), await payflow.store.records.now()
        await payflow.store.alone.write(type(found)(on=True, by="olu", since=now), {"by": "olu"}, (), now)

    till.do(enough)
    monkeypatch.setattr(dual_control, "WAIT_MS", 1)
    done = till(*typed(contacts, "olu"))
    assert (done.code, state(till, contacts)) == (0, "CANCELLED")
    assert "unless somebody takes it back" in done.out
