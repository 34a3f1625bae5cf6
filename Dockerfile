# An image with the locked environment of one platform and this checkout in /app:
#
#     make image PLATFORM=cuda13        # or cpu, cuda12, tpu
#
# PLATFORM is a file of requirements/; CUDA comes with its packages, the driver from the host (`docker run --gpus=all`).
ARG PYTHON=3.12
FROM python:${PYTHON}-slim-bookworm

ARG PLATFORM=cpu
WORKDIR /app
COPY requirements.txt ./
COPY requirements/${PLATFORM}.txt requirements/
RUN python -m pip install --no-cache-dir -r requirements.txt -r "requirements/${PLATFORM}.txt"

COPY train.py eval.py predict.py LICENSE NOTICE ./
COPY configs configs
COPY input_pipeline input_pipeline
COPY occrobnet_jax occrobnet_jax
COPY tools tools

# What summary.json and checkpoints say of the code, since there is no git checkout in here.
ARG COMMIT=
ENV OCCROBNET_COMMIT=${COMMIT} PYTHONUNBUFFERED=1
CMD ["python", "train.py", "--help"]
