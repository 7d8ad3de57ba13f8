// A maintainer's browser wallet for the sandbox: an EIP-1193 provider that asks the sandbox to sign and to send. It says
// yes to everything, so it stands only where the chain is a toy.
"use strict";

window.ethereum = {
  async request({ method, params = [] }) {
    const body = JSON.stringify({ method, params });
    const answer = await fetch("/_wallet", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    const told = await answer.json();
    if (told.error) throw Object.assign(new Error(told.error.message), { code: told.error.code });
    return told.result;
  },
};
