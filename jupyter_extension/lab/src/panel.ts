import { SidePanel } from '@jupyterlab/ui-components';
import { CommandRegistry } from '@lumino/commands';
import { ReadonlyJSONObject } from '@lumino/coreutils';
import { Message } from '@lumino/messaging';
import { Menu, Widget } from '@lumino/widgets';

import { ICluster, IJob, IKernel, IPool } from './api';
import { Commands } from './commands';
import { element, IAsked, IRow, Rows, Tone } from './rows';
import { IProblem, Store } from './store';
import { accelerators, dollars, hourly, plural } from './words';

const TONES: { [status: string]: Tone } = {
  UP: 'good',
  READY: 'good',
  RUNNING: 'good',
  SUCCEEDED: 'idle',
  STOPPED: 'idle',
  CANCELLED: 'idle',
  TERMINATED: 'idle',
  ENDED: 'idle'
};

/** Good, on its way, at rest, or wrong. */
function tone(status: string): Tone {
  return TONES[status] ?? (status.startsWith('FAILED') ? 'bad' : 'busy');
}

/** One kind of thing: its list, and what can be done with one of it. */
interface ISection<T> {
  label: string;
  rows: Rows;
  items: () => T[];
  row: (item: T) => IRow;
  args: (item: T) => ReadonlyJSONObject;
  open: (item: T) => string | null;
  remove: (item: T) => string | null;
  menu: (item: T) => string[];
}

/** The side panel: what lives, what it costs, and what can be done about it. */
export class Panel extends SidePanel {
  constructor(
    private _store: Store,
    private _commands: CommandRegistry
  ) {
    super();
    this.id = 'skynb-panel';
    this.addClass('skynb-Panel');
    this.title.caption = 'skynb: clusters, jobs and what they cost';
    this._filter.type = 'search';
    this._filter.placeholder = 'Filter by name, place or state';
    this._filter.setAttribute('aria-label', 'Filter by name, place or state');
    this._filter.addEventListener('input', () => this._show());
    const head = new Widget();
    head.addClass('skynb-Head');
    this._notices.setAttribute('role', 'status');
    head.node.append(this._notices, this._money, this._filter);
    this.header.addWidget(head);
    for (const section of this._sections) {
      section.rows.title.label = section.label;
      section.rows.asked.connect((_, asked) => this._answer(section, asked));
      this.addWidget(section.rows);
    }
    _store.changed.connect(this._show, this);
    this._show();
  }

  dispose(): void {
    this._store.rest();
    super.dispose();
  }

  protected onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._store.watch();
  }

  protected onAfterHide(message: Message): void {
    super.onAfterHide(message);
    this._store.rest();
  }

  private _show(): void {
    const store = this._store;
    this._notices.replaceChildren(
      ...[store.problem, store.skew]
        .filter((one): one is IProblem => one !== null && one.what !== this._dismissed)
        .map(one => this._notice(one))
    );
    this._spend();
    const words = this._filter.value.toLowerCase().split(/\s+/);
    for (const section of this._sections) {
      const all = section.items().map(section.row);
      const found = all.filter(row => {
        const text = `${row.title} ${row.state} ${row.detail}`.toLowerCase();
        return words.every(word => text.includes(word));
      });
      section.rows.fill(found, store.loaded);
      const count =
        found.length === all.length ? `${all.length}` : `${found.length} of ${all.length}`;
      section.rows.title.label = `${section.label} (${store.loaded ? count : '…'})`;
    }
  }

  private _notice(problem: IProblem): HTMLElement {
    const notice = element('div', 'skynb-Notice');
    notice.append(element('p', '', problem.what));
    if (problem.mend) {
      notice.append(element('code', '', problem.mend));
    }
    const close = element('button', 'skynb-Notice-close', '×');
    close.setAttribute('aria-label', 'Dismiss');
    close.onclick = () => {
      this._dismissed = problem.what;
      this._show();
    };
    notice.append(close);
    return notice;
  }

  private _spend(): void {
    const { today, budget, clusters } = this._store;
    const rate = clusters
      .filter(one => one.up_at !== null && ['UP', 'INIT', 'STOPPING'].includes(one.status))
      .reduce((sum, one) => sum + one.hourly_micro, 0);
    const words = [`Today ${dollars(today)}`, `${hourly(rate)} now`];
    const now = element('span', '', words.join(' · '));
    now.title = 'Days begin at midnight UTC, as months of budgets do';
    this._money.replaceChildren(now);
    if (budget) {
      const spent = budget.settled_micro;
      const meter = element('meter', '');
      meter.max = budget.cap_micro;
      meter.high = 0.8 * budget.cap_micro;
      meter.value = spent;
      const whose = budget.account === 'all' ? '' : ` (${budget.account.replace('user:', '')})`;
      const says = `${dollars(spent)} of ${dollars(budget.cap_micro)} this month${whose}`;
      meter.setAttribute('aria-label', says);
      const held = budget.reserved_micro ? `, ${dollars(budget.reserved_micro)} held` : '';
      this._money.append(meter, element('span', 'skynb-Money-budget', says + held));
    } else if (this._store.loaded) {
      this._money.append(element('span', 'skynb-Money-budget', 'No budget is set.'));
    }
  }

  private _answer<T>(section: ISection<T>, asked: IAsked): void {
    const item = section.items().find(one => section.row(one).key === asked.key);
    if (item === undefined) {
      return;
    }
    const args = section.args(item);
    if (asked.verb === 'menu') {
      const menu = new Menu({ commands: this._commands });
      for (const command of section.menu(item)) {
        menu.addItem(command ? { command, args } : { type: 'separator' });
      }
      menu.open(asked.x, asked.y);
      return;
    }
    const command = asked.verb === 'open' ? section.open(item) : section.remove(item);
    if (command !== null) {
      void this._commands.execute(command, args);
    }
  }

  private _filter = element('input', 'skynb-Filter');
  private _money = element('div', 'skynb-Money');
  private _notices = element('div', 'skynb-Notices');
  private _dismissed = '';

  private _clusters: ISection<ICluster> = {
    label: 'Clusters',
    rows: new Rows('Clusters', 'No clusters. + above launches one.'),
    items: () => this._store.clusters,
    row: one => {
      const machine = accelerators(one.accelerators) || one.instance_type;
      const moving = one.target !== one.status && !one.final;
      const nodes = one.num_nodes > 1 ? `${one.num_nodes} × ${machine}` : machine;
      const spent = one.settled_micro ? `${dollars(one.settled_micro)} spent` : '';
      return {
        key: one.name,
        title: one.name,
        state: moving ? `${one.status} → ${one.target}` : one.status,
        tone: moving && one.status === 'UP' ? 'busy' : tone(one.status),
        detail: [nodes, one.infra, hourly(one.hourly_micro), spent].filter(Boolean).join(' · '),
        hint: one.reason
      };
    },
    args: one => ({ cluster: one.name }),
    open: () => Commands.logs,
    remove: () => Commands.down,
    menu: one => {
      const up =
        one.status === 'UP' ? [Commands.kernel, Commands.dask, Commands.dashboard, ''] : [];
      const moves = one.target === 'STOPPED' ? [Commands.start] : [Commands.stop];
      return [...up, Commands.logs, Commands.why, '', ...moves, Commands.down];
    }
  };

  private _jobs: ISection<IJob> = {
    label: 'Jobs',
    rows: new Rows('Managed jobs', 'No managed jobs.'),
    items: () => this._store.jobs,
    row: one => ({
      key: String(one.id),
      title: `${one.id} ${one.name}`,
      state: one.status,
      tone: tone(one.status),
      detail: [
        `${dollars(one.settled_micro)} spent`,
        one.recoveries ? plural(one.recoveries, 'recovery', 'recoveries') : '',
        one.reason
      ]
        .filter(Boolean)
        .join(' · '),
      hint: one.reason
    }),
    args: one => ({ job: one.id }),
    open: () => Commands.logs,
    remove: one => (one.final ? null : Commands.cancel),
    menu: one => [Commands.logs, ...(one.final ? [] : [Commands.cancel])]
  };

  private _kernels: ISection<IKernel> = {
    label: 'Kernels',
    rows: new Rows('Kernels on clusters', 'No kernels on clusters.'),
    items: () => this._store.kernels,
    row: one => ({
      key: `${one.cluster}/${one.id}`,
      title: one.session.split('/').pop() || `kernel ${one.id}`,
      state: one.status,
      tone: tone(one.status),
      detail: [
        `${one.cluster} node ${one.rank}`,
        one.attached ? 'in use' : 'nobody attached',
        one.reason
      ]
        .filter(Boolean)
        .join(' · '),
      hint: one.reason || one.session
    }),
    args: one => ({ cluster: one.cluster, kernel: one.id }),
    open: () => null,
    remove: () => Commands.endKernel,
    menu: () => [Commands.endKernel]
  };

  private _pools: ISection<IPool> = {
    label: 'Pools',
    rows: new Rows('Pools of workers', 'No pools.'),
    items: () => this._store.pools,
    row: one => ({
      key: one.name,
      title: one.name,
      state: one.status,
      tone: tone(one.status),
      detail: [
        `${one.workers.length} of ${plural(one.wanted, 'worker')}`,
        one.waiting ? `${one.waiting} waiting` : '',
        hourly(one.workers.reduce((sum, worker) => sum + worker.hourly_micro, 0))
      ]
        .filter(Boolean)
        .join(' · '),
      hint: one.reason
    }),
    args: one => ({ pool: one.name }),
    open: () => null,
    remove: () => Commands.downPool,
    menu: () => [Commands.downPool]
  };

  private get _sections(): ISection<any>[] {
    return [this._clusters, this._jobs, this._kernels, this._pools];
  }
}
