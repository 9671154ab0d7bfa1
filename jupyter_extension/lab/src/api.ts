import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { UUID } from '@lumino/coreutils';

/** What travels is described in skynb/wire.py; here is the part of it that the panel shows. */
export interface ICluster {
  name: string;
  status: string;
  target: string;
  infra: string;
  instance_type: string;
  accelerators: string;
  num_nodes: number;
  hourly_micro: number;
  settled_micro: number;
  up_at: number | null;
  reason: string;
  final: boolean;
}

export interface IClusterJob {
  id: number;
  name: string;
  status: string;
  final: boolean;
}

export interface IJob {
  id: number;
  name: string;
  status: string;
  recoveries: number;
  settled_micro: number;
  reason: string;
  final: boolean;
}

export interface IKernel {
  id: number;
  cluster: string;
  rank: number;
  status: string;
  session: string;
  attached: boolean;
  reason: string;
}

export interface IPool {
  name: string;
  status: string;
  wanted: number;
  waiting: number;
  workers: { hourly_micro: number }[];
  settled_micro: number;
  reason: string;
}

export interface IBudget {
  account: string;
  cap_micro: number;
  settled_micro: number;
  reserved_micro: number;
  free_micro: number;
}

interface IDay {
  day: string;
  micro: number;
}

export interface IGpu {
  name: string;
  count: number;
  memory_gib: number | null;
  instance_type: string;
  cloud: string;
  region: string | null;
  hourly_micro: number | null;
  spot_micro: number | null;
  clouds: string[];
}

export interface ICheck {
  infra: string;
  ok: boolean;
}

export interface IDoor {
  version: string;
  server: string | null;
}

/** An event of a stream: its name, its data, and the id behind which a reader resumes. */
export interface IStreamEvent {
  name: string;
  data: any;
  id: string;
}

/** What the server refused: what happened, why, and how to mend it. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly what: string,
    why = '',
    readonly mend = ''
  ) {
    super([what, why].filter(Boolean).join(': '));
  }
}

/** The door of this Jupyter server, and through it skynb's server. */
export class Api {
  constructor(private _settings: ServerConnection.ISettings) {}

  door(): Promise<IDoor> {
    return this._ask<IDoor>('GET', 'skynb/door');
  }

  get<T>(...path: string[]): Promise<T> {
    return this._ask<T>('GET', join(path));
  }

  /** The cheapest machine for each accelerator, of one cloud or (empty) of all. */
  gpus(cloud: string): Promise<IGpu[]> {
    return this._ask('GET', `${join(['gpus'])}?cloud=${encodeURIComponent(cloud)}`);
  }

  /** Micro-dollars spent since midnight (UTC). */
  async today(): Promise<number> {
    const [day] = await this._ask<IDay[]>('GET', `${join(['spend'])}?days=1`);
    return day.micro;
  }

  post<T>(path: string[], body?: unknown): Promise<T> {
    return this._ask<T>('POST', join(path), body);
  }

  del<T>(...path: string[]): Promise<T> {
    return this._ask<T>('DELETE', join(path));
  }

  /** Hand each event of a stream on, until it ends or `signal` says so; ApiError when it is refused.
   *
   * begun: called once the stream is open, so that nothing slips between a look and the first event.
   */
  async follow(
    path: string[],
    after: string,
    take: (event: IStreamEvent) => void,
    signal: AbortSignal,
    begun: () => void = () => undefined
  ): Promise<void> {
    const response = await this._fetch(`${join(path)}?after=${encodeURIComponent(after)}`, {
      signal
    });
    begun();
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        return;
      }
      const blocks = (rest + value).split('\n\n');
      rest = blocks.pop()!;
      for (const block of blocks) {
        const event = parse(block);
        if (event) {
          take(event);
        }
      }
    }
  }

  private async _ask<T>(method: string, path: string, body?: unknown): Promise<T> {
    const init: RequestInit = { method };
    if (method !== 'GET') {
      init.headers = { 'Idempotency-Key': UUID.uuid4() };
    }
    if (body !== undefined) {
      init.body = JSON.stringify(body);
    }
    return (await this._fetch(path, init)).json();
  }

  private async _fetch(path: string, init: RequestInit): Promise<Response> {
    const url = URLExt.join(this._settings.baseUrl, path);
    const response = await ServerConnection.makeRequest(url, init, this._settings);
    if (!response.ok) {
      const said = (await response.json().catch(() => null))?.error;
      throw new ApiError(
        response.status,
        said?.what ?? `${response.status} ${response.statusText}`,
        said?.why ?? '',
        said?.mend ?? ''
      );
    }
    return response;
  }
}

function join(path: string[]): string {
  return ['skynb/api/v1', ...path.map(encodeURIComponent)].join('/');
}

function parse(block: string): IStreamEvent | null {
  const fields: { [name: string]: string } = {};
  for (const line of block.split('\n')) {
    const colon = line.indexOf(': ');
    if (colon > 0) {
      fields[line.slice(0, colon)] = line.slice(colon + 2);
    }
  }
  if (fields.data === undefined) {
    return null;
  }
  return { name: fields.event ?? '', data: JSON.parse(fields.data), id: fields.id ?? '' };
}
