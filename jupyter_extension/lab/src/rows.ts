import { ISignal, Signal } from '@lumino/signaling';
import { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';

export const ROW_PX = 44;
const AROUND = 6; // rows drawn above and below what can be seen

export type Tone = 'good' | 'busy' | 'bad' | 'idle';

/** A row: two lines, and a state that is said in words and shown as a mark. */
export interface IRow {
  key: string;
  title: string;
  state: string;
  tone: Tone;
  detail: string;
  hint?: string;
}

export interface IAsked {
  key: string;
  verb: 'menu' | 'open' | 'remove';
  x: number;
  y: number;
}

/** A list of which only what can be seen is in the page: thousands of rows scroll like ten. */
export class Rows extends Widget {
  constructor(
    label: string,
    private _empty: string,
    options: { menus: boolean } = { menus: true }
  ) {
    super();
    this._menus = options.menus;
    this.id = `skynb-rows-${++made}`;
    this.addClass('skynb-Rows');
    this._list.className = 'skynb-Rows-list';
    this._list.tabIndex = 0;
    this._list.setAttribute('role', 'listbox');
    this._list.setAttribute('aria-label', label);
    this._list.appendChild(this._inner);
    this._inner.className = 'skynb-Rows-inner';
    this._inner.setAttribute('role', 'presentation');
    this._note.className = 'skynb-Rows-empty';
    this.node.append(this._list, this._note);
    this.fill([]);
  }

  /** A person asks something of a row. */
  get asked(): ISignal<this, IAsked> {
    return this._asked;
  }

  get selected(): string | null {
    return this._rows[this._at]?.key ?? null;
  }

  /** Show these rows; the selected one stays selected wherever it is now. known: none is really none. */
  fill(rows: IRow[], known = true): void {
    const key = this.selected;
    this._rows = rows;
    this._at = key === null ? -1 : rows.findIndex(row => row.key === key);
    this._inner.style.height = `${rows.length * ROW_PX}px`;
    this._list.hidden = rows.length === 0;
    this._note.textContent = rows.length === 0 && known ? this._empty : '';
    this._drawn = '';
    this._draw();
  }

  select(index: number): void {
    this._at = Math.min(this._rows.length - 1, Math.max(0, index));
    const top = this._at * ROW_PX;
    const list = this._list;
    if (top < list.scrollTop) {
      list.scrollTop = top;
    } else if (top + ROW_PX > list.scrollTop + list.clientHeight) {
      list.scrollTop = top + ROW_PX - list.clientHeight;
    }
    this._drawn = '';
    this._draw();
  }

  handleEvent(event: Event): void {
    switch (event.type) {
      case 'scroll':
        this._draw();
        break;
      case 'keydown':
        this._key(event as KeyboardEvent);
        break;
      default:
        this._mouse(event as MouseEvent);
    }
  }

  protected onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    for (const type of EVENTS) {
      this._list.addEventListener(type, this);
    }
    this._sight.observe(this._list);
  }

  protected onBeforeDetach(message: Message): void {
    for (const type of EVENTS) {
      this._list.removeEventListener(type, this);
    }
    this._sight.disconnect();
    super.onBeforeDetach(message);
  }

  private _draw(): void {
    const { scrollTop, clientHeight } = this._list;
    const first = Math.max(0, Math.floor(scrollTop / ROW_PX) - AROUND);
    const last = Math.min(
      this._rows.length,
      Math.ceil((scrollTop + clientHeight) / ROW_PX) + AROUND
    );
    const drawn = `${first}-${last}-${this._at}`;
    if (drawn === this._drawn) {
      return;
    }
    this._drawn = drawn;
    const rows = this._rows.slice(first, last);
    this._inner.replaceChildren(...rows.map((row, offset) => this._row(row, first + offset)));
    if (this._at >= first && this._at < last) {
      this._list.setAttribute('aria-activedescendant', `${this.id}-${this._at}`);
    } else {
      this._list.removeAttribute('aria-activedescendant');
    }
  }

  private _row(row: IRow, index: number): HTMLElement {
    const node = element('div', 'skynb-Row');
    node.id = `${this.id}-${index}`;
    node.style.top = `${index * ROW_PX}px`;
    node.dataset.index = String(index);
    node.title = row.hint ?? '';
    node.setAttribute('role', 'option');
    node.setAttribute('aria-selected', String(index === this._at));
    node.setAttribute('aria-setsize', String(this._rows.length));
    node.setAttribute('aria-posinset', String(index + 1));
    const state = element('span', 'skynb-Row-state', row.state);
    state.dataset.tone = row.tone;
    node.append(
      element('span', 'skynb-Row-title', row.title),
      state,
      element('span', 'skynb-Row-detail', row.detail)
    );
    if (this._menus) {
      const more = element('button', 'skynb-Row-more', '⋯');
      more.tabIndex = -1; // the keyboard opens the menu on the row itself
      more.setAttribute('aria-hidden', 'true');
      more.title = `What can be done with ${row.title}`;
      node.append(more);
    }
    return node;
  }

  private _key(event: KeyboardEvent): void {
    const page = Math.max(1, Math.floor(this._list.clientHeight / ROW_PX) - 1);
    const moves: { [key: string]: number } = {
      ArrowDown: this._at + 1,
      ArrowUp: this._at - 1,
      PageDown: this._at + page,
      PageUp: this._at - page,
      Home: 0,
      End: this._rows.length - 1
    };
    if (event.key in moves) {
      this.select(moves[event.key]);
    } else if (event.key === 'ContextMenu' || (event.key === 'F10' && event.shiftKey)) {
      this._ask('menu');
    } else if (event.key === 'Enter' || event.key === ' ') {
      this._ask('open');
    } else if (event.key === 'Delete') {
      this._ask('remove');
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  private _mouse(event: MouseEvent): void {
    const target = event.target as HTMLElement;
    const index = target.closest<HTMLElement>('.skynb-Row')?.dataset.index;
    if (index === undefined) {
      return;
    }
    if (event.type === 'contextmenu') {
      event.preventDefault();
      event.stopPropagation();
    }
    this.select(Number(index));
    if (event.type === 'contextmenu' || target.classList.contains('skynb-Row-more')) {
      this._ask('menu', event.clientX, event.clientY);
    } else if (event.type === 'dblclick') {
      this._ask('open', event.clientX, event.clientY);
    }
  }

  private _ask(verb: IAsked['verb'], x?: number, y?: number): void {
    const key = this.selected;
    if (key !== null) {
      this.select(this._at); // it may have been scrolled away
      const box = document.getElementById(`${this.id}-${this._at}`)!.getBoundingClientRect();
      this._asked.emit({ key, verb, x: x ?? box.left + 24, y: y ?? box.bottom - 8 });
    }
  }

  private _menus: boolean;
  private _list = document.createElement('div');
  private _inner = document.createElement('div');
  private _note = document.createElement('p');
  private _rows: IRow[] = [];
  private _at = -1;
  private _drawn = '';
  private _sight = new ResizeObserver(() => this._draw());
  private _asked = new Signal<this, IAsked>(this);
}

let made = 0;
const EVENTS = ['scroll', 'keydown', 'click', 'dblclick', 'contextmenu'];

/** An element with a class and text; what comes from the server is never markup. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className: string,
  text = ''
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}
