"""Doctor: GPUs and the memory plan, with an nvidia-smi of the test's own on PATH."""

from pathlib import Path

import pytest
import torch

from deploy.doctor.finding import Finding, State
from deploy.doctor.fit import sizes
from deploy.doctor.fit.gpu import Card, gpu
from deploy.doctor.fit.recogniser import recogniser_sizes
from deploy.doctor.fit.sessions import sessions, unknown
from deploy.doctor.fit.sizes import SEVEN_B, SEVEN_B_IN_8_BITS, ModelSizes
from tests.engine.recognition.folder import recogniser_folder
from worker.engine.kv_choice import KvType
from worker.engine.recognition.load import find_recogniser

GIB = 1 << 30
CPU_BYTES = 64 * GIB
SMALL = ModelSizes(14 << 20, 3000, 1500, 4 << 20, 250)


def told(finding: Finding) -> tuple[str, State]:
    """Return a finding's code and state."""
    return finding.code, finding.state


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where nvidia-smi would be on a PATH with nothing else; it is not there yet."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "nvidia-smi"


def says(program: Path, *lines: str, status: int = 0) -> None:
    """Write a program that prints lines and ends."""
    shown = "".join(f"echo '{line}'\n" for line in lines)
    program.write_text(f"#!/bin/sh\n{shown}exit {status}\n")
    program.chmod(0o755)


def card(total_mib: int) -> Card:
    """Return a free card as nvidia-smi lists it."""
    return Card("NVIDIA X", "570.86", total_mib << 20, total_mib << 20)


def test_a_card_is_found_with_name_driver_and_memory(nvidia_smi: Path) -> None:
    """A card's finding has its name, driver and memory."""
    says(nvidia_smi, "NVIDIA L4, 570.86.15, 23034, 22563")
    [finding], found = gpu("auto")

    assert told(finding) == ("gpu.ok", State.OK)
    assert finding.found == "NVIDIA L4, driver 570.86.15, 22.0 of 22.5 GiB free"
    assert found == Card("NVIDIA L4", "570.86.15", 23034 << 20, 22563 << 20)


def test_of_several_cards_the_first_is_planned_for(nvidia_smi: Path) -> None:
    """The plan is for the first of several cards, and the finding has the number of others."""
    says(nvidia_smi, *["NVIDIA L4, 570.86.15, 23034, 22563"] * 3)
    [finding], _ = gpu("auto")

    assert finding.found.endswith("; 2 more, a worker each: CUDA_VISIBLE_DEVICES")


def test_a_card_in_use_is_a_warning(nvidia_smi: Path) -> None:
    """A card whose memory is in use is a warning."""
    says(nvidia_smi, "NVIDIA L4, 570.86.15, 23034, 8000")

    assert told(gpu("cuda")[0][0]) == ("gpu.in_use", State.WARN)


def test_a_driver_that_is_too_old_is_a_failure(nvidia_smi: Path) -> None:
    """A driver older than torch's CUDA needs is a failure."""
    says(nvidia_smi, "Tesla T4, 470.82.01, 15109, 15000")
    [finding], _ = gpu("auto")

    assert told(finding) == ("gpu.driver_old", State.FAIL)
    assert finding.advice == "install driver 525.60.13 or newer"


def test_a_driver_that_does_not_answer_is_a_failure(nvidia_smi: Path) -> None:
    """A driver that does not answer is a failure with nvidia-smi's own words."""
    says(nvidia_smi, "Failed to initialize NVML: Driver/library version mismatch", status=18)
    [finding], found = gpu("auto")

    assert told(finding) == ("gpu.driver_broken", State.FAIL)
    assert finding.found.endswith("Driver/library version mismatch")
    assert found is None


def test_a_card_of_unknown_memory_is_a_failure(nvidia_smi: Path) -> None:
    """A card whose memory nvidia-smi does not know is a failure."""
    says(nvidia_smi, "NVIDIA GB10, 580.95, [N/A], [N/A]")

    assert told(gpu("auto")[0][0]) == ("gpu.unclear", State.FAIL)


def test_a_missing_gpu_is_a_failure_with_cuda_alone(nvidia_smi: Path) -> None:
    """Without a GPU, DEVICE=cpu and auto are OK and cuda is a failure."""
    assert [told(gpu(device)[0][0]) for device in ("cpu", "auto", "cuda")] == [
        ("gpu.off", State.OK),
        ("gpu.none", State.OK),
        ("gpu.missing", State.FAIL),
    ]


def test_the_plan_counts_the_recogniser_where_it_fits() -> None:
    """The plan counts Kyutai's recogniser only on a card that has room for it."""
    large = sessions(SEVEN_B, card(81_559), CPU_BYTES, None, "bf16", "auto")
    small = sessions(SEVEN_B, card(19_900), CPU_BYTES, None, "bf16", "auto")

    assert "+ people's words 2.55 GiB + 35 sessions of 1.59 GiB" in large.found
    assert small.state == State.OK
    assert "people's words" not in small.found
    assert large.found.endswith(
        "; about, as far as kyutai/stt-1b-en_fr goes, whose files are not here yet"
    )


def test_the_plan_counts_another_recogniser_by_its_own_files(tmp_path: Path) -> None:
    """Another recogniser's plan is the worker's, by its files, or its name if they are not here."""
    folder = recogniser_folder(tmp_path / "stt")
    own, larger = (
        sessions(SEVEN_B, card(81_559), CPU_BYTES, None, "bf16", stt)
        for stt in (str(folder), "kyutai/stt-2.6b-en")
    )
    written = sum(file.stat().st_size for file in folder.glob("*.safetensors"))

    counted = recogniser_sizes(str(folder))
    found = find_recogniser(str(folder), torch.device("cpu"), torch.bfloat16, lambda _: None, 2**33)
    assert counted.row_bytes == found.row_bytes
    assert counted.weights_bytes == pytest.approx(written, rel=0.5)
    assert "+ people's words 17 MiB" in own.found
    assert "about" not in own.found
    assert "+ people's words 5.73 GiB" in larger.found
    assert larger.found.endswith(
        "; about, as far as kyutai/stt-2.6b-en goes, whose files are not here yet"
    )


@pytest.mark.parametrize(
    ("total_mib", "kv_dtype", "beside", "need"),
    [
        (24_210, "bf16", "1.46 GiB + 3 sessions of 1.48 GiB", "22.25 GiB of 23.64"),
        (24_210, "auto", "762 MiB + 8 sessions of 782 MiB", "23.23 GiB of 23.64"),
        (81_559, "bf16", "1.46 GiB + 39 sessions of 1.48 GiB", "78.35 GiB of 79.65"),
        (81_559, "auto", "762 MiB + 78 sessions of 782 MiB", "79.32 GiB of 79.65"),
    ],
)
def test_the_plan_of_a_7b_counts_its_parts(
    total_mib: int, kv_dtype: KvType, beside: str, need: str
) -> None:
    """The plan of a 7B model counts weights, renewal, sessions and margin, for 24 and 80 GB."""
    finding = sessions(SEVEN_B, card(total_mib), CPU_BYTES, None, kv_dtype)

    assert told(finding) == ("sessions.plan", State.OK)
    assert f"weights 14.32 GiB + renewal {beside} (CONTEXT=3000)" in finding.found
    assert finding.found.endswith(f"= {need} GiB free")


def test_a_card_of_8_gb_holds_no_7b() -> None:
    """A card of 8 GB is a failure for a 7B model, and the advice names what fits."""
    finding = sessions(SEVEN_B, card(7_800), CPU_BYTES, None)

    assert told(finding) == ("sessions.no_room", State.FAIL)
    assert "needs 19.13 GiB" in finding.found
    assert finding.advice == (
        "neither 8-bit weights nor a shorter context fit this card. Weights kept in the CPU's "
        "memory would have to be copied for every frame: 615 ms or more of 80, so that is not "
        "offered; what fits: MODEL=pocket, or a card from 24 GB on"
    )


@pytest.mark.parametrize(
    ("total_mib", "advice"),
    [
        (10_100, "MODEL=kyutai/moshiko-pytorch-q8 CONTEXT=250 holds 11 sessions in 8 bits"),
        (15_900, "MODEL=kyutai/moshiko-pytorch-q8 CONTEXT=3000 holds 7 sessions in 8 bits"),
    ],
)
def test_medium_cards_hold_a_7b_in_8_bits(total_mib: int, advice: str) -> None:
    """A card between holds the 7B model in 8 bits, with the context that the advice names."""
    finding = sessions(SEVEN_B, card(total_mib), CPU_BYTES, None)

    assert told(finding) == ("sessions.no_room", State.FAIL)
    assert finding.advice.startswith(advice)


def test_a_shorter_context_that_fits_is_advised() -> None:
    """Where a shorter context would fit, the advice names it."""
    finding = sessions(SEVEN_B_IN_8_BITS, card(10_100), CPU_BYTES, None)

    assert finding.advice == "CONTEXT=250 would fit; or a larger card"


def test_a_capacity_that_does_not_fit_is_a_failure() -> None:
    """A CAPACITY that does not fit is a failure with the number that does."""
    finding = sessions(SEVEN_B, card(24_210), CPU_BYTES, 9)

    assert told(finding) == ("sessions.too_many", State.FAIL)
    assert "what would fit: CAPACITY=8 or CONTEXT=" in finding.found


def test_a_7b_on_a_cpu_is_too_slow() -> None:
    """A 7B model on a CPU is a warning."""
    on_cpu = sizes.ModelSizes(4 * 7_687_729_152, 1 << 20, 1 << 18, 24 << 20, 3000)

    assert told(sessions(on_cpu, None, CPU_BYTES, None)) == ("sessions.too_slow", State.WARN)


def test_a_small_model_on_a_cpu_is_ok() -> None:
    """A small model on a CPU is OK, with its plan."""
    finding = sessions(SMALL, None, CPU_BYTES, None)

    assert told(finding) == ("sessions.cpu", State.OK)
    assert finding.found.startswith("cpu: weights 14 MiB + renewal 1 MiB + 12 sessions of 5 MiB")


def test_a_model_larger_than_memory_is_a_failure() -> None:
    """A model larger than the CPU's memory is a failure."""
    assert told(sessions(SEVEN_B, None, 8 * GIB, None)) == ("sessions.no_memory", State.FAIL)


def test_a_model_of_unknown_sizes_is_a_warning() -> None:
    """A model of unknown sizes is a warning."""
    assert told(unknown("somebody/model")) == ("sessions.unknown", State.WARN)
