# The service and nothing it does not need at run time. The same image runs the web server and the workers.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    VIEWER_DATA_DIR=/data

RUN useradd --uid 10001 --no-create-home --home-dir /srv/viewer viewer && install -d -o viewer -g viewer /data
WORKDIR /srv/viewer
COPY requirements.txt ./
RUN pip install -r requirements.txt
COPY . .

USER viewer
VOLUME /data
EXPOSE 8000
# Refuses to listen beyond loopback until VIEWER_AUTH=jwt has its key: docs/deploy.md.
CMD ["python", "-m", "config.run"]
