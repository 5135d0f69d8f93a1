// An OAuth server that others wrote, with an API behind it that takes only tokens which that server signed.
//
//   GET  /notes      the API; 401 without a good token
//   GET  /seen       every request for a token, and every revocation, as they came
//   POST /behave     {"expires_in": 1, "refuse": "invalid_grant", "turn_away": 1} for what comes next
//
// Prints one line of JSON when it is ready. It ends when its standard input does.
import { createServer } from 'node:http';
import { OAuth2Server } from 'oauth2-mock-server';
import { createLocalJWKSet, jwtVerify } from 'jose';

const oauth = new OAuth2Server();
await oauth.issuer.keys.generate('RS256');
await oauth.start(0, '127.0.0.1');
const issuer = `http://127.0.0.1:${oauth.address().port}`;
oauth.issuer.url = issuer;
const keys = createLocalJWKSet({ keys: oauth.issuer.keys.toJSON() });

const seen = [];
let behave = {};
let refreshTokens = new Set();

oauth.service.on('beforeResponse', (response, request) => {
  const asked = { ...request.body };
  seen.push({ at: 'token', asked, authorization: request.headers.authorization ?? null });
  if (behave.expires_in) response.body.expires_in = behave.expires_in;
  // The server signs for any refresh token; a true one only for those it gave, and each once.
  const stale = asked.grant_type === 'refresh_token' && !refreshTokens.delete(asked.refresh_token);
  if (behave.refuse || stale) {
    response.statusCode = 400;
    response.body = { error: behave.refuse ?? 'invalid_grant' };
    return;
  }
  if (response.body.refresh_token) refreshTokens.add(response.body.refresh_token);
});
oauth.service.on('beforeRevoke', (_response, request) => {
  seen.push({ at: 'revoke', url: request.url });
  refreshTokens = new Set();
});

async function text(request) {
  let all = '';
  for await (const part of request) all += part;
  return all;
}

const api = createServer(async (request, response) => {
  const answer = (status, body) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };
  if (request.url === '/seen') return answer(200, seen);
  if (request.url === '/behave') {
    behave = JSON.parse(await text(request));
    return answer(200, behave);
  }
  if (behave.turn_away > 0) {
    behave.turn_away -= 1;
    return answer(401, { error: 'turned away' });
  }
  const [scheme, token] = (request.headers.authorization ?? '').split(' ');
  try {
    if (scheme !== 'Bearer') throw new Error('no bearer token');
    const { payload } = await jwtVerify(token, keys, { issuer });
    return answer(200, { notes: [{ id: 1 }, { id: 2 }], of: payload.sub ?? null, scope: payload.scope ?? null });
  } catch (error) {
    return answer(401, { error: String(error.message) });
  }
});
api.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ issuer, api: `http://127.0.0.1:${api.address().port}` }));
});
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
