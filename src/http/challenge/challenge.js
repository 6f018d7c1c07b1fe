// Solves Flux-Gate's challenges (ALTCHA, version 1) in a worker, so that the page stays quick.
//
// In a page this file defines window.fluxChallenge(problem): from the body of a 403 "challenge_required" to the
// value of the header x-challenge, with which the same request is sent again. In a worker, which it starts from
// its own address, it tries numbers. No other file, no other request; SHA-256 is written out, since the browser's
// own is not there without TLS, and its call for each hash costs more than the hash.
"use strict";

(() => {
  const K = new Uint32Array(64);
  const START = new Uint32Array(8);
  // The first bits of the fractions of the roots of the first primes (FIPS 180-4).
  const fraction = (number) => ((number - Math.floor(number)) * 0x100000000) | 0;
  for (let prime = 2, found = 0; found < 64; prime++) {
    let divides = false;
    for (let by = 2; by * by <= prime; by++) divides ||= prime % by === 0;
    if (divides) continue;
    if (found < 8) START[found] = fraction(Math.sqrt(prime));
    K[found++] = fraction(Math.cbrt(prime));
  }

  const words = new Uint32Array(64);

  /** Takes the block of 64 bytes at `from` into `state`. */
  function compress(state, bytes, from) {
    for (let i = 0; i < 16; i++) {
      const at = from + 4 * i;
      words[i] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
    }
    for (let i = 16; i < 64; i++) {
      const x = words[i - 15], y = words[i - 2];
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      words[i] = words[i - 16] + s0 + words[i - 7] + s1;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i] + words[i]) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g; g = f; f = e; e = (d + t1) | 0;
      d = c; c = b; b = a; a = (t1 + t2) | 0;
    }
    state[0] += a; state[1] += b; state[2] += c; state[3] += d;
    state[4] += e; state[5] += f; state[6] += g; state[7] += h;
  }

  /** The number up to `maxnumber` whose hash after the salt is the challenge; null if there is none. */
  function solve({ challenge, salt, maxnumber }) {
    const wanted = new Uint32Array(8);
    for (let i = 0; i < 8; i++) wanted[i] = parseInt(challenge.slice(8 * i, 8 * i + 8), 16);
    const head = new TextEncoder().encode(salt);
    // What all numbers share is taken in once.
    const whole = head.length - (head.length % 64);
    const shared = Uint32Array.from(START);
    for (let at = 0; at < whole; at += 64) compress(shared, head, at);
    const rest = head.subarray(whole);
    const tail = new Uint8Array(128);
    const state = new Uint32Array(8);
    for (let number = 0; number <= maxnumber; number++) {
      tail.fill(0);
      tail.set(rest);
      const digits = String(number);
      for (let i = 0; i < digits.length; i++) tail[rest.length + i] = digits.charCodeAt(i);
      const used = rest.length + digits.length;
      tail[used] = 0x80;
      const blocks = used + 9 > 64 ? 2 : 1;
      const bits = 8 * (whole + used);
      const end = 64 * blocks;
      tail[end - 3] = bits >>> 16;
      tail[end - 2] = bits >>> 8;
      tail[end - 1] = bits;
      state.set(shared);
      for (let block = 0; block < blocks; block++) compress(state, tail, 64 * block);
      if (state[0] === wanted[0] && state.every((word, i) => word === wanted[i])) return number;
    }
    return null;
  }

  if (typeof document === "undefined") {
    // A worker.
    globalThis.onmessage = (message) => globalThis.postMessage(solve(message.data));
    globalThis.fluxSolve = solve;
    return;
  }
  const own = document.currentScript.src;
  // A page whose policy asks for trusted types allows this one by its name: it makes this file's address, no other.
  const policy = window.trustedTypes?.createPolicy("flux-challenge", { createScriptURL: () => own });
  const address = policy ? policy.createScriptURL(own) : own;

  window.fluxChallenge = (problem) =>
    new Promise((resolve, reject) => {
      const asked = problem.challenge;
      if (problem.provider !== "altcha" || !asked || asked.algorithm !== "SHA-256") {
        reject(new Error("a challenge that this page cannot solve"));
        return;
      }
      const worker = new Worker(address);
      const end = (settle, value) => {
        worker.terminate();
        settle(value);
      };
      worker.onerror = () => end(reject, new Error("the challenge could not be solved"));
      worker.onmessage = ({ data: number }) => {
        if (number === null) return end(reject, new Error("the challenge has no solution"));
        const { algorithm, challenge, salt, signature } = asked;
        end(resolve, btoa(JSON.stringify({ algorithm, challenge, number, salt, signature })));
      };
      worker.postMessage(asked);
    });
})();
