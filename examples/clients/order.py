"""One order by an API client, with Python's standard library alone.

FLUX_GATE_CLIENT=shop:SECRET python3 order.py phone alice [http://127.0.0.1:3000]
"""

import hashlib
import hmac
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

product, user = sys.argv[1:3]
url = sys.argv[3] if len(sys.argv) > 3 else "http://127.0.0.1:3000"
client, secret = os.environ["FLUX_GATE_CLIENT"].split(":", 1)

body = json.dumps({"productId": product, "userId": user}, separators=(",", ":"))
now = str(int(time.time() * 1000))
# Kept by whoever may have to ask again: the same key is the same order.
key = os.environ.get("IDEMPOTENCY_KEY") or str(uuid.uuid4())
signed = f"POST:/order:{body}:{now}:{key}".encode()
signature = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()

request = urllib.request.Request(
    f"{url}/order",
    body.encode(),
    {
        "content-type": "application/json",
        "x-api-key": client,
        "x-request-time": now,
        "x-idempotency-key": key,
        "x-signature": signature,
    },
)
try:
    answer = urllib.request.urlopen(request, timeout=10)
except urllib.error.HTTPError as refusal:
    answer = refusal
print(answer.read().decode())
