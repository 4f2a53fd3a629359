# The lab in a container, on the CPU and without the rights of root:
#   docker build -t neatlab .
#   docker run --rm -p 127.0.0.1:7860:7860 -v neatlab-runs:/home/lab/runs neatlab
# For everybody, within limits: docker run --rm -p 7860:7860 neatlab --public
FROM python:3.12-slim

# For a GPU: --build-arg TORCH_INDEX=https://pypi.org/simple, and docker run --gpus all.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

RUN useradd --create-home --uid 1000 lab
WORKDIR /home/lab

COPY requirements.txt .
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" --requirement requirements.txt

COPY pyproject.toml README.md LICENSE NOTICE app.py ./
COPY neatlab neatlab
RUN pip install --no-cache-dir --no-deps . && mkdir runs && chown lab:lab runs

USER lab
EXPOSE 7860
ENTRYPOINT ["python", "app.py", "--host", "0.0.0.0", "--port", "7860"]
# The port of `docker run` above is this machine's alone. With a port that others reach: NEATLAB_AUTH in the place of --insecure.
CMD ["--insecure"]
