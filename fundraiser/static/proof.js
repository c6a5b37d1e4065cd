// Solves the form's ALTCHA challenge (proof of work, version 2) and sends the form with the solution.
// Without this file, or where a browser can't, the form's button does the same after a wait.
const form = document.getElementById("proof");
const challenge = JSON.parse(form.dataset.challenge);
const AT_ONCE = 8; // the browser spreads them over its cores

const bytes = (hex) => Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
const hex = (buffer) =>
  Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");

async function derive(counter) {
  const { nonce, salt, cost, keyLength } = challenge.parameters;
  const password = new Uint8Array(nonce.length / 2 + 4);
  password.set(bytes(nonce));
  new DataView(password.buffer).setUint32(nonce.length / 2, counter);
  const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
  const how = { name: "PBKDF2", hash: "SHA-256", salt: bytes(salt), iterations: cost };
  return hex(await crypto.subtle.deriveBits(how, key, keyLength * 8));
}

async function solve() {
  for (let first = 0; ; first += AT_ONCE) {
    const counters = Array.from({ length: AT_ONCE }, (_, index) => first + index);
    const keys = await Promise.all(counters.map(derive));
    const found = keys.findIndex((key) => key.startsWith(challenge.parameters.keyPrefix));
    if (found >= 0) return { counter: counters[found], derivedKey: keys[found] };
  }
}

async function send() {
  const waited = new Promise((done) => setTimeout(done, form.dataset.wait * 1000));
  const solution = await solve();
  await waited;
  const field = document.createElement("input");
  field.type = "hidden";
  field.name = "altcha";
  field.value = btoa(JSON.stringify({ challenge, solution }));
  form.append(field);
  form.submit();
}

document.getElementById("by-hand").hidden = true;
document.getElementById("by-itself").hidden = false;
send();
