# One image: the operator (the default command), the `penstock` command line, and the SDK for tasks.
# BASE needs python3 (3.11 to 3.13) with its venv module, the same in both stages.
ARG BASE=python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# Two environments: `tools` has pip and the build backend and stays behind, /opt/penstock has neither.
COPY requirements/build.lock requirements/operator.lock requirements/bill_of_materials.py requirements/
RUN python3 -m venv tools \
 && tools/bin/pip install --quiet --only-binary=:all: --require-hashes -r requirements/build.lock \
 && python3 -m venv --without-pip /opt/penstock \
 && tools/bin/pip --python /opt/penstock/bin/python install --quiet --no-compile --only-binary=:all: \
      --require-hashes -r requirements/operator.lock

COPY pyproject.toml README.md LICENSE ./
COPY sdk sdk
COPY operator operator
COPY helm helm
# Bytecode is written here, once: the root file system is read-only where the image runs, and without
# bytecode every start compiles all that it imports. `unchecked-hash` looks at no file times. The client's
# second half, kubernetes.aio, is as big as all else together and nothing here imports it.
RUN tools/bin/python -m hatchling build --target wheel --directory dist \
 && tools/bin/pip --python /opt/penstock/bin/python install --quiet --no-compile --no-deps --no-index dist/*.whl \
 && find /opt/penstock/lib -type d -name tests -not -path '*/chart/*' -prune -exec rm -r {} + \
 && rm -r /opt/penstock/lib/python3*/site-packages/kubernetes/aio \
 && /opt/penstock/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/penstock/lib \
 && python3 requirements/bill_of_materials.py --output /opt/penstock/sbom.cdx.json \
      --site-packages "$(/opt/penstock/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Penstock" \
      org.opencontainers.image.description="Workflow orchestration that lives inside Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/penstock /opt/penstock
ENV PATH=/opt/penstock/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    LOGNAME=penstock
# Numeric, so that the kubelet can tell that it is not root. There is no entry for it in /etc/passwd:
# HOME and LOGNAME say what the Python library would look up there.
USER 65532:65532
WORKDIR /tmp
# No entry point: `penstock ...` or any other command takes the operator's place as it is typed.
CMD ["python", "-m", "penstock_operator"]
