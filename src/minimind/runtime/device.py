"""Which device and number format to compute in, and how fast this machine multiplies matrices."""

import functools
import time

import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# Dense bf16 matrix-product rates of the makers' data sheets, FLOP/s; elsewhere the rate is measured.
GPU_PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "RTX 4090": 165e12, "RTX 3090": 71e12}


def resolve_device(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" takes a GPU where there is one. Raises ValueError for one that is not here."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"--device {name}: not a device name; use auto, cpu, cuda, cuda:0 or mps.") from error
    missing = (device.type == "cuda" and not torch.cuda.is_available()) or (
        device.type == "mps" and not torch.backends.mps.is_available()
    )
    if missing or (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()):
        raise ValueError(f"--device {name}: this machine has no such device; use --device cpu or --device auto.")
    return device


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """The format of matrix products; "auto" takes bf16 where the hardware multiplies it fast, else fp32."""
    if name in ("auto", ""):
        return torch.bfloat16 if multiplies_bf16(device) else torch.float32
    if name not in DTYPES:
        raise ValueError(f"--dtype {name}: use one of auto, {', '.join(DTYPES)}.")
    return DTYPES[name]


def multiplies_bf16(device: torch.device) -> bool:
    """Whether bf16 products run in hardware here (a CPU without AVX512-BF16 or AMX emulates them slowly)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


@functools.cache
def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Matrix-product rate in FLOP/s: of the data sheet for known GPUs, else the best of a few timed products."""
    if device.type == "cuda" and dtype != torch.float32:
        name = torch.cuda.get_device_name(device)
        for key, rate in GPU_PEAKS.items():
            if key in name:
                return rate
    size = 1024 if device.type == "cpu" else 4096
    a = torch.ones(size, size, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(4):
        synchronise(device)
        start = time.perf_counter()
        a @ a
        synchronise(device)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def synchronise(device: torch.device) -> None:
    """Waits for the device's queue, so that a clock read next to it means something."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def describe_machine(device: torch.device) -> dict:
    """What a measurement has to say of the machine that it was made on."""
    import os
    import platform

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "device": str(device),
        "processor": name,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
