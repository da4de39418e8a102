# spectrodiff in a container. For CPUs; the page is then at http://localhost:8800:
#   docker build --tag spectrodiff .
#   docker run --publish 127.0.0.1:8800:8800 spectrodiff play --host 0.0.0.0 --port 8800 --no_browser
#   docker run --volume "$PWD:/songs" --workdir /songs spectrodiff sample song.mid --out song.wav
# For NVIDIA GPUs, with cuda12 or cuda13 (docs/installing.md says which driver each needs):
#   docker build --build-arg CUDA=cuda13 --tag spectrodiff:cuda13 .
#   docker run --gpus all --volume "$PWD:/songs" --workdir /songs spectrodiff:cuda13 sample song.mid
FROM python:3.12-slim
ARG CUDA=""

# FluidSynth and a soundfont render corpora.
RUN apt-get update && \
    apt-get install --yes --no-install-recommends fluidsynth fluid-soundfont-gm && \
    rm -rf /var/lib/apt/lists/*

WORKDIR /opt/spectrodiff
COPY . .
RUN pip install --upgrade --requirement requirements-build.txt
RUN pip install --build-constraint requirements-build.txt --requirement requirements.txt
RUN pip install --build-constraint requirements-build.txt --no-deps .
# ONNX Runtime for GPUs is installed into the same folder as the one for CPUs, which has to go first.
RUN if [ -n "$CUDA" ]; then \
      pip install ".[$CUDA]" && \
      pip freeze | grep onnxruntime-gpu > gpu.txt && \
      pip uninstall --yes onnxruntime onnxruntime-gpu && \
      pip install --no-deps --requirement gpu.txt; \
    fi
ENTRYPOINT ["spectrodiff"]
