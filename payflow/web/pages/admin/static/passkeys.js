// A browser speaks to passkeys by a script alone. Each form that needs one says what to ask for; what the passkey
// answers goes into the form, which is then sent as any other.
"use strict";

const bytesOf = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
const textOf = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
  .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

async function optionsOf(form) {
  let text = form.dataset.options;
  if (form.dataset.optionsAt) {
    const answer = await fetch(form.dataset.optionsAt, { method: "POST" });
    if (!answer.ok) throw new Error("That was too fast: wait a moment, then try again.");
    text = await answer.text();
  }
  const options = JSON.parse(text);
  options.challenge = bytesOf(options.challenge);
  if (options.user) options.user.id = bytesOf(options.user.id);
  for (const list of [options.allowCredentials, options.excludeCredentials]) {
    for (const one of list || []) one.id = bytesOf(one.id);
  }
  return options;
}

function written(credential) {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = textOf(credential.response[name]);
  }
  return JSON.stringify({ id: credential.id, rawId: credential.id, type: credential.type, response });
}

function saidOf(error) {
  if (error.name === "NotAllowedError") return "Nothing was done: the passkey was not used, or it took too long. Try again.";
  if (error.name === "InvalidStateError") return "This device has a passkey of yours already.";
  return error.message;
}

async function ask(form) {
  const bar = form.querySelector("[role=alert]");
  const button = form.querySelector("button.main, button");
  bar.hidden = true;
  button.disabled = true;
  try {
    const publicKey = await optionsOf(form);
    const made = form.dataset.passkey === "add"
      ? await navigator.credentials.create({ publicKey })
      : await navigator.credentials.get({ publicKey });
    form.querySelector("[data-answer]").value = written(made);
    form.submit(); // without an event, so that it is not asked again
  } catch (error) {
    bar.textContent = saidOf(error);
    bar.hidden = false;
    button.disabled = false;
  }
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  if (!window.PublicKeyCredential || (form.dataset.host && form.dataset.host !== location.hostname)) continue;
  form.hidden = false;
  form.querySelector("[data-scriptless]")?.remove();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    event.stopPropagation();
    ask(form);
  });
}
