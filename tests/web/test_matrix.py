"""Every place of the service, each asked by everybody: who is let in, who is refused, and that nobody sees another's.

The places are those that the service really serves, taken from its router. One that has no line in the table below
fails the test, and so does a line without a place.
"""

import hashlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from machines.core.clock import DAY, FixedClock
from payflow.app.installation import opened
from payflow.config import Settings, load
from payflow.desk.identity import PersonChange, add_person, disable_person
from payflow.desk.person import Person
from payflow.desk.readiness import Readiness
from payflow.store.registers.tokens import Role, Session, Sessions, Tokens, TokenScope, digest_of
from payflow.store.seals import new_key
from payflow.store.store import Store
from payflow.web.http import app
from payflow.web.http.probes import Probes
from tests.adapters.open_ethereum_pool.mine import payouts_json, write_config
from tests.bounties import Fair, Json, open_fair
from tests.chain import LANE
from tests.servers import Server

HERE = {"bank_code": "044", "account_number": "0123454711"}
NOTE, EARNING = "meant for ann alone", "earned-by-ann-7"
LISTENS = "https://hooks.example/of-shop-alone"
TITLE, PRIVATE = "Rot in the cellar", "acme/cellar"
STAFF = {"reviewer", "viewer", "operator", "reading"}
MAY_SEE: Mapping[str, set[str]] = {
    NOTE: {"ann", "shop", *STAFF}, "4711": {"ann", "shop", *STAFF}, EARNING: {"ann", "shop", *STAFF},
    LISTENS: {"shop", *STAFF}, TITLE: {"mia", *STAFF}, PRIVATE: {"mia", *STAFF},
}  # fmt: skip
"""What is in the store of somebody's, and who may read it."""

IDENTITIES = {
    "nobody": None,
    "ann": (Role.PROVIDER, "shop~ann"),
    "bob": (Role.PROVIDER, "shop~bob"),
    "shop": (Role.PLATFORM, "shop"),
    "rival": (Role.PLATFORM, "rival"),
    "reviewer": (Role.REVIEWER, ""),
    "viewer": (Role.VIEWER, ""),
    "operator": (Role.OPERATOR, ""),
    "gus": (Role.PROVIDER, "github:gus"),
    "mia": (Role.PROVIDER, "github:mia"),
    "expired": (Role.OPERATOR, ""),
    "reading": (Role.OPERATOR, ""),
    "disabled": (Role.OPERATOR, ""),
}
"""Who asks: nobody known; a provider and another one; the platform that brought the first, and another one; who works
here; a contributor, and who maintains the repository; an operator whose token expired, whose token only reads, who was
disabled."""

ADDRESS = "0x" + "ab" * 20
ASK = {"owner": "ann", "amount": "1000", "currency": "NGN", "method": "bank", "destination": HERE, "note": NOTE}
EARNED = {"id": EARNING, "owner": "ann", "amount": "5000", "currency": "NGN"}
SIGNED = {"message": "x", "signature": "0x" + "00" * 65}
SENT: Mapping[str, Json] = {
    "/api/payouts": ASK,
    "/cancel": {"reason": "no"},
    "/destination": {"destination": HERE},
    "/release": {"reason": "no"},
    "/api/provider/payouts": ASK,
    "/api/accounts/resolve": {"currency": "NGN", "method": "bank", "destination": HERE},
    "/api/provider/profile": {"notify": []},
    "/api/providers/eve": {"verified": False},
    "/api/earnings": EARNED | {"id": "of-eve", "owner": "eve"},
    "/api/earnings/batch": {"earnings": [EARNED | {"id": "another", "owner": "eve"}]},
    "/clawback": {"reference": "taken-back"},
    "/api/webhook-endpoints": {"url": "https://another.shop.example/"},
    "/api/webhook-endpoints/{endpoint}": {"enabled": False},
    "/replay": {"since": "2026-01-01"},
    "/approve": {"fingerprint": "0" * 24},
    "/reject": {"reason": "no"},
    "aaaa/resolve": {"reason": "no"},
    "aaaa/waive": {"reason": "no"},
    "aaaa/match": {"record": "payout-00-aaaaaaaaaaaaaaaa"},
    "/leave-out": {"rows": "3"},
    "/api/user": {"address": ADDRESS},
    "/release-address": SIGNED | {"address": ADDRESS},
    "/owner": SIGNED | {"address": ADDRESS},
    "/payout": {"payout-hash": "0x" + "00" * 32},
    "/agree": {"about": "what?"},
    "/refund-address": SIGNED | {"from": ADDRESS, "to": ADDRESS},
    "/revoke": {"issue-id": 0, "address": ADDRESS},
    "/remove-bot-confirmation": {"issue-id": 0},
}
"""What is sent with a request to the API, by the end of its path."""
FORM = {
    "reason": "because",
    "address": ADDRESS,
    "about": "what?",
    "pull": "1",
    "person": "1",
    "amount": "1000",
    "currency": "NGN",
    "method": "bank",
    "bank_code": "044",
    "account": HERE["account_number"],
    "account_number": HERE["account_number"],
    "to": "APPROVED",
    "version": "1",
    "seen": "0",
    "proposal": "none",
    "scope": "rail:none",
    "message": "none",
    "login": "none",
    "key": "once",
}
"""What is sent with every form."""

TABLE = """
                                                             no. ann bob shp riv rev vie ope gus mia exp rea dis
GET /                                                        303 303 303 303 303 303 303 303 303 303 303 303 303
GET /review                                                  303 303 303 303 303 303 303 303 303 303 303 303 303
GET /healthz                                                 200 200 200 200 200 200 200 200 200 200 200 200 200
GET /readyz                                                  200 200 200 200 200 200 200 200 200 200 200 200 200
GET /metrics                                                 200 200 200 200 200 200 200 200 200 200 200 200 200
GET /api/openapi.json                                        200 200 200 200 200 200 200 200 200 200 200 200 200
GET /api/methods                                             401 200 200 200 200 200 200 200 200 200 401 200 401
GET /api/banks?currency=NGN                                  401 503 503 503 503 503 503 503 503 503 401 503 401
POST /api/accounts/resolve                                   401 503 503 503 503 403 403 403 503 503 401 403 401
GET /api/payouts?owner=ann                                   401 200 403 200 404 200 200 200 403 403 401 200 401
GET /api/payouts/{payout}                                    401 200 404 200 404 200 200 200 404 404 401 200 401
GET /api/payouts/{payout}/receipt                            401 200 404 200 404 200 200 200 404 404 401 200 401
POST /api/payouts                                            401 201 403 201 404 403 403 403 403 403 401 403 401
POST /api/payouts/{payout}/cancel                            401 409 404 409 404 403 403 409 404 404 401 403 401
POST /api/payouts/{payout}/destination                       401 409 404 409 404 403 403 403 404 404 401 403 401
POST /api/payouts/{payout}/retry                             401 403 403 403 403 403 403 409 403 403 401 403 401
POST /api/payouts/{payout}/release                           401 403 403 403 403 403 403 409 403 403 401 403 401
GET /api/provider/payouts?owner=ann                          401 200 403 200 404 200 200 200 403 403 401 200 401
GET /api/provider/payouts/{payout}                           401 200 404 200 404 200 200 200 404 404 401 200 401
GET /api/provider/payouts/{payout}/receipt                   401 200 404 200 404 200 200 200 404 404 401 200 401
POST /api/provider/payouts                                   401 201 403 201 404 403 403 403 403 403 401 403 401
POST /api/provider/payouts/{payout}/cancel                   401 409 404 409 404 403 403 409 404 404 401 403 401
POST /api/provider/payouts/{payout}/destination              401 409 404 409 404 403 403 403 404 404 401 403 401
GET /api/provider/balance?owner=ann                          401 200 403 200 404 200 200 200 403 403 401 200 401
GET /api/provider/earnings?owner=ann                         401 200 403 200 404 200 200 200 403 403 401 200 401
GET /api/provider/statement?owner=ann&month={month}          401 200 403 200 404 200 200 200 403 403 401 200 401
GET /api/provider/profile?owner=ann                          401 200 403 200 404 200 200 200 403 403 401 200 401
PUT /api/provider/profile                                    401 200 200 403 403 403 403 403 200 200 401 403 401
PUT /api/providers/eve                                       401 403 403 200 200 403 403 403 403 403 401 403 401
POST /api/earnings                                           401 403 403 201 201 403 403 403 403 403 401 403 401
POST /api/earnings/batch                                     401 403 403 200 200 403 403 403 403 403 401 403 401
POST /api/earnings/{earning}/clawback                        401 403 403 200 404 403 403 403 403 403 401 403 401
GET /api/records/{payout}/receipt                            401 403 403 403 403 200 200 200 403 403 401 200 401
GET /api/receipts/{payout}/none                              404 404 404 404 404 404 404 404 404 404 404 404 404
GET /.well-known/payflow-keys.json                           200 200 200 200 200 200 200 200 200 200 200 200 200
GET /verify-receipt                                          200 200 200 200 200 200 200 200 200 200 200 200 200
GET /api/trouble                                             401 403 403 403 403 200 200 200 403 403 401 200 401
GET /api/reviews                                             401 403 403 403 403 200 200 200 403 403 401 200 401
POST /api/reviews/{payout}/approve                           401 403 403 403 403 409 403 403 403 403 401 403 401
POST /api/reviews/{payout}/reject                            401 403 403 403 403 409 403 403 403 403 401 403 401
GET /api/platform/payouts?platform=shop                      401 403 403 200 400 200 200 200 403 403 401 200 401
GET /api/platform/payouts/totals?platform=shop               401 403 403 200 400 200 200 200 403 403 401 200 401
GET /api/platform/providers?platform=shop                    401 403 403 200 400 200 200 200 403 403 401 200 401
GET /api/platform/balances?platform=shop                     401 403 403 200 400 200 200 200 403 403 401 200 401
GET /api/webhook-endpoints                                   401 403 403 200 200 200 200 200 403 403 401 200 401
POST /api/webhook-endpoints                                  401 403 403 201 201 403 403 403 403 403 401 403 401
GET /api/webhook-endpoints/{endpoint}                        401 403 403 200 404 200 200 200 403 403 401 200 401
PATCH /api/webhook-endpoints/{endpoint}                      401 403 403 200 404 403 403 200 403 403 401 403 401
POST /api/webhook-endpoints/{endpoint}/rotate                401 403 403 200 404 403 403 403 403 403 401 403 401
GET /api/webhook-endpoints/{endpoint}/deliveries             401 403 403 200 404 200 200 200 403 403 401 200 401
POST /api/webhook-endpoints/{endpoint}/replay                401 403 403 200 404 403 403 200 403 403 401 403 401
DELETE /api/webhook-endpoints/{endpoint}                     401 403 403 200 404 403 403 404 403 403 401 403 401
GET /api/reconciliation                                      401 403 403 403 403 200 200 200 403 403 401 200 401
GET /api/findings                                            401 403 403 403 403 200 200 200 403 403 401 200 401
GET /api/findings/finding-00-aaaaaaaaaaaaaaaa                401 403 403 403 403 404 404 404 403 403 401 404 401
POST /api/findings/finding-00-aaaaaaaaaaaaaaaa/resolve       401 403 403 403 403 403 403 404 403 403 401 403 401
POST /api/findings/finding-00-aaaaaaaaaaaaaaaa/waive         401 403 403 403 403 403 403 404 403 403 401 403 401
POST /api/findings/finding-00-aaaaaaaaaaaaaaaa/take          401 403 403 403 403 403 403 404 403 403 401 403 401
POST /api/findings/finding-00-aaaaaaaaaaaaaaaa/match         401 403 403 403 403 403 403 404 403 403 401 403 401
POST /api/payout-files?owner=ann                             401 200 403 200 404 403 403 200 403 403 401 403 401
GET /api/payout-files?owner=ann                              401 200 403 200 404 200 200 200 403 403 401 200 401
GET /api/payout-files/disbursement-00-aaaaaaaaaaaaaaaa       401 404 404 404 404 404 404 404 404 404 401 404 401
GET /api/payout-files/disbursement-00-aaaaaaaaaaaaaaaa/results 401 404 404 404 404 404 404 404 404 404 401 404 401
POST /api/payout-files/disbursement-00-aaaaaaaaaaaaaaaa/approve 401 403 403 403 403 404 403 403 403 403 401 403 401
POST /api/payout-files/disbursement-00-aaaaaaaaaaaaaaaa/leave-out 401 403 403 403 403 404 403 403 403 403 401 403 401
POST /api/payout-files/disbursement-00-aaaaaaaaaaaaaaaa/reject 401 403 403 403 403 404 403 403 403 403 401 403 401
POST /api/payout-files/disbursement-00-aaaaaaaaaaaaaaaa/cancel 401 404 404 404 404 403 403 404 404 404 401 403 401
POST /api/login                                              400 400 400 400 400 400 400 400 400 400 400 400 400
POST /api/login/answer                                       400 400 400 400 400 400 400 400 400 400 400 400 400
POST /api/login/end                                          400 400 400 400 400 400 400 400 400 400 400 400 400
POST /api/payout_status                                      401 401 401 401 401 401 401 401 401 401 401 401 401
POST /api/webhooks/flutterwave/payout_status                 401 401 401 401 401 401 401 401 401 401 401 401 401
POST /api/webhooks/paystack/payout_status                    401 401 401 401 401 401 401 401 401 401 401 401 401
POST /webhook-app                                            401 401 401 401 401 401 401 401 401 401 401 401 401
GET /api/open-bounties                                       200 200 200 200 200 200 200 200 200 200 200 200 200
GET /api/activity-feed                                       200 200 200 200 200 200 200 200 200 200 200 200 200
GET /api/top-hunters                                         200 200 200 200 200 200 200 200 200 200 200 200 200
GET /qr/acme/cellar/bounty/1/{bounty}/qr.png                 404 404 404 404 404 404 404 404 404 404 404 404 404
GET /api/user                                                401 200 200 200 200 200 200 200 200 200 401 200 401
POST /api/user                                               401 403 403 403 403 403 403 403 200 200 401 403 401
GET /api/user/bounties                                       401 200 200 200 200 200 200 200 200 200 401 200 401
GET /api/user/repositories                                   401 200 200 200 200 200 200 200 200 200 401 200 401
GET /api/user/enabled-repositories                           401 200 200 200 200 200 200 200 200 200 401 200 401
GET /api/user/proof?address={eth}                            401 403 403 403 403 403 403 403 200 200 401 403 401
POST /api/user/release-address                               401 403 403 403 403 403 403 403 400 400 401 403 401
POST /api/user/withdraw-address                              401 403 403 403 403 403 403 403 200 200 401 403 401
POST /api/user/repository/{home}/owner                       401 404 404 403 403 403 403 403 404 400 401 403 401
GET /api/user/bounty/{issue}                                 401 404 404 404 404 200 200 200 404 200 401 200 401
GET /api/user/bounty/{issue}/confirmation?owner={eth}        401 404 404 403 403 403 403 403 404 409 401 403 401
POST /api/user/bounty/{issue}/payout                         401 404 404 403 403 403 403 403 404 409 401 403 401
POST /api/user/bounty/{issue}/agree                          401 404 404 403 403 403 403 409 404 409 401 403 401
GET /api/user/bounty/{issue}/refund-proof?from={eth}&to={eth} 401 404 404 403 403 403 403 403 404 200 401 403 401
POST /api/user/bounty/{issue}/refund-address                 401 404 404 403 403 403 403 403 404 400 401 403 401
POST /api/user/revoke                                        401 404 404 403 403 403 403 403 404 409 401 403 401
POST /api/user/remove-bot-confirmation                       401 404 404 403 403 403 403 403 404 409 401 403 401
GET /bounties                                                303 200 200 403 403 200 200 200 200 200 303 200 303
GET /bounties/sign-in                                        200 200 200 200 200 200 200 200 200 200 200 200 200
POST /bounties/sign-in                                       401 303 303 403 403 303 303 303 303 303 401 303 401
POST /bounties/sign-out                                      401 303 303 403 403 303 303 303 303 303 401 303 401
GET /bounties/github                                         303 303 303 303 303 303 303 303 303 303 303 303 303
GET /bounties/github/back?state=x                            403 403 403 403 403 403 403 403 403 403 403 403 403
GET /bounties/static/bounties.css                            200 200 200 200 200 200 200 200 200 200 200 200 200
POST /bounties/address                                       401 403 403 403 403 403 403 403 303 303 401 403 401
POST /bounties/address/withdraw                              401 403 403 403 403 403 403 403 303 303 401 403 401
POST /bounties/owners/{home}/remove                          401 404 404 403 403 403 403 403 404 303 401 403 401
POST /bounties/{issue}/agree                                 401 404 404 403 403 403 403 409 404 409 401 403 401
POST /bounties/{issue}/decide                                401 403 403 403 403 403 403 409 403 403 401 403 401
POST /bounties/{issue}/reassign                              401 404 404 403 403 403 403 403 404 409 401 403 401
POST /bounties/{issue}/retract                               401 404 404 403 403 403 403 403 404 409 401 403 401
POST /bounties/{issue}/revoke                                401 404 404 403 403 403 403 403 404 409 401 403 401
POST /bounties/{issue}/sweep                                 401 404 404 403 403 403 403 403 404 409 401 403 401
GET /portal                                                  303 200 200 403 403 403 403 403 200 200 303 403 303
GET /portal/sign-in                                          200 200 200 200 200 200 200 200 200 200 200 200 200
POST /portal/sign-in                                         401 303 303 403 403 403 403 403 303 303 401 403 401
POST /portal/sign-out                                        401 303 303 403 403 403 403 403 303 303 401 403 401
GET /portal/statement?month={month}                          303 200 200 403 403 403 403 403 200 200 303 403 303
POST /portal/payouts                                         401 303 400 403 403 403 403 403 400 400 401 403 401
POST /portal/payouts/{payout}/cancel                         401 409 404 403 403 403 403 403 404 404 401 403 401
GET /portal/payouts/{payout}/receipt                         303 200 404 403 403 403 403 403 404 404 303 403 303
GET /admin                                                   303 403 403 403 403 200 200 200 403 403 303 200 303
GET /admin/                                                  303 303 303 303 303 303 303 303 303 303 303 303 303
GET /admin/nothing                                           303 403 403 403 403 404 404 404 403 403 303 404 303
GET /admin/sign-in                                           200 200 200 200 200 200 200 200 200 200 200 200 200
POST /admin/sign-in                                          401 403 403 403 403 303 303 303 403 403 401 303 401
POST /admin/sign-in/challenge                                409 409 409 409 409 409 409 409 409 409 409 409 409
GET /admin/sign-in/issuer                                    409 409 409 409 409 409 409 409 409 409 409 409 409
GET /admin/sign-in/issuer/back?state=x                       200 200 200 200 200 200 200 200 200 200 200 200 200
GET /admin/sign-in/issuer/done?state=x                       409 409 409 409 409 409 409 409 409 409 409 409 409
GET /admin/prove                                             303 403 403 403 403 409 409 409 403 403 303 409 303
POST /admin/sign-out                                         401 403 403 403 403 303 303 303 403 403 401 303 401
GET /admin/login                                             303 403 403 403 403 200 200 200 403 403 303 200 303
POST /admin/login/confirm                                    401 403 403 403 403 404 404 404 403 403 401 403 401
POST /admin/login/decline                                    401 403 403 403 403 404 404 404 403 403 401 403 401
GET /admin/passkeys                                          303 403 403 403 403 200 200 200 403 403 303 200 303
POST /admin/passkeys/add                                     401 403 403 403 403 409 409 409 403 403 401 403 401
POST /admin/passkeys/remove                                  401 403 403 403 403 404 404 404 403 403 401 403 401
GET /admin/static/admin.css                                  200 200 200 200 200 200 200 200 200 200 200 200 200
GET /admin/live                                              303 403 403 403 403 200 200 200 403 403 303 200 303
GET /admin/review                                            303 403 403 403 403 200 200 200 403 403 303 200 303
GET /admin/records                                           303 403 403 403 403 200 200 200 403 403 303 200 303
GET /admin/records.csv                                       303 403 403 403 403 200 200 200 403 403 303 200 303
GET /admin/records/{payout}                                  303 403 403 403 403 200 200 200 403 403 303 200 303
GET /admin/records/{payout}/receipt                          303 403 403 403 403 200 200 200 403 403 303 200 303
GET /admin/records/{payout}/do/approve                       303 403 403 403 403 409 403 403 403 403 303 403 303
POST /admin/records/{payout}/do/approve                      401 403 403 403 403 409 403 403 403 403 401 403 401
POST /admin/records/{payout}/do/reject                       401 403 403 403 403 409 403 403 403 403 401 403 401
POST /admin/records/{payout}/do/cancel                       401 403 403 403 403 403 403 409 403 403 401 403 401
POST /admin/records/{payout}/do/release                      401 403 403 403 403 403 403 409 403 403 401 403 401
POST /admin/records/{payout}/do/retry                        401 403 403 403 403 403 403 409 403 403 401 403 401
POST /admin/records/{payout}/do/adopt                        401 403 403 403 403 403 403 404 403 403 401 403 401
POST /admin/records/{payout}/do/bump                         401 403 403 403 403 403 403 404 403 403 401 403 401
POST /admin/records/{payout}/do/withdraw                     401 403 403 403 403 403 403 404 403 403 401 403 401
GET /admin/records/{payout}/override?to=APPROVED             303 403 403 403 403 403 403 200 403 403 303 200 303
POST /admin/records/{payout}/override                        401 403 403 403 403 403 403 409 403 403 401 403 401
POST /admin/records/{payout}/override/propose                401 403 403 403 403 403 403 409 403 403 401 403 401
POST /admin/records/{payout}/take-up                         401 403 403 403 403 403 403 303 403 403 401 403 401
GET /admin/bulk?verb=retry&id={payout}                       303 403 403 403 403 403 403 200 403 403 303 200 303
GET /admin/bulk/none                                         303 403 403 403 403 404 404 404 403 403 303 404 303
POST /admin/bulk/retry                                       401 403 403 403 403 403 403 409 403 403 401 403 401
POST /admin/bulk/resync                                      401 403 403 403 403 403 403 409 403 403 401 403 401
POST /admin/bulk/cancel                                      401 403 403 403 403 403 403 409 403 403 401 403 401
POST /admin/bulk/release                                     401 403 403 403 403 403 403 409 403 403 401 403 401
POST /admin/bulk/approve                                     401 403 403 403 403 409 403 403 403 403 401 403 401
POST /admin/bulk/resume                                      401 403 403 403 403 403 403 409 403 403 401 403 401
POST /admin/bulk/none/retry                                  401 403 403 403 403 403 403 404 403 403 401 403 401
POST /admin/bulk/none/resync                                 401 403 403 403 403 403 403 404 403 403 401 403 401
POST /admin/bulk/none/cancel                                 401 403 403 403 403 403 403 404 403 403 401 403 401
POST /admin/bulk/none/release                                401 403 403 403 403 403 403 404 403 403 401 403 401
POST /admin/bulk/none/approve                                401 403 403 403 403 404 403 403 403 403 401 403 401
POST /admin/bulk/none/resume                                 401 403 403 403 403 403 403 404 403 403 401 403 401
GET /admin/proposals                                         303 403 403 403 403 200 200 200 403 403 303 200 303
POST /admin/proposals/confirm                                401 403 403 403 403 409 403 409 403 403 401 403 401
POST /admin/proposals/decline                                401 403 403 403 403 409 403 409 403 403 401 403 401
POST /admin/proposals/sign-off                               401 403 403 403 403 403 403 404 403 403 401 403 401
GET /admin/files                                             303 403 403 403 403 200 200 200 403 403 303 200 303
GET /admin/files/none                                        303 403 403 403 403 404 404 404 403 403 303 404 303
GET /admin/files/none/results.csv                            303 403 403 403 403 404 404 404 403 403 303 404 303
POST /admin/files/upload                                     401 403 403 403 403 403 403 400 403 403 401 403 401
POST /admin/files/none/approve                               401 403 403 403 403 404 403 403 403 403 401 403 401
POST /admin/files/none/leave-out                             401 403 403 403 403 404 403 403 403 403 401 403 401
POST /admin/files/none/reject                                401 403 403 403 403 404 403 403 403 403 401 403 401
POST /admin/files/none/cancel                                401 403 403 403 403 403 403 404 403 403 401 403 401
GET /admin/batches                                           303 403 403 403 403 200 200 200 403 403 303 200 303
GET /admin/batches/none                                      303 403 403 403 403 404 404 404 403 403 303 404 303
GET /admin/ledger                                            303 403 403 403 403 200 200 200 403 403 303 200 303
POST /admin/ledger/check                                     401 403 403 403 403 303 403 303 403 403 401 403 401
GET /admin/reconciliation                                    303 403 403 403 403 200 200 200 403 403 303 200 303
GET /admin/reconciliation/finding-00-aaaaaaaaaaaaaaaa        303 403 403 403 403 404 404 404 403 403 303 404 303
POST /admin/reconciliation/resolve                           401 403 403 403 403 403 403 409 403 403 401 403 401
POST /admin/reconciliation/waive                             401 403 403 403 403 403 403 409 403 403 401 403 401
POST /admin/reconciliation/take                              401 403 403 403 403 403 403 409 403 403 401 403 401
POST /admin/reconciliation/match                             401 403 403 403 403 403 403 409 403 403 401 403 401
GET /admin/outbox                                            303 403 403 403 403 200 200 200 403 403 303 200 303
POST /admin/outbox/replay                                    401 403 403 403 403 403 403 409 403 403 401 403 401
GET /admin/sessions                                          303 403 403 403 403 200 200 200 403 403 303 200 303
POST /admin/sessions/end                                     401 403 403 403 403 404 404 404 403 403 401 403 401
POST /admin/sessions/role                                    401 403 403 403 403 403 403 403 403 403 401 403 401
GET /admin/audit                                             303 403 403 403 403 200 200 200 403 403 303 200 303
POST /admin/audit/check                                      401 403 403 403 403 303 403 303 403 403 401 403 401
POST /admin/pause                                            401 403 403 403 403 403 403 409 403 403 401 403 401
POST /admin/resume                                           401 403 403 403 403 403 403 409 403 403 401 403 401
GET /admin/pool                                              303 403 403 403 403 303 303 303 403 403 303 303 303
GET /admin/pool/eth                                          303 403 403 403 403 200 200 200 403 403 303 200 303
GET /admin/pool/eth/runs/1                                   303 403 403 403 403 404 404 404 403 403 303 404 303
GET /admin/pool/eth/resolve                                  303 403 403 403 403 403 403 409 403 403 303 409 303
POST /admin/pool/eth/resolve                                 401 403 403 403 403 403 403 409 403 403 401 403 401
"""
"""One line a place: what each of IDENTITIES, in their order, is answered."""


@dataclass(frozen=True)
class House:
    """The whole service, and who stands before it."""

    address: str
    session: aiohttp.ClientSession
    sessions: Sessions
    secrets: Mapping[str, str]
    """What each shows."""
    names: Mapping[str, str]
    """What the places of the table say in braces."""

    def path(self, place: str) -> str:
        """Give a place of the table as it is asked for."""
        return place.format_map(self.names)

    async def asked(self, who: str, method: str, place: str) -> tuple[int, str]:
        """Let somebody ask for a place; gives the status, and all that is answered where that has an end."""
        secret = self.secrets.get(who, "")
        more: dict[str, Any] = {}
        if place.startswith("/api/"):
            more["headers"] = {"Authorization": f"Bearer {secret}"} if secret else {}
            if method != "GET":
                more["json"] = self._body(place)
        elif secret:
            opened = await self.sessions.open(Session(digest_of(secret)), 600)
            csrf = hashlib.sha256(b"form of " + opened.encode()).hexdigest()
            cookies = "; ".join(f"payflow_{pages}={opened}" for pages in ("admin", "portal", "bounties"))
            more["headers"] = {"Cookie": cookies}
            if method != "GET":
                more["data"] = FORM | {"csrf": csrf, "token": secret}
        url = self.address + self.path(place)
        async with self.session.request(method, url, allow_redirects=False, **more) as answer:
            ends = answer.content_type != "text/event-stream"
            return answer.status, str(answer.headers) + (await answer.text(errors="replace") if ends else "")

    def _body(self, place: str) -> Json:
        fits = [
            body for end, body in SENT.items() if (place == end if end.startswith("/api/") else place.endswith(end))
        ]
        body = fits[-1] if fits else {}
        return body | {"issue-id": int(self.names["issue"])} if "issue-id" in body else body


@asynccontextmanager
async def house(settings: Settings, folder: Path) -> AsyncIterator[tuple[House, web.UrlDispatcher]]:
    """Serve all that an installation can serve: every gateway, bounties, a pool, the probes."""
    gateways = {
        "flutterwave_secret_key": "FLWSECK-x",
        "flutterwave_webhook_hash": "a" * 32,
        "paystack_secret_key": "sk_live_" + "b" * 32,
        "seal_keys": new_key(),
        "payout_most_open": 0,
        "oidc_issuer": "http://127.0.0.1:9",
        "oidc_client_id": "payflow",
        "oidc_client_secret": "c" * 32,
    }
    async with open_fair(settings, "safe", folder, **gateways) as fair:
        nobody = cast("Server", SimpleNamespace(port=9))
        file = write_config(folder / "payouts.json", payouts_json(nobody, fair.chain.url, LANE.address))
        own = load({}, **(fair.settings.model_dump() | {"pools": str(file)}))
        async with opened(own) as payflow:
            probes = Probes(payflow.store, payflow.metrics, Readiness(payflow.store)).routes()
            served = app.application(probes, payflow.parts.routes())
            async with app.listening(served, "127.0.0.1", 0) as address:
                secrets = await everybody(fair, payflow.store)
                yield await moved_in(fair, payflow.store, secrets, address), served.router


async def everybody(fair: Fair, store: Store) -> dict[str, str]:
    """Make a token for everybody who has one."""
    now, long_ago = Tokens(store.link), Tokens(store.link, FixedClock(1_000_000_000_000))
    secrets = {}
    boss = Person("boss", Role.OPERATOR)
    await add_person(store, "disabled-1", PersonChange(frozenset({Role.OPERATOR})), boss)
    for name, kind in IDENTITIES.items():
        if kind is None:
            continue
        role, of = kind
        if of.startswith("github:"):
            of = f"github:{fair.github.town.person(of.removeprefix('github:')).id}"
        tokens, scope = long_ago if name == "expired" else now, TokenScope(reads_only=name == "reading")
        secrets[name] = await tokens.create(
            f"{name}-1", role, of, "test", lasts_ms=DAY * (name == "expired") or None, scope=scope
        )
    await disable_person(store, "disabled-1", "left", boss)
    return secrets


async def moved_in(fair: Fair, store: Store, secrets: Mapping[str, str], address: str) -> House:
    """Let something be there that is somebody's: Ann's payout and earning, and a bounty of a private repository."""

    async def says(who: str, method: str, path: str, body: Json) -> Json:
        headers = {"Authorization": f"Bearer {secrets[who]}"}
        async with fair.session.request(method, address + path, json=body, headers=headers) as answer:
            assert answer.status in (200, 201), await answer.text()
            told: Json = await answer.json()
            return told

    await says("shop", "PUT", "/api/providers/ann", {"method": "bank", "destination": HERE})
    for earning in (EARNED, EARNED | {"id": "more"}):
        await says("shop", "POST", "/api/earnings", earning)
    made = await says("ann", "POST", "/api/payouts", ASK)
    await says("ann", "POST", f"/api/payouts/{made['id']}/cancel", {"reason": "no"})
    endpoint = await says("shop", "POST", "/api/webhook-endpoints", {"url": LISTENS})
    fair.github.courier.url = f"{address}/webhook-app"
    fair.home = fair.github.install("acme/open", mia="admin")
    fair.home.private = True
    await fair.github.catch_up()
    await fair.at_github(fair.github.rename, fair.home, PRIVATE)
    issue = await fair.labelled_issue(TITLE)
    names = {
        "payout": made["id"], "endpoint": endpoint["id"], "earning": EARNING, "issue": str(issue.id),
        "home": str(fair.home.id), "eth": ADDRESS,
        "bounty": fair.id_of(issue), "month": datetime.now(UTC).strftime("%Y-%m"), "github": fair.github.secret,
    }  # fmt: skip
    return House(address, fair.session, Sessions(store.link), secrets, names)


def lines() -> Iterator[tuple[str, str, dict[str, int]]]:
    """Read the table: for each place what everybody is answered."""
    for line in TABLE.splitlines()[2:]:
        method, place, *statuses = line.split()
        yield method, place, dict(zip(IDENTITIES, map(int, statuses), strict=True))


async def astray(home: House, router: web.UrlDispatcher, table: Iterable[tuple[str, str]]) -> set[str]:
    """Find the places that a table forgot, and its lines that lead nowhere."""
    named, lost = set(), set()
    for method, place in table:
        found = await router.resolve(make_mocked_request(method, home.path(place)))
        if found.http_exception is None:
            named.add(found.route)
        else:
            lost.add(f"{method} {place}")
    forgotten = [one for one in router.routes() if one.method != "HEAD" and one not in named]
    return lost | {f"{one.method} {one.resource.canonical}" for one in forgotten if one.resource}


async def test_every_place_has_a_line_and_every_line_a_place(settings: Settings, tmp_path: Path) -> None:
    async with house(settings, tmp_path) as (home, router):
        (method, place), *rest = table = [(method, place) for method, place, _ in lines()]
        assert await astray(home, router, table) == set()
        assert await astray(home, router, rest) == {f"{method} {place}"}, "a place that is new is found"
        assert await astray(home, router, [*table, ("GET", "/nowhere")]) == {"GET /nowhere"}


def test_who_may_not_come_in_any_more_is_answered_as_nobody_and_who_only_reads_changes_nothing() -> None:
    for method, place, row in lines():
        assert row["expired"] == row["disabled"] == row["nobody"], place
        comes_and_goes = place.endswith(("/sign-in", "/sign-out"))
        if method == "GET" or comes_and_goes:
            assert row["reading"] == row["operator"], place
        elif not place.startswith(("/api/login", "/admin/sign-in/")):  # which ask nobody who they are
            assert row["reading"] in (401, 403), place


async def test_everybody_is_answered_as_the_table_says_and_reads_nothing_of_others(
    settings: Settings, tmp_path: Path
) -> None:
    async with house(settings, tmp_path) as (home, _):
        wrong = []
        read: dict[str, set[str]] = {what: set() for what in MAY_SEE}
        for method, place, row in lines():
            for who, expected in row.items():
                status, text = await home.asked(who, method, place)
                if status != expected:
                    wrong.append(f"{method} {place} by {who}: {status}, not {expected}")
                for what in MAY_SEE:
                    if what in text and what not in home.path(place):
                        read[what].add(who)
        assert wrong == []
        assert read == MAY_SEE
