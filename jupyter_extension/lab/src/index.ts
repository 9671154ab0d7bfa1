import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { addIcon, LabIcon, refreshIcon, ToolbarButton } from '@jupyterlab/ui-components';
import { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { version } from '../package.json';
import { Api } from './api';
import { addCommands, Commands } from './commands';
import { dashboardId, DashboardView } from './dashboards';
import { logId, LogView } from './logs';
import { Panel } from './panel';
import { Store } from './store';

const icon = new LabIcon({
  name: 'skynb:cloud',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24"><path class="jp-icon3" fill="#616161" d="M7 19a5 5 0 0 1-.9-9.9 6.5 6.5 0 0 1 12.3 1.4A4.3 4.3 0 0 1 18 19H7zm5-9-4 4h2.5v3h3v-3H16l-4-4z"/></svg>'
});

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'skynb:panel',
  description: 'Clusters, jobs, kernels and what they cost.',
  autoStart: true,
  optional: [ILayoutRestorer, ICommandPalette, INotebookTracker],
  activate: (
    app: JupyterFrontEnd,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    notebooks: INotebookTracker | null
  ) => {
    const store = new Store(new Api(app.serviceManager.serverSettings), version);
    addCommands(app, store, notebooks, palette);

    const panel = new Panel(store, app.commands);
    panel.title.icon = icon;
    const button = (name: string, tooltip: string, icon: LabIcon, command: string) =>
      panel.toolbar.addItem(
        name,
        new ToolbarButton({ icon, tooltip, onClick: () => void app.commands.execute(command) })
      );
    button('launch', 'Launch on a GPU…', addIcon, Commands.launch);
    button('refresh', 'Refresh', refreshIcon, Commands.refresh);
    app.shell.add(panel, 'left', { rank: 700 });
    restorer?.add(panel, panel.id);
    app.commands.addCommand(Commands.show, {
      label: 'Show Clusters',
      execute: () => app.shell.activateById(panel.id)
    });
    palette?.addItem({ command: Commands.show, category: 'skynb' });

    const inTabs = <T extends MainAreaWidget>(
      tabs: WidgetTracker<T>,
      command: string,
      label: string,
      of: (args: ReadonlyPartialJSONObject) => { id: string; make: () => T },
      args: (view: T) => ReadonlyPartialJSONObject
    ) => {
      app.commands.addCommand(command, {
        label,
        execute: asked => {
          const { id, make } = of(asked);
          let view = tabs.find(one => one.id === id);
          if (!view) {
            view = make();
            view.title.icon = icon;
            void tabs.add(view);
            app.shell.add(view, 'main');
          }
          app.shell.activateById(id);
        }
      });
      void restorer?.restore(tabs, { command, args, name: view => view.id });
    };
    inTabs(
      new WidgetTracker<LogView>({ namespace: 'skynb-logs' }),
      Commands.logs,
      'Open Log',
      ({ cluster, job }) => {
        const of = { cluster: String(cluster ?? ''), job: Number(job ?? 0) };
        return { id: logId(of), make: () => new LogView(store.api, of) };
      },
      view => ({ ...view.of })
    );
    inTabs(
      new WidgetTracker<DashboardView>({ namespace: 'skynb-dask' }),
      Commands.dashboard,
      'Open the Dask Dashboard',
      ({ cluster }) => {
        const name = String(cluster ?? '');
        return { id: dashboardId(name), make: () => new DashboardView(name) };
      },
      view => ({ cluster: view.cluster })
    );

    // A cluster that came up is a kernel to choose, in the launcher too.
    let up = '';
    store.changed.connect(() => {
      const now = store.clusters.filter(one => one.status === 'UP').map(one => one.name);
      if (now.join() !== up) {
        up = now.join();
        window.setTimeout(() => void app.serviceManager.kernelspecs.refreshSpecs(), 1000);
      }
    });
  }
};

export default plugin;
