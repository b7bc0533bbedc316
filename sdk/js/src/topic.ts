// eslint-disable-next-line no-control-regex -- control characters are what it looks for
const special = /[\u0000-\u0020\u007f*>.%]/gu;

/**
 * Writes any text as one token of a topic: dots, wildcards, spaces, percent signs
 * and control characters become a percent sign and two hex digits.
 */
export function escapeToken(text: string): string {
  return text.replace(special, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);
}

/** Whether a topic fits a filter: * is any one token, a last > one or more. */
export function matchTopic(filter: string, topic: string): boolean {
  if (topic.startsWith("$") && !filter.startsWith("$")) return false;
  const wanted = filter.split(".");
  const tokens = topic.split(".");
  for (const [i, token] of wanted.entries()) {
    if (token === ">") return tokens.length > i;
    if (i >= tokens.length || (token !== "*" && token !== tokens[i])) return false;
  }
  return wanted.length === tokens.length;
}
