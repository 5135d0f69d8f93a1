// An OAuth server that is not ours, a little stricter than it comes: refresh tokens rotate and work once, access
// tokens can be made to end. The first line on standard output is its URL; orders come on standard input, one a line,
// each answered by a line.
import { randomUUID } from "node:crypto";
import { createInterface } from "node:readline";
import { Events, OAuth2Server } from "oauth2-mock-server";

const server = new OAuth2Server();
await server.issuer.keys.generate("RS256");

let newest = null;
let alive = new Set();
let refusal = null;
const asked = [];

server.service.on(Events.BeforeTokenSigning, (token) => {
  token.payload.jti = randomUUID();
});

server.service.on(Events.BeforeResponse, (answer, request) => {
  const grant = request.body.grant_type;
  asked.push(grant);
  if (refusal) {
    [answer.statusCode, answer.body] = refusal;
    return;
  }
  if (grant === "refresh_token" && request.body.refresh_token !== newest) {
    [answer.statusCode, answer.body] = [400, { error: "invalid_grant" }];
    return;
  }
  newest = answer.body.refresh_token ?? newest;
  alive.add(answer.body.access_token);
});

server.service.on(Events.BeforeUserinfo, (answer, request) => {
  const [, token] = (request.headers.authorization ?? "").split(" ");
  if (!alive.has(token)) {
    [answer.statusCode, answer.body] = [401, { error: "invalid_token" }];
  }
});

const orders = {
  end: () => (alive = new Set()),
  throttle: () => (refusal = [200, { error: "slow_down" }]),
  refuse: () => (refusal = [400, { error: "invalid_grant" }]),
  relent: () => (refusal = null),
  asked: () => asked.join(" "),
};

await server.start(0, "127.0.0.1");
console.log(server.issuer.url);
for await (const order of createInterface({ input: process.stdin })) {
  const said = orders[order]();
  console.log(typeof said === "string" ? said : "done");
}
await server.stop();
