/** Calls `act` so long after it is asked for, once for all who ask meanwhile, and again only when it is done. */
export function together(millis: number, act: () => unknown): () => void {
  let asked = false;
  let going = false;
  const go = async (): Promise<void> => {
    going = true;
    while (asked) {
      await new Promise((resolve) => setTimeout(resolve, millis));
      asked = false;
      await act();
    }
    going = false;
  };
  return () => {
    asked = true;
    if (!going) void go().finally(() => (going = false));
  };
}
