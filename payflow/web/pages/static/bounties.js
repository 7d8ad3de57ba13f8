// What only a browser's wallet can do: confirm a payment, and prove an address by a signature. The wallet is whatever
// stands at window.ethereum (EIP-1193). Nothing is lost when this page is closed in the middle: a payment is found on
// the chain by its effect.
"use strict";

const root = document.getElementById("bounties");
const wallet = () => window.ethereum;

function tell(button, text, kind = "") {
  const line = button.closest("[data-card]").querySelector(".told");
  line.textContent = text;
  line.className = `told ${kind}`;
}

async function api(method, path, body) {
  const headers = { "X-CSRF": root.dataset.csrf };
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: body ? JSON.stringify(body) : undefined });
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(told.error ? told.error.message : `Payflow answered ${answer.status}.`);
  return told;
}

async function account() {
  const accounts = await wallet().request({ method: "eth_requestAccounts" });
  if (!accounts.length) throw new Error("Your wallet shows no account.");
  return accounts[0];
}

async function onOurChain() {
  const wanted = root.dataset.chain;
  const chain = () => wallet().request({ method: "eth_chainId" });
  if ((await chain()) !== wanted) {
    await wallet().request({ method: "wallet_switchEthereumChain", params: [{ chainId: wanted }] });
  }
  if ((await chain()) !== wanted) throw new Error("Your wallet is on another chain.");
}

async function confirmPayment(button) {
  const place = `/api/user/bounty/${button.dataset.issue}`;
  await onOurChain();
  const owner = await account();
  tell(button, "Asking what is to be confirmed…");
  const call = await api("GET", `${place}/confirmation?owner=${encodeURIComponent(owner)}`);
  tell(button, "Confirm it in your wallet.");
  const params = [{ from: owner, to: call.to, data: call.data, value: call.value }];
  const hash = await wallet().request({ method: "eth_sendTransaction", params });
  tell(button, `Sent: ${hash}`);
  await api("POST", `${place}/payout`, { "payout-hash": hash, number: call.number });
  tell(button, `Confirmed with ${hash}. It counts as paid when it is deep enough in the chain.`, "good");
}

function hex(text) {
  return `0x${[...new TextEncoder().encode(text)].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

async function sign(repository) {
  const address = await account();
  const query = new URLSearchParams(repository ? { address, repository } : { address });
  const { message } = await api("GET", `/api/user/proof?${query}`);
  const signature = await wallet().request({ method: "personal_sign", params: [hex(message), address] });
  return { address, message, signature };
}

async function proveAddress(button) {
  tell(button, "Sign the message in your wallet.");
  const saved = await api("POST", "/api/user", await sign());
  document.getElementById("address").value = saved["next-address"] || saved.address;
  if (!saved["next-address"]) return tell(button, `Saved and proven: ${saved.address}`, "good");
  const counts = `counts from ${saved["next-from"].slice(0, 10)} on; until then ${saved.address} does`;
  return tell(button, `Saved: ${saved["next-address"]} ${counts}.`, "good");
}

async function releaseAddress(button) {
  const { counts, next } = button.dataset;
  const signer = await account();
  if (signer.toLowerCase() !== counts.toLowerCase()) throw new Error(`Choose ${counts} in your wallet first.`);
  const query = new URLSearchParams({ address: counts, "gives-way-to": next });
  const { message } = await api("GET", `/api/user/proof?${query}`);
  tell(button, "Sign the message in your wallet.");
  const signature = await wallet().request({ method: "personal_sign", params: [hex(message), signer] });
  const { address } = await api("POST", "/api/user/release-address", { address: next, message, signature });
  tell(button, `Bounties that you win are paid to ${address} from now on.`, "good");
}

async function proveOwner(button) {
  tell(button, "Sign the message in your wallet.");
  const repository = button.dataset.repository;
  const { address } = await api("POST", `/api/user/repository/${repository}/owner`, await sign(repository));
  tell(button, `${address} owns the wallets that are made from now on.`, "good");
}

async function nameRefund(button) {
  const which = document.getElementById("funded-which").value.trim();
  const to = document.getElementById("funded-to").value.trim();
  if (!which || !to) throw new Error("Say which bounty it is, and where your money shall go.");
  const from = await account();
  const place = `/api/user/bounty/${encodeURIComponent(which)}`;
  const { message } = await api("GET", `${place}/refund-proof?${new URLSearchParams({ from, to })}`);
  tell(button, "Sign the message in your wallet.");
  const signature = await wallet().request({ method: "personal_sign", params: [hex(message), from] });
  await api("POST", `${place}/refund-address`, { from, to, message, signature });
  tell(button, `What ${from} put in goes to ${to} if it is given back.`, "good");
}

const deeds = {
  confirm: confirmPayment,
  address: proveAddress,
  release: releaseAddress,
  owner: proveOwner,
  refund: nameRefund,
};
const REFUSED = 4001;

function words(error) {
  if (error && error.code === REFUSED) return "You refused it in your wallet. Nothing was sent.";
  return (error && error.message) || "It did not work.";
}

for (const button of root.querySelectorAll("button[data-do]")) {
  button.hidden = !wallet();
  button.addEventListener("click", async () => {
    button.disabled = true;
    button.setAttribute("aria-busy", "true");
    try {
      await deeds[button.dataset.do](button);
    } catch (error) {
      tell(button, words(error), "bad");
      button.disabled = false;
    }
    button.removeAttribute("aria-busy");
  });
}
for (const note of root.querySelectorAll("[data-without-wallet]")) note.hidden = Boolean(wallet());
