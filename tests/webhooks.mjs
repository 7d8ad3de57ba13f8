// What a platform in Node does with what it hears: verifies it by the official library of the Standard Webhooks
// specification. Reads a list of {secret, headers, body} and answers for each with its payload, or with why not.
//
//     node tests/webhooks.mjs FOLDER     where node_modules is
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'

const { Webhook } = createRequire(`${process.argv[2]}/`)('standardwebhooks')

function verified({ secret, headers, body }) {
  try {
    return { payload: new Webhook(secret).verify(body, headers) }
  } catch (error) {
    return { refused: String(error.message) }
  }
}

console.log(JSON.stringify(JSON.parse(readFileSync(0, 'utf8')).map(verified)))
