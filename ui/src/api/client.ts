/** REST, and the one place where its errors become sentences. */
import type { components, paths } from "./schema.gen";

export type Schemas = components["schemas"];

type GetPath = { [P in keyof paths]: paths[P] extends { get: unknown } ? P : never }[keyof paths];
type Get<P extends GetPath> = paths[P]["get"];

/** What a path answers with status 200. */
export type Answer<P extends GetPath> =
  Get<P> extends { responses: { 200: { content: { "application/json": infer A } } } } ? A : never;

/** The query that a path takes. */
export type Query<P extends GetPath> =
  Get<P> extends { parameters: { query?: infer Q } } ? NonNullable<Q> : Record<string, never>;

export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    /** HTTP's; 0 if the server did not answer. */
    readonly status: number,
    readonly detail: string,
  ) {
    super(detail);
  }
}

export interface Request<P extends GetPath> {
  /** Values for the path's {names}, unescaped. */
  path?: Record<string, string>;
  query?: Query<P>;
  signal?: AbortSignal;
  /** Statuses besides 2xx whose answer is wanted. */
  accept?: number[];
}

/** GETs a path of the API. Throws an ApiError. */
export async function get<P extends GetPath>(path: P, request: Request<P> = {}): Promise<Answer<P>> {
  let response: Response;
  try {
    const init = { headers: { accept: "application/json" }, ...(request.signal && { signal: request.signal }) };
    response = await fetch(address(path, request.path, request.query), init);
  } catch (err) {
    if (err instanceof DOMException && err.name === "AbortError") throw err;
    throw new ApiError(0, "The server does not answer.");
  }
  if (!response.ok && !request.accept?.includes(response.status)) throw await problem(response);
  return (await response.json()) as Answer<P>;
}

/** Fills {names} and appends the query. */
export function address(path: string, names: Record<string, string> = {}, query: Record<string, unknown> = {}): string {
  const filled = path.replace(/\{(\w+)\}/gu, (_, name: string) => encodeURIComponent(names[name] ?? ""));
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined) parameters.append(name, String(one));
    }
  }
  const text = parameters.toString();
  return text === "" ? filled : `${filled}?${text}`;
}

async function problem(response: Response): Promise<ApiError> {
  try {
    const body = (await response.json()) as { detail?: unknown; title?: unknown };
    const detail = body.detail ?? body.title;
    if (typeof detail === "string" && detail !== "") return new ApiError(response.status, detail);
  } catch {
    // Not from our server: a proxy's page, perhaps.
  }
  return new ApiError(response.status, `The server answered ${response.status} ${response.statusText}.`);
}

/** What happened, in a sentence for people. */
export function sentence(err: unknown): string {
  const text = err instanceof Error ? err.message : String(err);
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/u.test(first) ? first : `${first}.`;
}
