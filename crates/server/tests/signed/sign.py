"""Makes the signatures of the Slack and Shopify requests in requests.json, by the standard library alone.

    python3 sign.py            writes those that differ
    python3 sign.py --check    writes nothing, and ends with 1 where one differs

As the senders document it: Slack signs `v0:TIMESTAMP:BODY` with HMAC-SHA256 and writes it in hex behind `v0=`; Shopify
signs the body with HMAC-SHA256 and writes it in Base64. One of them is the example in Slack's own documents. The other kinds
are made by the senders' own libraries, as their `made_by` says.
"""

import base64
import hashlib
import hmac
import json
import pathlib
import sys

FILE = pathlib.Path(__file__).with_name("requests.json")


def slack(request):
    at = request["headers"]["x-slack-request-timestamp"]
    signed = hmac.new(request["secret"].encode(), f"v0:{at}:{request['body']}".encode(), hashlib.sha256)
    return "x-slack-signature", "v0=" + signed.hexdigest()


def shopify(request):
    signed = hmac.new(request["secret"].encode(), request["body"].encode(), hashlib.sha256)
    return "x-shopify-hmac-sha256", base64.b64encode(signed.digest()).decode()


def main():
    signers = {"slack": slack, "shopify": shopify}
    text = FILE.read_text(encoding="utf-8")
    differ = made = 0
    for request in json.loads(text)["requests"]:
        sign = signers.get(request["kind"])
        if sign is None:
            continue
        made += 1
        header, signature = sign(request)
        there = request["headers"][header]
        if there != signature:
            differ += 1
            print(f"{request['kind']}: {there} is not {signature}")
            text = text.replace(json.dumps(there), json.dumps(signature))
    check = "--check" in sys.argv[1:]
    if differ and not check:
        FILE.write_text(text, encoding="utf-8")
    print(f"{made} signatures, {differ} differ")
    return 1 if check and differ or not made else 0


sys.exit(main())
