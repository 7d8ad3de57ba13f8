"""The client of the GitHub App, against a GitHub that has bad days."""

from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest

from adapters.github.client import App, GitHub
from adapters.sandbox.faults import Fault, Kind
from adapters.sandbox.github.api import APP_ID
from adapters.sandbox.github.town import Comment, Issue, SimulatedRepository
from machines.core.clock import DAY, SECOND, FixedClock
from machines.core.errors import BadSettings, Rejected, Retryable, TooLong
from machines.core.forge import ForgeAccount, Place, PullState
from tests.github import BusyGitHub

MARKER = "bounty-03-abcdefgh23456777"
TEXT = f"<!-- payflow {MARKER} -->\nContract deploying\n"


@pytest.fixture
async def github() -> AsyncIterator[BusyGitHub]:
    """A GitHub."""
    async with BusyGitHub(FixedClock()) as github:
        yield github


@pytest.fixture
def home(github: BusyGitHub) -> SimulatedRepository:
    """A repository with the app."""
    return github.install("acme/widgets", mia="admin", moe="maintain", bob="write", eve="read")


@pytest.fixture
def issue(github: BusyGitHub, home: SimulatedRepository) -> Issue:
    """An issue in it."""
    return github.open_issue(home, "It hurts", "bounty")


@pytest.fixture
def place(home: SimulatedRepository, issue: Issue) -> Place:
    """Where the issue is."""
    return Place(home.installation, home.id, home.name, issue.number)


@pytest.fixture
async def client(github: BusyGitHub) -> AsyncIterator[GitHub]:
    """The real client."""
    timeout = aiohttp.ClientTimeout(total=2)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield GitHub(session, App(APP_ID, github.private_key, url=github.url))


async def test_an_issue_is_read_as_it_is(client: GitHub, github: BusyGitHub, issue: Issue, place: Place) -> None:
    found = await client.issue(place)
    assert found is not None
    assert (found.id, found.open, found.labelled, found.title) == (issue.id, True, True, "It hurts")
    issue.labels.clear()
    found = await client.issue(place)
    assert found is not None
    assert not found.labelled
    issue.deleted = True
    assert await client.issue(place) is None


async def test_the_newest_of_thousands_of_events_decides(client: GitHub, issue: Issue, place: Place) -> None:
    """GitHub lists the oldest first, and anybody who may label can make a thousand of them."""
    now = issue.updated_at
    issue.events += [("labeled", "noise", now + number * SECOND) for number in range(1_500)]
    issue.events += [("reopened", "", now + DAY), ("labeled", "bounty", now + 2 * DAY)]
    found = await client.issue(place)
    assert found is not None
    assert (found.reopened_at, found.labelled_at) == (now + DAY, now + 2 * DAY)


@pytest.mark.parametrize(("events", "too_many"), [(10_000, False), (10_001, True)])
async def test_of_an_issue_with_more_events_than_are_read_nothing_is_said(
    client: GitHub, issue: Issue, place: Place, *, events: int, too_many: bool
) -> None:
    """What is not read may be what decides; deleting the issue is the way out that the error names."""
    issue.events = [("labeled", "noise", DAY)] * (events - 1) + [("reopened", "", 2 * DAY)]
    if not too_many:
        found = await client.issue(place)
        assert found is not None
        assert found.reopened_at == 2 * DAY
        return
    with pytest.raises(TooLong, match="more than 10000 events"):
        await client.issue(place)
    issue.deleted = True
    assert await client.issue(place) is None


async def test_pull_requests_that_name_it_over_many_pages(
    client: GitHub, github: BusyGitHub, home: SimulatedRepository, place: Place
) -> None:
    github.open_pull(home, "ann", "Heal it", f"closes #{place.number}")
    for number in range(150):
        github.open_pull(home, "eve", f"other {number}", "nothing")
    (found,) = await client.pulls(place)
    assert (found.author, found.state) == ("ann", PullState.OPENED)


async def test_one_comment_however_often(client: GitHub, issue: Issue, place: Place) -> None:
    first = await client.comment(place, 0, MARKER, TEXT)
    assert await client.comment(place, first, MARKER, TEXT + "more") == first
    assert await client.comment(place, 0, MARKER, TEXT) == first, "found by its marker"
    assert [(one.id, one.body, one.edits) for one in issue.comments] == [(first, TEXT, 2)]


@pytest.mark.parametrize("kind", [Kind.RESET, Kind.HTML, Kind.UNAVAILABLE, Kind.TRUNCATED, Kind.CUT, Kind.EMPTY])
async def test_a_comment_whose_answer_is_lost_is_not_made_twice(
    client: GitHub, github: BusyGitHub, issue: Issue, place: Place, kind: Kind
) -> None:
    github.faults.add(Fault(kind, created=True, where="POST */comments"))
    with pytest.raises(Retryable):
        await client.comment(place, 0, MARKER, TEXT)
    await client.comment(place, 0, MARKER, TEXT)
    assert len(issue.comments) == 1


async def test_a_comment_of_somebody_else_is_not_taken_for_ours(client: GitHub, issue: Issue, place: Place) -> None:
    """Anybody may write our marker; only what our app made is ours."""
    issue.comments += [Comment(1, TEXT), Comment(2, TEXT, app=99)]
    made = await client.comment(place, 0, MARKER, TEXT)
    assert [one.id for one in issue.comments] == [1, 2, made]


async def test_a_comment_that_was_deleted_is_made_anew(client: GitHub, issue: Issue, place: Place) -> None:
    first = await client.comment(place, 0, MARKER, TEXT)
    issue.comments.clear()
    assert await client.comment(place, first, MARKER, TEXT) != first
    assert len(issue.comments) == 1


async def test_a_locked_issue_takes_no_comment(client: GitHub, issue: Issue, place: Place) -> None:
    issue.locked = True
    with pytest.raises(Rejected):
        await client.comment(place, 0, MARKER, TEXT)


@pytest.mark.parametrize(("login", "found"), [("mia", "mia"), ("moe", "moe"), ("bob", ""), ("eve", "")])
async def test_who_maintains_a_repository(
    client: GitHub, github: BusyGitHub, place: Place, login: str, found: str
) -> None:
    person = github.town.person(login)
    assert await client.maintains(place, person.id) == (ForgeAccount(person.id, found) if found else None)


async def test_who_takes_over_a_name_takes_over_no_rights(
    client: GitHub, github: BusyGitHub, home: SimulatedRepository, place: Place
) -> None:
    """Accounts are asked for by number."""
    mia = github.town.person("mia")
    mia.login = "mia-who-was"
    thief = github.town.person("mia")
    assert await client.maintains(place, thief.id) is None
    assert await client.maintains(place, mia.id) == ForgeAccount(mia.id, "mia-who-was")
    assert await client.maintains(place, 1) is None


async def test_a_repository_under_its_old_name(
    client: GitHub, github: BusyGitHub, home: SimulatedRepository, place: Place
) -> None:
    github.rename(home, "acme/wonders")
    assert await client.issue(place) is not None
    assert await client.comment(place, 0, MARKER, TEXT)
    assert len(home.issues[place.number].comments) == 1


async def test_another_installations_repository_is_closed_to_us(
    client: GitHub, github: BusyGitHub, place: Place
) -> None:
    """Its token opens only its own."""
    other = github.install("other/place", mallory="admin")
    assert await client.issue(replace(place, installation=other.installation)) is None


async def test_an_app_that_was_taken_away_says_nothing_of_an_issue(
    client: GitHub, github: BusyGitHub, place: Place
) -> None:
    github.api.suspended.add(place.installation)
    with pytest.raises(Rejected, match="not installed"):
        await client.issue(place)


async def test_all_repositories_and_their_labelled_issues(client: GitHub, github: BusyGitHub, place: Place) -> None:
    github.install("acme/gadgets", mia="admin")
    assert {one.name async for one in client.repositories()} == {"acme/widgets", "acme/gadgets"}
    assert [one.number async for one in client.labelled(place)] == [place.number]


async def test_one_installation_that_is_closed_to_us_hides_no_other(
    client: GitHub, github: BusyGitHub, place: Place
) -> None:
    """It was taken away after it was listed, or is suspended."""
    gone = github.install("other/place", mallory="admin")
    github.api.suspended.add(gone.installation)
    assert [one.name async for one in client.repositories()] == ["acme/widgets"]


async def test_repositories_are_listed_to_the_last(client: GitHub, github: BusyGitHub, place: Place) -> None:
    """Who is not listed counts as taken away: a thousand and more are listed as well."""
    first = next(iter(github.town.repositories.values()))
    for number in range(1_050):
        made = SimulatedRepository(number + 1, f"acme/r{number}", first.installation)
        github.town.repositories[made.id] = made
    assert len([one async for one in client.repositories()]) == 1_051


async def test_since_when_an_issue_is_a_bounty(client: GitHub, github: BusyGitHub, place: Place) -> None:
    """The newest label of ours tells; without it nothing is asked."""
    clock = github.agenda.clock
    home, issue = next(iter(github.town.repositories.values())), None
    issue = home.issues[place.number]
    clock.advance(60)  # type: ignore[attr-defined]
    github.unlabel(home, issue)
    clock.advance(60)  # type: ignore[attr-defined]
    github.label(home, issue, "help wanted")
    assert (await client.issue(place)).labelled_at == 0  # type: ignore[union-attr]
    clock.advance(60)  # type: ignore[attr-defined]
    github.label(home, issue)
    found = await client.issue(place)
    assert found is not None
    assert found.labelled_at == github.agenda.now() // 1000 * 1000


async def test_a_rate_limit_is_respected_before_it_ends(client: GitHub, github: BusyGitHub, place: Place) -> None:
    """Others share it; we say how long to wait, and ask nothing more."""
    github.agenda.clock.at = 4_000_000_000_000  # type: ignore[attr-defined]  # its reset lies ahead of the real clock
    github.api.remaining = 40
    await client.all_pulls(place)
    asked = len(github.server.calls)
    with pytest.raises(Retryable) as refused:
        await client.issue(place)
    assert refused.value.after_s is not None
    assert len(github.server.calls) == asked


async def test_told_to_slow_down(client: GitHub, github: BusyGitHub, place: Place) -> None:
    github.faults.add(Fault(Kind.RATE_LIMITED, delay_s=7, where="GET /repos/*"))
    with pytest.raises(Retryable) as refused:
        await client.issue(place)
    assert refused.value.after_s == 7
    assert await client.issue(place) is not None


@pytest.mark.parametrize("kind", [Kind.RESET, Kind.HTML, Kind.UNAVAILABLE, Kind.TRUNCATED, Kind.EMPTY, Kind.UNTRUE])
async def test_a_broken_answer_says_nothing(client: GitHub, github: BusyGitHub, place: Place, kind: Kind) -> None:
    """Least of all that the issue is gone, or that somebody may."""
    await client.issue(place)
    github.faults.add(Fault(kind, where="GET /repos/*", times=9))
    with pytest.raises(Retryable):
        await client.issue(place)
    with pytest.raises(Retryable):
        await client.maintains(place, github.town.person("mia").id)


async def test_a_key_that_is_none(github: BusyGitHub, place: Place) -> None:
    async with aiohttp.ClientSession() as session:
        client = GitHub(session, App(APP_ID, "no key", url=github.url))
        with pytest.raises(BadSettings):
            await client.issue(place)


async def test_another_apps_key(github: BusyGitHub, place: Place) -> None:
    async with aiohttp.ClientSession() as session:
        client = GitHub(session, App("1", github.private_key, url=github.url))
        with pytest.raises(Retryable):
            await client.issue(place)


async def test_somebody_in_another_process_plays_the_people(github: BusyGitHub, home: SimulatedRepository) -> None:
    """What the sandbox's user does with curl."""
    at = f"{github.url}/_sandbox"
    async with aiohttp.ClientSession() as session:

        async def does(path: str, **body: object) -> int:
            async with session.post(at + path, json=body) as answer:
                return answer.status

        assert await does("/repositories", name="acme/more", roles={"mia": "admin"}) == 200
        assert await does(f"/{home.id}/issues", title="It hurts", labels=["bounty"]) == 200
        assert await does(f"/{home.id}/pulls", author="ann", title="Heal it", body="Closes #1") == 200
        assert await does(f"/{home.id}/pulls/2/merge", closes=[1]) == 200
        assert await does(f"/{home.id}/issues/1/unlabel") == 200
        assert await does(f"/{home.id}/issues/9/close") == 404
        assert await does("/1/issues") == 404
        async with session.get(at) as answer:
            told = await answer.json()
    assert [one["full_name"] for one in told["repositories"]] == ["acme/widgets", "acme/more"]
    assert (home.issues[1].open, home.issues[1].labels, home.pulls[2].merged_at > 0) == (False, set(), True)


def test_the_key_is_not_shown() -> None:
    assert "secret" not in repr(App("1", "secret"))
