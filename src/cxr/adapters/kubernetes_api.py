"""The connection to a Kubernetes cluster: a pod's own, or that of a kubeconfig."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException

from cxr.errors import ClusterError


@contextmanager
def connect() -> Iterator[client.ApiClient]:
    """Yield a connection: with the service account of the pod this runs in, or else with the kubeconfig.

    The kubeconfig is that of `KUBECONFIG`, or `~/.kube/config`.

    Raises:
        ClusterError: there is neither.
    """
    configuration = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)
    except ConfigException:
        try:
            config.load_kube_config(os.environ.get("KUBECONFIG"), client_configuration=configuration)
        except (ConfigException, OSError) as error:
            raise ClusterError(
                f"a cluster must be at hand: this is no pod of one, and the kubeconfig does not serve: {error}; "
                "set KUBECONFIG to a file that names a cluster and a user"
            ) from error
    with client.ApiClient(configuration) as api:
        yield api
