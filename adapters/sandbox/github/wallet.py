"""A maintainer's browser wallet, for pages on a toy chain: it holds one key, signs with it, and never asks anybody."""

from importlib import resources
from typing import Any

import aiohttp
from aiohttp import web
from eth_account import Account
from eth_account.messages import encode_defunct

SCRIPT = "/_wallet/provider.js"
REFUSED = 4001
UNSUPPORTED = 4200
WRONG_CHAIN = 4902
PATIENCE_S = 10.0
ELSEWHERE = ("cross-site", "same-site")


class WalletRefused(Exception):
    """The wallet does not do it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class StandInWallet:
    """Answers what a page asks of `window.ethereum`."""

    def __init__(self, rpc_url: str, key: str) -> None:
        self._url = rpc_url
        self._account = Account.from_key(key)
        self.refuses = False
        """Whether its owner says no to everything."""

    @property
    def address(self) -> str:
        """Whose wallet it is."""
        return str(self._account.address)

    @property
    def scripts(self) -> tuple[str, ...]:
        """What a page must run."""
        return (SCRIPT,)

    def routes(self) -> list[web.RouteDef]:
        """List where pages find it."""
        return [web.get(SCRIPT, self._script), web.post("/_wallet", self._serve)]

    async def _script(self, _: web.Request) -> web.Response:
        text = (resources.files("adapters.sandbox.github") / "provider.js").read_text("utf-8")
        return web.Response(text=text, content_type="text/javascript")

    async def _serve(self, request: web.Request) -> web.Response:
        # A page of another site can send a form or plain text without asking first, and this key signs without asking.
        if request.content_type != "application/json" or request.headers.get("Sec-Fetch-Site") in ELSEWHERE:
            raise web.HTTPForbidden(text="Only a page of this sandbox may ask its wallet.")
        asked = await request.json()
        try:
            return web.json_response({"result": await self.answer(str(asked["method"]), list(asked["params"]))})
        except WalletRefused as refusal:
            return web.json_response({"error": {"code": refusal.code, "message": str(refusal)}})

    async def answer(self, method: str, params: list[Any]) -> Any:  # noqa: ANN401  (JSON)
        """Do what a page asks."""
        if self.refuses and method in ("personal_sign", "eth_sendTransaction"):
            raise WalletRefused(REFUSED, "User rejected the request.")
        match method:
            case "eth_requestAccounts" | "eth_accounts":
                return [self.address.lower()]
            case "eth_chainId":
                return await self._rpc("eth_chainId")
            case "wallet_switchEthereumChain":
                raise WalletRefused(WRONG_CHAIN, "This wallet knows one chain.")
            case "personal_sign":
                message = encode_defunct(hexstr=str(params[0]))
                return "0x" + bytes(self._account.sign_message(message).signature).hex()
            case "eth_sendTransaction":
                return await self._send(params[0])
            case _:
                raise WalletRefused(UNSUPPORTED, f"This wallet does not know {method}.")

    async def _send(self, wanted: dict[str, str]) -> str:
        call = {"from": self.address, "to": wanted["to"], "data": wanted.get("data", "0x"), "value": "0x0"}
        price = int(await self._rpc("eth_gasPrice"), 16)
        signed = self._account.sign_transaction(
            {
                "chainId": int(await self._rpc("eth_chainId"), 16),
                "nonce": int(await self._rpc("eth_getTransactionCount", self.address, "pending"), 16),
                "to": wanted["to"],
                "data": call["data"],
                "value": 0,
                "gas": int(await self._rpc("eth_estimateGas", call), 16) * 3 // 2,
                "gasPrice": price * 2,
            }
        )
        return str(await self._rpc("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex()))

    async def _rpc(self, method: str, *params: Any) -> Any:  # noqa: ANN401  (JSON)
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as session,
            session.post(self._url, json=body) as answer,
        ):
            reply = await answer.json(content_type=None)
        if "error" in reply:
            raise WalletRefused(-32000, str(reply["error"].get("message", "The node refused.")))
        return reply["result"]
