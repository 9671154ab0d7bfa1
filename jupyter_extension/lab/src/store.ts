import { ISignal, Signal } from '@lumino/signaling';

import { Api, ApiError, IBudget, ICluster, IJob, IKernel, IPool } from './api';

const QUIET_MS = 300;
const REST_OF_LOAD = 5; // a server that took long to answer gets so many times as long to itself
const SLOWLY_MS = 30_000; // money runs on without events
const AGAIN_MS = [1000, 2000, 5000, 10_000];

/** Why the panel cannot show what it should, and how to mend it. */
export interface IProblem {
  what: string;
  mend: string;
}

/** What is known of the server. It asks only while somebody looks. */
export class Store {
  clusters: ICluster[] = [];
  jobs: IJob[] = [];
  kernels: IKernel[] = [];
  pools: IPool[] = [];
  today = 0; // micro-dollars
  budget: IBudget | null = null;
  loaded = false;
  problem: IProblem | null = null;
  skew: IProblem | null = null;

  constructor(
    readonly api: Api,
    private _version: string
  ) {}

  /** Something is to be shown anew. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** Somebody looks: show what is, then what becomes of it. */
  watch(): void {
    if (!this._watching) {
      this._watching = new AbortController();
      void this._run(this._watching.signal);
    }
  }

  /** Nobody looks. */
  rest(): void {
    this._watching?.abort();
    this._watching = null;
    window.clearTimeout(this._timer);
  }

  /** Look again soon: something was asked for, or has happened. */
  soon(wait = QUIET_MS): void {
    if (this._watching && !this._stale) {
      this._stale = true;
      window.clearTimeout(this._timer);
      this._timer = window.setTimeout(() => void this.refresh(), Math.max(wait, this._pause));
    }
  }

  async refresh(): Promise<void> {
    this._stale = false;
    const begun = performance.now();
    const api = this.api;
    try {
      const [clusters, page, kernels, pools, today, budgets] = await Promise.all([
        api.get<ICluster[]>('clusters'),
        api.get<{ jobs: IJob[] }>('jobs'),
        api.get<IKernel[]>('kernels'),
        api.get<IPool[]>('pools'),
        api.today(),
        api.get<IBudget[]>('budgets')
      ]);
      Object.assign(this, { clusters, kernels, pools, today, jobs: page.jobs });
      this.budget = budgets.find(one => one.account === 'all') ?? budgets[0] ?? null;
      this.loaded = true;
      this.problem = null;
    } catch (error) {
      this.problem = explain(error);
    }
    this._pause = REST_OF_LOAD * (performance.now() - begun);
    this._changed.emit();
    if (this._watching && !this._stale) {
      window.clearTimeout(this._timer);
      this._timer = window.setTimeout(() => void this.refresh(), SLOWLY_MS);
    }
  }

  private async _run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      try {
        const door = await this.api.door();
        this.skew = this._compare(door.version, door.server);
        await this.api.follow(
          ['events'],
          'last',
          () => this.soon(),
          signal,
          () => {
            failures = 0;
            void this.refresh();
          }
        );
      } catch (error) {
        if (signal.aborted) {
          return;
        }
        this.problem = explain(error);
        this._changed.emit();
      }
      const wait = AGAIN_MS[Math.min(failures++, AGAIN_MS.length - 1)];
      await new Promise(resolve => window.setTimeout(resolve, wait));
    }
  }

  private _compare(door: string, server: string | null): IProblem | null {
    if (door !== this._version) {
      return {
        what: `This panel is of skynb ${this._version}, Jupyter's server loaded skynb ${door}.`,
        mend: 'Restart JupyterLab, then reload this page.'
      };
    }
    if (server !== null && server !== door) {
      return {
        what: `skynb's server is of ${server}, JupyterLab of ${door}.`,
        mend: 'skynb server stop   (clusters and jobs go on; the next use starts the new one)'
      };
    }
    return null;
  }

  private _changed = new Signal<this, void>(this);
  private _watching: AbortController | null = null;
  private _timer = 0;
  private _stale = false;
  private _pause = 0;
}

function explain(error: unknown): IProblem {
  if (!(error instanceof ApiError)) {
    return { what: "Jupyter's server does not answer.", mend: '' };
  }
  if (error.status === 404) {
    return {
      what: "Jupyter's server has not loaded skynb.",
      mend: 'jupyter server extension enable skynb_jupyter   (then restart JupyterLab)'
    };
  }
  if (error.status === 403) {
    return { what: 'You may not see the clusters of this server.', mend: error.mend };
  }
  return { what: error.message, mend: error.mend };
}
