"""An operator sees who is signed in at the pages, and signs somebody out; others see and end their own."""

from payflow.app.installation import Payflow
from payflow.store.registers.tokens import Role, Session, Sessions, Tokens, digest_of
from tests.cli.till import Till, showing


def signed_in(till: Till, secret: str) -> str:
    async def come(payflow: Payflow) -> str:
        sessions = Sessions(payflow.store.link)
        shown = await sessions.open(Session(digest_of(secret)), 600)
        await sessions.use(shown, "203.0.113.9", await payflow.store.records.now(), idle_s=600, lasts_s=600)
        return shown

    return till.do(come)


def is_open(till: Till, shown: str) -> bool:
    async def find(payflow: Payflow) -> bool:
        return await Sessions(payflow.store.link).find(shown) is not None

    return till.do(find)


def test_sessions_are_listed_and_ended(till: Till) -> None:
    assert "Nobody is signed in" in till("session", "ls").out
    secrets = {name: till.json("token", "create", name, "--role", "reviewer")["token"] for name in ("rita", "rob")}
    shown = {name: signed_in(till, secret) for name, secret in secrets.items()}
    found = {one["who"]: one for one in till.json("session", "ls")}
    assert set(found) == {"rita", "rob"}
    assert (found["rita"]["address"], found["rita"]["role"]) == ("203.0.113.9", "reviewer")
    assert shown["rita"] not in str(found)
    with showing(till, "vic", Role.VIEWER):
        assert till.json("session", "ls") == []
        assert "no session" in till.refused("session", "end", found["rita"]["name"])
    assert till.json("session", "end", found["rita"]["name"]) == {
        "name": found["rita"]["name"], "who": "rita", "ended": True,
    }  # fmt: skip
    assert (is_open(till, shown["rita"]), is_open(till, shown["rob"])) == (False, True)
    assert "no session" in till.refused("session", "end", "*")

    async def lose(payflow: Payflow) -> None:
        await Tokens(payflow.store.link).revoke("rob", "boss")

    till.do(lose)
    assert till.json("session", "ls") == []
