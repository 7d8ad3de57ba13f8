"""The part of GitHub's API that Payflow uses, for one app, over what the town has."""

from dataclasses import replace
from functools import cache, partial
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from adapters.sandbox.agenda import Agenda
from adapters.sandbox.github import payloads
from adapters.sandbox.github.town import Comment, GitHubUser, Issue, SimulatedRepository, Town
from adapters.sandbox.server import CallRefused, Handler, Route, ServedAnswer, ServedCall

Json = dict[str, Any]

APP_ID = "4242"
TOKEN = "ghs_sandbox"  # noqa: S105  (of a simulator)
USER_TOKEN = "gho_sandbox"  # noqa: S105  (as above)
CLIENT_ID, CLIENT_SECRET = "Iv1.sandbox", "sandbox client secret"
LIMIT = 5000


@cache
def app_key() -> rsa.RSAPrivateKey:
    """Give the key of the app that is installed here."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Api:
    """Answers what is asked of GitHub."""

    def __init__(self, town: Town, agenda: Agenda) -> None:
        self._town = town
        self._agenda = agenda
        self.visitor = "mia"
        """Who signs in when somebody is sent here."""
        self._codes: dict[str, str] = {}
        self.suspended: set[int] = set()
        """Installations that were taken away."""
        self.permissions = {"issues": "write", "pull_requests": "read", "metadata": "read"}
        """What the app was given."""
        self.remaining = LIMIT
        """How many more requests the rate limit allows."""

    def routes(self) -> list[Route]:
        """List what is answered."""
        repo = "/repos/{owner}/{repo}"
        routes = [
            Route("GET", "/app", self._app),
            Route("GET", "/app/installations", self._installations),
            Route("POST", "/app/installations/{installation}/access_tokens", self._access),
            Route("GET", "/installation/repositories", self._installed),
            Route("GET", "/login/oauth/authorize", self._authorize),
            Route("POST", "/login/oauth/access_token", self._exchange),
            Route("GET", "/user", self._me),
            Route("GET", "/user/{id}", self._user),
            Route("GET", f"{repo}/issues", self._issues),
            Route(
                "GET",
                f"{repo}/issues/{{number}}",
                lambda call: self._ok(payloads.issue(self._home(call), self._issue_of(call))),
            ),
            Route("GET", f"{repo}/issues/{{number}}/events", self._events),
            Route("GET", f"{repo}/issues/{{number}}/comments", self._comments),
            Route("POST", f"{repo}/issues/{{number}}/comments", self._add_comment, pays=True),
            Route("PATCH", f"{repo}/issues/comments/{{comment}}", self._edit_comment, pays=True),
            Route("GET", f"{repo}/pulls", self._pulls),
            Route("GET", f"{repo}/collaborators/{{login}}/permission", self._permission),
        ]
        return [
            replace(one, handler=partial(self._by_name, one.handler)) if one.path.startswith(repo) else one
            for one in routes
        ]

    def _by_name(self, handler: Handler, call: ServedCall) -> ServedAnswer:
        """Send whoever asks under an old name to the new one."""
        asked = f"{call.params['owner']}/{call.params['repo']}"
        home = self._town.repository(asked)
        if home is None or home.name.casefold() == asked.casefold():
            return handler(call)
        status = HTTPStatus.MOVED_PERMANENTLY if call.method == "GET" else HTTPStatus.TEMPORARY_REDIRECT
        place = call.path.replace(asked, home.name, 1) + (f"?{urlencode(call.query)}" if call.query else "")
        return ServedAnswer(status, {"message": status.phrase}, {"Location": place})

    def _app(self, call: ServedCall) -> ServedAnswer:
        self._must_be_app(call)
        events = ["issues", "pull_request", "repository"]
        return self._ok({"id": int(APP_ID), "slug": "payflow", "permissions": self.permissions, "events": events})

    def _installations(self, call: ServedCall) -> ServedAnswer:
        self._must_be_app(call)
        found = sorted({home.installation for home in self._town.repositories.values()})
        listed = [{"id": one, "suspended_at": None} for one in found]
        return self._ok(_page(call, listed))

    def _access(self, call: ServedCall) -> ServedAnswer:
        self._must_be_app(call)
        if int(call.params["installation"]) in self.suspended:
            return _refused(HTTPStatus.NOT_FOUND)
        token = f"{TOKEN}_{call.params['installation']}"
        return ServedAnswer(
            HTTPStatus.CREATED, {"token": token, "expires_at": payloads.stamp(self._agenda.now() + 3_600_000)}
        )

    def _must_be_app(self, call: ServedCall) -> None:
        token = call.headers.get("authorization", "").partition(" ")[2]
        try:
            said = jwt.decode(token, app_key().public_key(), algorithms=["RS256"], options={"verify_iat": False})
        except jwt.PyJWTError as error:
            raise _refuse(HTTPStatus.UNAUTHORIZED) from error
        if str(said.get("iss")) != APP_ID:
            raise _refuse(HTTPStatus.UNAUTHORIZED)

    def _installation(self, call: ServedCall) -> int:
        token = call.headers.get("authorization", "").partition(" ")[2]
        tail = token.removeprefix(f"{TOKEN}_")
        return int(tail) if tail.isdecimal() else 0

    def _home(self, call: ServedCall) -> SimulatedRepository:
        """Find the repository of a call, if the token opens it."""
        home = self._town.repository(f"{call.params['owner']}/{call.params['repo']}")
        if home is None or home.installation != self._installation(call):
            raise _refuse(HTTPStatus.NOT_FOUND)
        return home

    def _installed(self, call: ServedCall) -> ServedAnswer:
        mine = [one for one in self._town.repositories.values() if one.installation == self._installation(call)]
        return self._ok({"repositories": _page(call, [payloads.repository(one) for one in mine])})

    def _authorize(self, call: ServedCall) -> ServedAnswer:
        """Whoever sits at the browser says yes at once."""
        code = f"code-{next(self._town.ids)}"
        self._codes[code] = self.visitor
        query = urlencode({"code": code, "state": call.query.get("state", "")})
        return ServedAnswer(HTTPStatus.FOUND, {}, {"Location": f"{call.query['redirect_uri']}?{query}"})

    def _exchange(self, call: ServedCall) -> ServedAnswer:
        body = call.body
        login = self._codes.pop(str(body.get("code")), "")
        if not login or (body.get("client_id"), body.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return self._ok({"error": "bad_verification_code"})
        return self._ok({"access_token": f"{USER_TOKEN}_{self._town.person(login).id}"})

    def _me(self, call: ServedCall) -> ServedAnswer:
        token = call.headers.get("authorization", "").partition(" ")[2]
        found = self._town.people.get(int(token.removeprefix(f"{USER_TOKEN}_") or 0)) if USER_TOKEN in token else None
        return self._ok(payloads.user(found)) if found else _refused(HTTPStatus.UNAUTHORIZED)

    def _user(self, call: ServedCall) -> ServedAnswer:
        found = self._town.people.get(int(call.params["id"]))
        return self._ok(payloads.user(found)) if found and self._installation(call) else _refused(HTTPStatus.NOT_FOUND)

    def _issues(self, call: ServedCall) -> ServedAnswer:
        home = self._home(call)
        if home.blocked:
            return _refused(HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS)
        label = call.query.get("labels", "")
        found = [
            one for one in home.issues.values() if one.open and not one.deleted and (not label or label in one.labels)
        ]
        return self._ok(_page(call, [payloads.issue(home, one) for one in found]))

    def _issue_of(self, call: ServedCall) -> Issue:
        found = self._home(call).issues.get(int(call.params["number"]))
        if found is None or found.deleted:
            raise _refuse(HTTPStatus.NOT_FOUND)
        return found

    def _comments(self, call: ServedCall) -> ServedAnswer:
        return self._ok(_page(call, [payloads.comment(one) for one in self._issue_of(call).comments]))

    def _events(self, call: ServedCall) -> ServedAnswer:
        return self._ok(_page(call, [payloads.event(*one) for one in self._issue_of(call).events]))

    def _add_comment(self, call: ServedCall) -> ServedAnswer:
        issue = self._issue_of(call)
        if issue.locked:
            return _refused(HTTPStatus.FORBIDDEN)
        made = Comment(next(self._town.ids), str(call.body.get("body") or ""), int(APP_ID))
        issue.comments.append(made)
        return ServedAnswer(HTTPStatus.CREATED, payloads.comment(made), self._limits())

    def _edit_comment(self, call: ServedCall) -> ServedAnswer:
        home, wanted = self._home(call), int(call.params["comment"])
        for issue in home.issues.values():
            for one in issue.comments:
                if one.id == wanted and one.app and not issue.deleted:
                    one.body, one.edits = str(call.body.get("body") or ""), one.edits + 1
                    return self._ok(payloads.comment(one))
        return _refused(HTTPStatus.NOT_FOUND)

    def _pulls(self, call: ServedCall) -> ServedAnswer:
        home = self._home(call)
        found = sorted(home.pulls.values(), key=lambda one: one.updated_at, reverse=True)
        return self._ok(_page(call, [payloads.pull(home, one) for one in found]))

    def _permission(self, call: ServedCall) -> ServedAnswer:
        home, person = self._home(call), self._by_login(call.params["login"])
        if person is None:
            return _refused(HTTPStatus.NOT_FOUND)
        role = home.roles.get(person.id, "read")
        permission = {"maintain": "write", "triage": "read"}.get(role, role)
        return self._ok({"permission": permission, "role_name": role, "user": payloads.user(person)})

    def _by_login(self, login: str) -> GitHubUser | None:
        return next((one for one in self._town.people.values() if one.login.casefold() == login.casefold()), None)

    def _ok(self, body: object) -> ServedAnswer:
        self.remaining -= 1
        return ServedAnswer(HTTPStatus.OK, body, self._limits())

    def _limits(self) -> dict[str, str]:
        reset = str(self._agenda.now() // 1000 + 3600)
        left = str(max(0, self.remaining))
        return {"X-RateLimit-Limit": str(LIMIT), "X-RateLimit-Remaining": left, "X-RateLimit-Reset": reset}


def _page(call: ServedCall, found: list[Json]) -> list[Json]:
    size, page = int(call.query.get("per_page", "30")), int(call.query.get("page", "1"))
    return found[(page - 1) * size : page * size]


def _refused(status: HTTPStatus) -> ServedAnswer:
    return ServedAnswer(status, {"message": status.phrase})


def _refuse(status: HTTPStatus) -> CallRefused:
    return CallRefused(status.phrase, _refused(status))
