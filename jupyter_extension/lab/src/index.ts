import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, WidgetTracker } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { addIcon, LabIcon, refreshIcon, ToolbarButton } from '@jupyterlab/ui-components';

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

    const logs = new WidgetTracker<LogView>({ namespace: 'skynb-logs' });
    app.commands.addCommand(Commands.logs, {
      label: 'Open Log',
      execute: args => {
        const of = { cluster: String(args.cluster ?? ''), job: Number(args.job ?? 0) };
        let view = logs.find(one => one.id === logId(of));
        if (!view) {
          view = new LogView(store.api, of);
          view.title.icon = icon;
          void logs.add(view);
          app.shell.add(view, 'main');
        }
        app.shell.activateById(view.id);
      }
    });
    void restorer?.restore(logs, {
      command: Commands.logs,
      args: view => ({ ...view.of }),
      name: view => view.id
    });

    const dashboards = new WidgetTracker<DashboardView>({ namespace: 'skynb-dask' });
    app.commands.addCommand(Commands.dashboard, {
      label: 'Open the Dask Dashboard',
      execute: args => {
        const cluster = String(args.cluster ?? '');
        let view = dashboards.find(one => one.id === dashboardId(cluster));
        if (!view) {
          view = new DashboardView(cluster);
          view.title.icon = icon;
          void dashboards.add(view);
          app.shell.add(view, 'main');
        }
        app.shell.activateById(view.id);
      }
    });
    void restorer?.restore(dashboards, {
      command: Commands.dashboard,
      args: view => ({ cluster: view.cluster }),
      name: view => view.id
    });

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
