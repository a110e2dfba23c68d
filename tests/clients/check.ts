/** What the stories of both TypeScript clients share. */

declare const process: { argv: string[]; exitCode: number }; // all that we need of Node's types

/** Tell it to the server that the command line names. */
export function tell(story: (baseUrl: string) => Promise<void>): void {
  story(process.argv[2] ?? "").then(
    () => console.log("told to its end"),
    (error: unknown) => {
      console.error(error);
      process.exitCode = 1;
    },
  );
}

export function check(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

export function equal(found: unknown, expected: unknown, what: string): void {
  const [one, other] = [JSON.stringify(found), JSON.stringify(expected)];
  check(one === other, `${what}: ${one} instead of ${other}`);
}

/** A fetch that sends the access token, and after a 401 refreshes it and tries once more. */
export class Session {
  refreshes = 0;

  constructor(
    public accessToken: string,
    private readonly refresh: () => Promise<string>,
  ) {}

  readonly fetch = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    const request = new Request(input, init);
    const again = request.clone();
    const response = await this.send(request);
    if (response.status !== 401) return response;
    this.accessToken = await this.refresh();
    this.refreshes += 1;
    return this.send(again);
  };

  private send(request: Request): Promise<Response> {
    request.headers.set("Authorization", `Bearer ${this.accessToken}`);
    return fetch(request);
  }
}
