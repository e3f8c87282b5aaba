/** Asks for the next while the one before is being worked on. */

/** What a source gives, in order. It is asked for one more than was taken, at most. */
export async function* ahead<T>(source: AsyncIterable<T>): AsyncGenerator<T, void> {
  const from = source[Symbol.asyncIterator]();
  try {
    for (let next = from.next(); ; ) {
      const { done, value } = await next;
      if (done === true) return;
      next = from.next();
      // Whoever takes the next one hears of it.
      next.catch(() => undefined);
      yield value;
    }
  } finally {
    await from.return?.();
  }
}
