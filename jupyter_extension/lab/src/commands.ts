import { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, ICommandPalette, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import { PageConfig } from '@jupyterlab/coreutils';
import { INotebookTracker, NotebookActions, NotebookPanel } from '@jupyterlab/notebook';
import { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { Widget } from '@lumino/widgets';

import { Api, ApiError, ICluster, IClusterJob, IKernel } from './api';
import { GpuPicker } from './gpus';
import { element } from './rows';
import { Store } from './store';
import { accelerators, hourly, plural } from './words';

export namespace Commands {
  export const show = 'skynb:show';
  export const launch = 'skynb:launch';
  export const refresh = 'skynb:refresh';
  export const logs = 'skynb:logs';
  export const why = 'skynb:why';
  export const kernel = 'skynb:attach-kernel';
  export const dask = 'skynb:attach-dask';
  export const dashboard = 'skynb:dask-dashboard';
  export const stop = 'skynb:stop';
  export const start = 'skynb:start';
  export const down = 'skynb:down';
  export const cancel = 'skynb:cancel-job';
  export const endKernel = 'skynb:end-kernel';
  export const downPool = 'skynb:down-pool';
}

const LOADS = '%load_ext skynb';

/** What the panel, the palette and other extensions can have done. */
export function addCommands(
  app: JupyterFrontEnd,
  store: Store,
  notebooks: INotebookTracker | null,
  palette: ICommandPalette | null
): void {
  const api = store.api;

  const add = (
    id: string,
    label: string,
    execute: (args: ReadonlyPartialJSONObject) => Promise<unknown>,
    listed = false
  ) => {
    app.commands.addCommand(id, {
      label,
      execute: async args => {
        try {
          await execute(args);
        } catch (error) {
          const mend = error instanceof ApiError && error.mend ? `\n\n${error.mend}` : '';
          await showErrorMessage(label, `${(error as Error).message}${mend}`);
        }
      }
    });
    if (listed) {
      palette?.addItem({ command: id, category: 'skynb' });
    }
  };

  add(Commands.refresh, 'Refresh', () => store.refresh());
  add(
    Commands.launch,
    'Launch on a GPU…',
    async () => {
      const cell = await pick(api);
      if (cell) {
        await insert(app, notebooks, cell, LOADS);
      }
    },
    true
  );
  add(Commands.why, 'Insert a Cell That Says Why', async ({ cluster }) =>
    insert(app, notebooks, `%sky why ${cluster}`, LOADS)
  );
  add(Commands.kernel, 'Use as Kernel', async ({ cluster }) => {
    const name = `skynb-${cluster}`.toLowerCase();
    await app.serviceManager.kernelspecs.refreshSpecs();
    const current = shown(notebooks);
    if (current) {
      await current.sessionContext.changeKernel({ name });
    } else {
      await app.commands.execute('notebook:create-new', { kernelName: name });
    }
  });
  add(Commands.dask, 'Insert a Cell That Attaches Dask', async ({ cluster }) =>
    insert(
      app,
      notebooks,
      'from distributed import Client\nfrom skynb import SkyCluster\n\n' +
        `cluster = SkyCluster("${cluster}")\nclient = Client(cluster)\ncluster`
    )
  );
  add(Commands.start, 'Start', async ({ cluster }) => {
    await api.post(['clusters', String(cluster), 'start']);
    store.soon(0);
  });
  add(Commands.stop, 'Stop…', async ({ cluster }) => {
    const ends = await ending(String(cluster));
    const kept = 'Disks are kept, and are paid for.';
    if (await agreed(`Stop ${cluster}?`, [...ends, kept], 'Stop')) {
      await api.post(['clusters', String(cluster), 'stop']);
      store.soon(0);
    }
  });
  add(Commands.down, 'Take Down…', async ({ cluster }) => {
    const ends = await ending(String(cluster));
    const lost = 'What is on its disks is deleted. Logs are kept.';
    if (await agreed(`Take ${cluster} down?`, [...ends, lost], 'Take Down')) {
      await api.del('clusters', String(cluster));
      store.soon(0);
    }
  });
  add(Commands.cancel, 'Cancel…', async ({ job }) => {
    const what = ['Its machines are ended. What it has saved is kept.'];
    if (await agreed(`Cancel job ${job}?`, what, 'Cancel the Job')) {
      await api.post(['jobs', 'cancel'], { jobs: [job] });
      store.soon(0);
    }
  });
  add(Commands.endKernel, 'End…', async ({ cluster, kernel }) => {
    const what = [`Its variables on ${cluster} are lost; the cluster stays.`];
    if (await agreed(`End kernel ${kernel}?`, what, 'End')) {
      const session = sessionOf(String(cluster), Number(kernel));
      if (session) {
        await app.serviceManager.sessions.shutdown(session.id); // else Jupyter would start it again
      } else {
        await api.del('clusters', String(cluster), 'kernels', String(kernel));
      }
      store.soon(0);
    }
  });
  add(Commands.downPool, 'Take Down…', async ({ pool }) => {
    const what = ['All its workers are ended.'];
    if (await agreed(`Take the pool ${pool} down?`, what, 'Take Down')) {
      await api.del('pools', String(pool));
      store.soon(0);
    }
  });

  /** The session of this Jupyter server that uses a kernel on a cluster, if one does. */
  function sessionOf(cluster: string, kernel: number) {
    const one = store.kernels.find(one => one.cluster === cluster && one.id === kernel);
    const name = `skynb-${cluster}`.toLowerCase();
    const root = PageConfig.getOption('serverRoot');
    return [...app.serviceManager.sessions.running()].find(
      running =>
        one?.attached &&
        one.session === `${root}/${running.path}` &&
        (running.kernel?.name === name || running.kernel?.name.startsWith(`${name}-`))
    );
  }

  /** What ends with a cluster, a line each. */
  async function ending(name: string): Promise<string[]> {
    const [cluster, jobs, kernels] = await Promise.all([
      api.get<ICluster>('clusters', name),
      api.get<IClusterJob[]>('clusters', name, 'jobs'),
      api.get<IKernel[]>('clusters', name, 'kernels')
    ]);
    const machine = accelerators(cluster.accelerators) || cluster.instance_type;
    const running = jobs.filter(job => !job.final).map(job => job.name || `job ${job.id}`);
    const used = kernels.map(one => one.session.split('/').pop() || `kernel ${one.id}`);
    return [
      `${plural(cluster.num_nodes, 'machine')}: ${machine} on ${cluster.infra}, ${hourly(cluster.hourly_micro)}`,
      running.length
        ? `${plural(running.length, 'running job')}: ${running.join(', ')}`
        : 'No job runs on it.',
      used.length ? `${plural(used.length, 'kernel')}: ${used.join(', ')}` : 'No kernel runs on it.'
    ];
  }
}

async function agreed(title: string, lines: string[], label: string): Promise<boolean> {
  const list = element('ul', 'skynb-Ending');
  list.append(...lines.map(line => element('li', '', line)));
  const result = await showDialog({
    title,
    body: new Widget({ node: list }),
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label })],
    defaultButton: 0
  });
  return result.button.accept;
}

/** The cell of what was picked; empty, or null, when nothing was. */
async function pick(api: Api): Promise<string | null> {
  const picker = new GpuPicker(api);
  const result = await showDialog({
    title: 'Launch on a GPU',
    body: picker,
    buttons: [Dialog.cancelButton(), Dialog.okButton({ label: 'Insert Cell' })],
    focusNodeSelector: 'input'
  });
  return result.button.accept ? result.value : null;
}

/** The notebook that is in front. */
function shown(notebooks: INotebookTracker | null): NotebookPanel | null {
  const panel = notebooks?.currentWidget ?? null;
  return panel?.isVisible ? panel : null;
}

/** Put a cell below the current one, in a new notebook if none is in front; `before` only where it is not yet. */
async function insert(
  app: JupyterFrontEnd,
  notebooks: INotebookTracker | null,
  code: string,
  before = ''
): Promise<void> {
  const panel: NotebookPanel =
    shown(notebooks) ??
    (await app.commands.execute('notebook:create-new', { kernelName: 'python3' }));
  await panel.context.ready;
  await panel.revealed;
  const model = panel.content.model!;
  const cells = Array.from(model.cells);
  for (const text of before && !cells.some(one => one.sharedModel.source.includes(before))
    ? [before, code]
    : [code]) {
    const active = panel.content.activeCell;
    if (active && active.model.sharedModel.source === '') {
      active.model.sharedModel.setSource(text);
    } else {
      NotebookActions.insertBelow(panel.content);
      panel.content.activeCell!.model.sharedModel.setSource(text);
    }
  }
  app.shell.activateById(panel.id);
}
