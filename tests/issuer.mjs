// A real identity provider for the tests: oidc-provider, with its own pages. What a test wants of it comes as JSON to
// /control: its clients, its people, and whether it takes new keys.
import { createServer } from "node:http";
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { pathToFileURL } from "node:url";

const [folder, port] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(`${folder}/node_modules/oidc-provider/lib/index.js`).href);

const world = { clients: [], accounts: {}, keys: [key()], serve: null };

function key() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), kid: randomUUID(), use: "sig", alg: "RS256" };
}

function opened(issuer) {
  const provider = new Provider(issuer, {
    clients: world.clients,
    jwks: { keys: world.keys },
    cookies: { keys: ["only for tests"] },
    claims: { openid: ["sub", "groups"], email: ["email", "email_verified"], profile: ["name"] },
    conformIdTokenClaims: false, // the claims of the scopes stand in the ID token
    pkce: { required: () => true },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...world.accounts[id] }) }),
    // Who signs in has agreed.
    loadExistingGrant: async (ctx) => {
      const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
      grant.addOIDCScope("openid email profile");
      await grant.save();
      return grant;
    },
  });
  return provider.callback();
}

const server = createServer(async (request, response) => {
  if (request.url !== "/control") return world.serve(request, response);
  const parts = [];
  for await (const part of request) parts.push(part);
  const { clients, accounts, rotate } = JSON.parse(Buffer.concat(parts).toString());
  if (clients) world.clients = clients;
  if (accounts) world.accounts = accounts;
  if (rotate) world.keys = [key()];
  world.serve = opened(`http://127.0.0.1:${server.address().port}`);
  response.end();
});
server.listen(Number(port), "127.0.0.1", () => {
  world.serve = opened(`http://127.0.0.1:${server.address().port}`);
  console.log(`listens on ${server.address().port}`);
});
process.stdin.on("end", () => process.exit()).resume();
