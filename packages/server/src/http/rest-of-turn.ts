let turn: Promise<void> | undefined;

/**
 * Resolves when the requests that wait to be read just now have been read.
 *
 * For what is most often answered without waiting for anything else. An answer that goes out while others wait wakes its client, which takes
 * longer than most such answers take to make (measured: a third of all the work of a pull by tag); and it does so for each of them. Those that are
 * made one right after the other find the client awake: the same processor answers half as many again.
 */
export function restOfTurn(): Promise<void> {
  turn ??= new Promise((resolve) => {
    setImmediate(() => {
      turn = undefined;
      resolve();
    });
  });
  return turn;
}
