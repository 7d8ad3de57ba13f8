"""`payflow login`: the command line acts as who said yes at the pages; what it saved is theirs alone, and ends."""

import asyncio
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import aiohttp

from payflow.app.installation import Payflow
from payflow.cli import saved_login
from payflow.cli.saved_login import SavedLogin
from payflow.config import load
from payflow.store.registers.tokens import LOGIN, Role, Session, Sessions, Tokens
from tests.cli.processes import Process, environment, running, typed
from tests.cli.till import SHELL, Till, showing
from tests.waiting import PATIENCE_S
from tests.web.admin.visitor import Visitor


class ServicePages:
    """The pages of a service that runs."""

    def __init__(self, service: Process, session: aiohttp.ClientSession, tokens: dict[str, str]) -> None:
        self.address = service.address
        self.session = session
        self._tokens = tokens

    async def token(self, role: Role, of: str = "", name: str = "") -> str:
        """Give the token of somebody."""
        return self._tokens[name]


async def log_in(folder: Path, visitor: Visitor, word: str, **settings: str) -> tuple[int, list[Any], str]:
    """Type it, and answer at the pages; gives how it ended and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "payflow", "login", "--json"),
        cwd=folder,
        env=environment(folder, **settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        asked = json.loads(await process.stdout.readline())
        assert await visitor.get(asked["page"].removeprefix(visitor.front.address)) == 200
        assert asked["code"] in visitor.text
        assert await visitor.press(word) == 200
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, [asked, *map(json.loads, out.decode().splitlines())], err.decode()


def modes(place: Path) -> tuple[int, int]:
    """Tell who may read a file, and its folder."""
    return stat.S_IMODE(place.stat().st_mode), stat.S_IMODE(place.parent.stat().st_mode)


def read(place: Path) -> str:
    """Read what was saved; nothing where nothing is."""
    return place.read_text() if place.exists() else ""


def put_back(place: Path, text: str) -> None:
    """Do what somebody does who copied it."""
    place.write_text(text)


async def test_commands_act_as_who_said_yes_until_they_log_out(tmp_path: Path) -> None:
    async with running(tmp_path, "serve", module="payflow") as service, aiohttp.ClientSession() as session:
        there = {"PAYFLOW_PUBLIC_URL": service.address, "XDG_CONFIG_HOME": str(tmp_path / "config")}

        async def does(*words: str) -> tuple[int, str, str]:
            return await typed(tmp_path, *words, module="payflow", **there)

        tokens = {}
        for name, role in (("otto", "operator"), ("rita", "reviewer")):
            code, out, err = await does("token", "create", name, "--role", role)
            assert code == 0, err
            tokens[name] = out.strip()
        pages = ServicePages(service, session, tokens)
        rita = await Visitor(pages).come("rita", Role.REVIEWER)
        code, said, err = await log_in(tmp_path, rita, "Yes, it is mine", **there)
        assert code == 0, err
        assert (said[1]["who"], said[1]["role"]) == ("rita", "reviewer")
        place = Path(said[1]["saved"])
        assert modes(place) == (0o600, 0o700)
        assert tokens["rita"] not in read(place), "what it saved is no token of hers, and ends"
        code, _, err = await does("pause", "everything", "--why", "lunch")
        assert (code, "takes the token of an operator" in err) == (1, True), "she is who she is, and no shell any more"
        assert (await does("logout"))[0] == 0
        assert read(place) == ""
        assert "Nobody is logged in" in (await does("logout"))[2]
        otto = await Visitor(pages).come("otto", Role.OPERATOR)
        code, said, err = await log_in(tmp_path, otto, "No, refuse it", **there)
        assert (code, "said no" in err) == (1, True)
        assert read(place) == ""
        code, said, err = await log_in(tmp_path, otto, "Yes, it is mine", **there)
        assert code == 0, err
        assert (await does("pause", "everything", "--why", "lunch"))[0] == 0
        (pause,) = json.loads((await does("paused", "--json"))[1])
        assert pause["who"] == "otto"
        copied = read(place)
        assert (await does("logout"))[0] == 0
        put_back(place, copied)
        code, _, err = await does("resume", "everything", "--why", "back")
        assert (code, "opens nothing any more" in err) == (1, True), "what was ended is ended for whoever copied it"


async def test_where_nobody_answers_it_says_what_to_look_at(tmp_path: Path) -> None:
    code, _, err = await typed(tmp_path, "login", module="payflow", PAYFLOW_PUBLIC_URL="http://127.0.0.1:9")
    assert code == 3
    assert "No Payflow answers at http://127.0.0.1:9" in err


def saved(till: Till, name: str, role: Role = Role.OPERATOR) -> SavedLogin:
    """Save what a login of somebody with a token would be given."""

    async def give(payflow: Payflow) -> str:
        await Tokens(payflow.store.link).create(name, role, "", "boss")
        digest = await Tokens(payflow.store.link).digest_in_use(name)
        return await Sessions(payflow.store.link, LOGIN).open(Session(digest), 3600)

    login = SavedLogin(till.do(give), name, role, "2027-01-01T00:00:00Z")
    saved_login.write(load(), login)
    return login


def pauser(till: Till) -> str:
    """Pause, and tell who did."""
    assert till("pause", "machine:errand", "--why", "lunch").code == 0
    (pause,) = till.json("paused")
    assert till("resume", "machine:errand", "--why", "back").code == 0
    return str(pause["who"])


def test_a_token_that_is_set_goes_before_what_was_saved(till: Till) -> None:
    assert pauser(till) == SHELL
    saved(till, "olu")
    assert pauser(till) == "olu"
    with showing(till, "otto"):
        assert pauser(till) == "otto"


def test_what_opens_nothing_any_more_makes_nobody_a_shell_without_their_knowledge(till: Till) -> None:
    saved(till, "olu")
    till.do(lambda payflow: Tokens(payflow.store.link).revoke("olu", "boss"))
    said = till.refused("pause", "machine:errand", "--why", "lunch")
    assert "gave to olu opens nothing any more" in said
    assert till.json("paused") == []


def test_what_was_saved_for_one_service_is_shown_to_no_other(till: Till) -> None:
    saved(till, "olu")
    os.environ["PAYFLOW_PUBLIC_URL"] = "https://elsewhere.example"
    try:
        assert pauser(till) == SHELL
    finally:
        del os.environ["PAYFLOW_PUBLIC_URL"]


def test_a_file_that_is_no_login_is_as_none(till: Till) -> None:
    saved(till, "olu")
    saved_login.place_of(load()).write_text("{")
    assert pauser(till) == SHELL
