// The arguments of a tool call once its last piece has come.

/**
 * The arguments as a whole JSON text; "{}" if the model wrote none. Null if they are not whole.
 * @param cut the answer's limit of tokens ended the call
 */
export function wholeArguments(text: string, cut: boolean): string | null {
  const whole = text === "" && !cut ? "{}" : text;
  try {
    JSON.parse(whole);
    return whole;
  } catch {
    return null;
  }
}
