import { MainAreaWidget } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';

import { Api, ApiError, IClusterJob } from './api';
import { element } from './rows';
import { plain } from './words';

const MOST_CHARACTERS = 2_000_000; // the whole log is kept by the server
const AGAIN_MS = 1000;

/** Whose log: a job of a cluster (0 is the newest), or a managed job. */
export interface ILogOf {
  cluster: string;
  job: number;
}

/** A log as it grows, in a tab of the main area. */
export class LogView extends MainAreaWidget<Widget> {
  constructor(
    api: Api,
    readonly of: ILogOf
  ) {
    super({ content: new Log(api, of) });
    this.id = logId(of);
    this.title.label = of.cluster ? `${of.cluster} log` : `Job ${of.job} log`;
    this.title.closable = true;
  }
}

export function logId(of: ILogOf): string {
  return `skynb-log-${of.cluster}-${of.job}`;
}

class Log extends Widget {
  constructor(
    private _api: Api,
    private _of: ILogOf
  ) {
    super();
    this.addClass('skynb-Log');
    this._text.tabIndex = 0;
    this._text.setAttribute('role', 'log');
    this._text.setAttribute('aria-live', 'off');
    this._text.setAttribute('aria-label', 'Log');
    this._end.setAttribute('role', 'status');
    this._choice.setAttribute('aria-label', 'Job');
    this._choice.onchange = () => this._begin(Number(this._choice.value));
    this.node.append(this._choice, this._text, this._end);
    void this._open();
  }

  dispose(): void {
    this._reading.abort();
    super.dispose();
  }

  private async _open(): Promise<void> {
    this._choice.hidden = true;
    if (!this._of.cluster) {
      return this._begin(this._of.job);
    }
    try {
      const jobs = await this._api.get<IClusterJob[]>('clusters', this._of.cluster, 'jobs');
      if (!jobs.length) {
        this._end.textContent = `${this._of.cluster} has had no job.`;
        return;
      }
      const latest = this._of.job || jobs[jobs.length - 1].id;
      for (const job of [...jobs].reverse()) {
        const option = new Option(`${job.id} ${job.name} ${job.status}`, String(job.id));
        option.selected = job.id === latest;
        this._choice.append(option);
      }
      this._choice.hidden = false;
      this._begin(latest);
    } catch (error) {
      this._end.textContent = (error as Error).message;
    }
  }

  private _begin(job: number): void {
    this._reading.abort();
    this._reading = new AbortController();
    this._text.textContent = '';
    this._waiting = [];
    this._length = 0;
    this._end.textContent = '';
    void this._read(job, this._reading.signal);
  }

  /** Read to the log's end, and on behind the last piece whenever the connection breaks. */
  private async _read(job: number, signal: AbortSignal): Promise<void> {
    const path = this._of.cluster
      ? ['clusters', this._of.cluster, 'jobs', String(job), 'logs']
      : ['jobs', String(job), 'logs'];
    let after = '0';
    let ended = false;
    while (!ended && !signal.aborted) {
      try {
        await this._api.follow(
          path,
          after,
          event => {
            after = event.id || after;
            if (event.name === 'log') {
              this._add(event.data.text);
            } else if (event.name === 'end') {
              ended = true;
              this._end.textContent = [event.data.status, event.data.reason]
                .filter(Boolean)
                .join(': ');
            }
          },
          signal
        );
      } catch (error) {
        if (signal.aborted) {
          return;
        }
        if (error instanceof ApiError && error.status < 500) {
          this._end.textContent = error.message;
          return;
        }
      }
      if (!ended) {
        await new Promise(resolve => window.setTimeout(resolve, AGAIN_MS));
      }
    }
  }

  private _add(text: string): void {
    this._waiting.push(plain(text));
    if (this._waiting.length === 1) {
      window.requestAnimationFrame(() => this._flush());
    }
  }

  private _flush(): void {
    const box = this._text;
    const below = box.scrollHeight - box.scrollTop - box.clientHeight < 4;
    const text = this._waiting.join('');
    box.append(text);
    this._waiting = [];
    this._length += text.length;
    if (this._length > MOST_CHARACTERS) {
      const kept = box.textContent!.slice(-MOST_CHARACTERS / 2);
      this._length = kept.length;
      box.textContent = `[the beginning is left out here; skynb logs has it]\n${kept}`;
    }
    if (below) {
      box.scrollTop = box.scrollHeight;
    }
  }

  private _choice = element('select', '');
  private _text = element('pre', 'skynb-Log-text');
  private _end = element('p', 'skynb-Log-end');
  private _reading = new AbortController();
  private _waiting: string[] = [];
  private _length = 0;
}
