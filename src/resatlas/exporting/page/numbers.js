"use strict";
/* Numbers in the text of a page, and probabilities. */
const numbers = (() => {
  /** The bytes of base64 text. */
  function bytesIn(text) {
    const letters = atob(text);
    const bytes = new Uint8Array(letters.length);
    for (let k = 0; k < bytes.length; k++) bytes[k] = letters.charCodeAt(k);
    return bytes;
  }

  /** The numbers of base64 text, in float32 or in float16. */
  function numbersIn(text, type) {
    const bytes = bytesIn(text);
    if (type === "fp32") return new Float32Array(bytes.buffer);
    return Float32Array.from(new Uint16Array(bytes.buffer), halfToNumber);
  }

  /** The number with these 16 bits: sign, 5 bits of exponent, 10 of fraction; exponent 0 is that of small numbers. */
  function halfToNumber(bits) {
    const exponent = (bits >> 10) & 31, fraction = (bits & 1023) / 1024;
    const size = exponent ? 2 ** (exponent - 15) * (1 + fraction) : 2 ** -14 * fraction;
    return bits >> 15 ? -size : size;
  }

  /** Probabilities from logits: exp(x) / sum exp. */
  function softmax(logits) {
    const most = Math.max(...logits), powers = Array.from(logits, (x) => Math.exp(x - most));
    const sum = powers.reduce((total, power) => total + power, 0);
    return powers.map((power) => power / sum);
  }

  return { bytesIn, numbersIn, softmax };
})();
