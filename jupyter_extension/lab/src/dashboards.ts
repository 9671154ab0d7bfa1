import { IFrame, MainAreaWidget } from '@jupyterlab/apputils';
import { PageConfig, URLExt } from '@jupyterlab/coreutils';

/** The dashboard of the Dask on a cluster, in a tab of the main area; it comes over the Jupyter server. */
export class DashboardView extends MainAreaWidget<IFrame> {
  constructor(readonly cluster: string) {
    super({ content: new IFrame({ sandbox: ['allow-same-origin', 'allow-scripts'] }) });
    this.id = dashboardId(cluster);
    this.title.label = `${cluster} Dask`;
    this.title.closable = true;
    this.toolbar.hide();
    this.content.url = URLExt.join(
      PageConfig.getBaseUrl(),
      'skynb/dask',
      encodeURIComponent(cluster),
      'status'
    );
  }
}

export function dashboardId(cluster: string): string {
  return `skynb-dask-${cluster}`;
}
