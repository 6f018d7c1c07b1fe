// One order by an API client, with Node.js 20 or later (WebCrypto, fetch; the same code runs in Deno, Bun and workers).
//   FLUX_GATE_CLIENT=shop:SECRET node order.mjs phone alice [http://127.0.0.1:3000]
const [productId, userId, url = "http://127.0.0.1:3000"] = process.argv.slice(2);
const [id, ...rest] = process.env.FLUX_GATE_CLIENT.split(":");

async function sign(secret, text) {
  const bytes = (string) => new TextEncoder().encode(string);
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", bytes(secret), algorithm, false, ["sign"]);
  return Buffer.from(await crypto.subtle.sign("HMAC", key, bytes(text))).toString("hex");
}

const body = JSON.stringify({ productId, userId });
const time = Date.now();
// Kept by whoever may have to ask again: the same key is the same order.
const key = process.env.IDEMPOTENCY_KEY ?? crypto.randomUUID();
const signature = await sign(rest.join(":"), `POST:/order:${body}:${time}:${key}`);
const headers = { "content-type": "application/json", "x-api-key": id, "x-request-time": `${time}`,
  "x-idempotency-key": key, "x-signature": signature };
console.log(await (await fetch(`${url}/order`, { method: "POST", headers, body })).text());
