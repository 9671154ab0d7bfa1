import { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

import { Api, ICheck, IGpu } from './api';
import { element, IRow, Rows } from './rows';
import { hourly } from './words';

/** Which accelerator, where, at what price; its value is the cell that launches there. */
export class GpuPicker extends Widget {
  constructor(private _api: Api) {
    super();
    this.addClass('skynb-Gpus');
    this._search.type = 'search';
    this._search.placeholder = 'H100, 80 GiB, …';
    this._spot.type = 'checkbox';
    this._name.value = 'train';
    this._cloud.append(new Option('any cloud', ''));
    const form = element('div', 'skynb-Gpus-form');
    form.append(
      field('Accelerator', this._search),
      field('On', this._cloud),
      field('Cluster', this._name),
      field('Spot (cheaper, may be taken away)', this._spot)
    );
    this._note.textContent =
      'List prices of the catalog; the cell shows its plan and price before it rents anything.';
    this.node.append(form, this._note);
    this._search.oninput = this._spot.oninput = () => this._show();
    this._cloud.onchange = () => void this._fetch();
    void this._fetch()
      .then(() => this._check())
      .catch(error => (this._note.textContent = error.message));
  }

  /** The cell; empty when nothing is picked. */
  getValue(): string {
    const picked = this._rows.selected;
    if (picked === null) {
      return '';
    }
    const words = ['%%sky launch', `-c ${this._name.value || 'train'}`, `--gpus ${picked}`];
    if (this._cloud.value) {
      words.push(`--infra ${this._cloud.value}`);
    }
    if (this._spot.checked) {
      words.push('--use-spot');
    }
    return `${words.join(' ')}\nnvidia-smi`;
  }

  protected onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    Widget.attach(this._rows, this.node, this._note);
  }

  protected onBeforeDetach(message: Message): void {
    Widget.detach(this._rows);
    super.onBeforeDetach(message);
  }

  private async _fetch(): Promise<void> {
    const cloud = this._cloud.value;
    try {
      const found = await this._api.gpus(cloud);
      if (cloud !== this._cloud.value) {
        return; // another was asked for meanwhile
      }
      this._gpus = found;
    } catch (error) {
      this._gpus = [];
      this._note.textContent = (error as Error).message;
    }
    if (this._cloud.length === 1) {
      const clouds = [...new Set(this._gpus.flatMap(one => one.clouds))].sort();
      this._cloud.append(...clouds.map(one => new Option(one)));
    }
    this._show();
  }

  /** Say which of the clouds can be rented from here. */
  private async _check(): Promise<void> {
    const checks = await this._api.get<ICheck[]>('check');
    const clouds = new Set(this._gpus.flatMap(one => one.clouds));
    const enabled = checks.filter(one => one.ok && clouds.has(one.infra)).map(one => one.infra);
    this._note.textContent +=
      ' ' +
      (enabled.length
        ? `Enabled here: ${enabled.join(', ')}.`
        : 'None of these clouds is enabled here; skynb check says how to enable one.');
  }

  private _show(): void {
    const words = this._search.value.toLowerCase().split(/\s+/);
    const found = this._gpus
      .filter(one => !this._spot.checked || one.spot_micro !== null)
      .filter(one => {
        const text = `${key(one)} ${one.memory_gib ?? ''} gib`.toLowerCase();
        return words.every(word => text.includes(word));
      });
    this._rows.fill(found.map(one => this._row(one)));
    if (this._rows.selected === null) {
      this._rows.select(0);
    }
  }

  private _row(one: IGpu): IRow {
    const price = this._spot.checked ? one.spot_micro : one.hourly_micro;
    const memory = one.memory_gib === null ? '' : `${one.memory_gib} GiB each`;
    return {
      key: key(one),
      title: `${one.count}×${one.name}`,
      state: hourly(price),
      tone: 'idle',
      detail: [memory, one.instance_type, one.cloud, one.region ?? ''].filter(Boolean).join(' · ')
    };
  }

  private _rows = new Rows('Accelerators', 'Nothing of that kind is known.', { menus: false });
  private _search = element('input', 'jp-mod-styled');
  private _cloud = element('select', 'jp-mod-styled');
  private _name = element('input', 'jp-mod-styled');
  private _spot = element('input', '');
  private _note = element('p', 'skynb-Gpus-note');
  private _gpus: IGpu[] = [];
}

function key(one: IGpu): string {
  return `${one.name}:${one.count}`;
}

function field(text: string, input: HTMLElement): HTMLElement {
  const label = element('label', '');
  label.append(element('span', '', text), input);
  return label;
}
