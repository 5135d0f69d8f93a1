// Signs webhook requests with the senders' own libraries: a list of {kind, secret, id, now, body} on standard
// input, a list of headers on standard output. `now` is in seconds since 1970.
import { sign } from '@octokit/webhooks-methods';
import { Webhook } from 'standardwebhooks';
import Stripe from 'stripe';

const stripe = new Stripe('sk_test_of_nobody');
const signers = {
  async github({ secret, body }) {
    return { 'x-hub-signature-256': await sign(secret, body) };
  },
  async standard_webhooks({ secret, id, now, body }) {
    const signature = new Webhook(secret).sign(id, new Date(now * 1000), body);
    return { 'webhook-id': id, 'webhook-timestamp': String(now), 'webhook-signature': signature };
  },
  async stripe({ secret, now, body }) {
    const header = await stripe.webhooks.generateTestHeaderStringAsync({ payload: body, secret, timestamp: now });
    return { 'stripe-signature': header };
  },
};

let asked = '';
for await (const part of process.stdin) asked += part;
const signed = await Promise.all(JSON.parse(asked).map((one) => signers[one.kind](one)));
console.log(JSON.stringify(signed));
