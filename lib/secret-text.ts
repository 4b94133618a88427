const MASK = '[secret]';

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
