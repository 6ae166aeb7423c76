/** Asks the token service; gives its answer, or throws its own reason why not. */

const ANSWER_WITHIN_MS = 8_000;

/** Thrown for every answer that is no success: RFC 9457 problem details, as far as they came. */
export class Refused extends Error {
  readonly status: number;
  /** For programs; empty if the answer is not the service's own. */
  readonly code: string;

  constructor(status: number, code: string, detail: string) {
    super(detail || `The server answered ${status}.`);
    this.status = status;
    this.code = code;
  }
}

interface Question {
  method?: string;
  body?: object;
  /** A guest's pass, or `null`. */
  bearer?: string | null;
  /** Let the question outlive the page. */
  keepalive?: boolean;
}

/** Ask a path relative to the page. Throws `Refused`, or `TypeError` without an answer. */
export async function ask<T>(path: string, question: Question = {}): Promise<T> {
  const { method = 'GET', body, bearer, keepalive = false } = question;
  const headers: Record<string, string> = {};
  if (body) headers['Content-Type'] = 'application/json';
  if (bearer) headers.Authorization = `Bearer ${bearer}`;
  const response = await fetch(path, {
    method,
    headers,
    keepalive,
    body: body ? JSON.stringify(body) : null,
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
  });
  const text = await response.text();
  if (!response.ok) throw refused(response.status, text);
  return (text ? JSON.parse(text) : undefined) as T;
}

/** Read a problem's body; one that is not the service's is reported by its status alone. */
export function refused(status: number, text: string): Refused {
  try {
    const { error = '', detail = '' } = JSON.parse(text);
    return new Refused(status, String(error), String(detail));
  } catch {
    return new Refused(status, '', '');
  }
}
