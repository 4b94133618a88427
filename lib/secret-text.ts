const MASK = '[secret]';

/** The text of a key, whole or cut, of whatever prefix; or the secret of a webhook endpoint. */
const KEY_LIKE = /[a-z]{2,12}_(?:live|test)_[0-9A-Za-z]{8,}|whsec_[0-9A-Za-z+/=]{8,}/g;

/** A text of somebody else's making (an error's message, a header) without the keys that may stand in it. */
export const withoutKeys = (text: string): string => text.replace(KEY_LIKE, MASK);

/**
 * Holds a plaintext key between minting it and the one answer that returns it. Printing, logging, joining or
 * serialising it gives `[secret]`; only `reveal()` gives the text, so every place that does is found by its name.
 */
export class SecretText {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The plaintext. Call it only where the answer to the caller is made. */
  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return MASK;
  }

  toJSON(): string {
    return MASK;
  }

  /** What console.log and util.inspect call (https://nodejs.org/api/util.html#custom-inspection-functions-on-objects). */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return MASK;
  }
}
