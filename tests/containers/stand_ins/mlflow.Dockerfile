# MLflow's server at the version of requirements.lock, where upstream's image cannot be pulled.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements.lock /tmp/
RUN python3 -m venv --without-pip /opt/mlflow \
    && python3 -m pip --python /opt/mlflow/bin/python install --constraint /tmp/requirements.lock mlflow
ENV PATH=/opt/mlflow/bin:/usr/local/bin:/usr/bin:/bin
CMD ["python3"]
