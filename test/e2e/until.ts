/** Whether it comes true within so many seconds. */
export async function until(what: () => boolean | Promise<boolean>, seconds: number): Promise<boolean> {
  const end = Date.now() + seconds * 1_000;
  while (!(await what())) {
    if (Date.now() > end) return false;
    await new Promise((later) => setTimeout(later, 200));
  }
  return true;
}

/** Waits until it is true. @throws Error when it is not within so many seconds */
export async function eventually(what: () => boolean | Promise<boolean>, seconds: number): Promise<void> {
  if (!(await until(what, seconds))) throw new Error(`it did not come true in ${seconds} s`);
}
