"""How many slots a model gets on a machine: the memory plan, made before any weight is loaded.

Pure arithmetic; `load.py` supplies the numbers.
"""

from dataclasses import dataclass, replace

from protocol.errors import InvalidInput
from protocol.personas import PROMPT_LIMIT

MIB, GIB = 2**20, 2**30
CPU_SLOTS = 12  # of a small model: its step takes a quarter of the time on one core
# On a GPU, unasked; more may fit, but no more were measured in real time (docs/benchmarks.md).
MOST_SLOTS, MOST_INT8_SLOTS = 64, 128
SHORTEST_CONTEXT = 250  # frames, 20 s: below that no shorter context is advised
KEPT_PROMPTS = 8  # prompt states kept for new sessions
SILENT_FRAMES = 6  # before and after a prompt's text (`prompt_state.py`)
# The longest text, in tokens and frames, with its marks. 1,000 characters of prices and hours have
# some 320; a longer one is refused, since each session's memory is planned for this many.
TEXT_TOKENS = PROMPT_LIMIT // 2

SPARE_ROWS = 4  # of recognition: a person who left has a row until the last words are out
SCALE_BYTES = 2  # float16, for each head's key and each head's value
FIXED_MARGIN_BYTES = GIB  # the device's own context, libraries and their workspaces
MARGIN_SHARE = 0.05  # activations and fragments, as a share of everything else


def longest_text(context_frames: int, voice_frames: int) -> int:
    """Return the most tokens of a prompt's text: with the longest voice, half the context."""
    spare = context_frames // 2 - voice_frames - 2 * SILENT_FRAMES
    return max(0, min(TEXT_TOKENS, spare))


def longest_prompt(context_frames: int, voice_frames: int) -> int:
    """Return the frames of the longest prompt: the longest voice, silence, the longest text."""
    return voice_frames + 2 * SILENT_FRAMES + longest_text(context_frames, voice_frames)


def kv_frame_bytes(layers: int, dim: int, heads: int, value_bytes: int, *, int8: bool) -> int:
    """Return a frame's bytes: numbers of `value_bytes` each, or int8 with a scale for each head."""
    return 2 * layers * (dim + SCALE_BYTES * heads if int8 else dim * value_bytes)


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """The memory that a model needs on a device, in bytes."""

    device: str  # for people: "cuda (NVIDIA H200)"
    on_gpu: bool
    free_bytes: int
    weights_bytes: int
    frame_bytes: int  # of a slot, for every frame of context
    slot_bytes: int  # of a slot, beside the context
    context_frames: int
    prompts_bytes: int = 0  # of prompts that are kept beside the slots
    renewal_bytes: int = 0  # of the LM state that reads a session's columns again
    recognition_bytes: int = 0  # of a recogniser's weights, and of its rows beyond one a slot
    int8: bool = False  # keys and values as int8, which `frame_bytes` counts

    def with_lm_states(self, voice_frames: int | None) -> "MemoryPlan":
        """Add the LM states beside the slots: kept prompts, and the one that renews.

        `voice_frames` are those of the longest voice; None: the model follows no prompts.
        """
        prompt_bytes = 0
        if voice_frames is not None:
            prompt_bytes = longest_prompt(self.context_frames, voice_frames) * self.frame_bytes
        return replace(
            self,
            # A session holds its prompt state for its renewals, though it may no longer be kept.
            slot_bytes=self.slot_bytes + prompt_bytes,
            prompts_bytes=KEPT_PROMPTS * prompt_bytes,
            renewal_bytes=self.context_frames * self.frame_bytes,
        )

    def with_recognition(self, weights_bytes: int, row_bytes: int) -> "MemoryPlan":
        """Add the recognition of people's speech: weights, a row for each slot, and spare ones."""
        return replace(
            self,
            slot_bytes=self.slot_bytes + row_bytes,
            recognition_bytes=weights_bytes + SPARE_ROWS * row_bytes,
        )

    @property
    def most(self) -> int:
        """Slots that there is memory for."""
        return max(0, self._room_for_slots() // self._one_slot)

    def slots(self, asked: int | None) -> int:
        """Return how many slots to open: as asked, otherwise `most` within a limit.

        Raises `InvalidInput` with the numbers and the settings that would fit.
        """
        fit = self.most
        if asked is None and fit >= 1:
            most = MOST_INT8_SLOTS if self.int8 else MOST_SLOTS
            return min(fit, most if self.on_gpu else CPU_SLOTS)
        if asked is None or asked > fit:
            raise InvalidInput(self._refusal(asked or 1, fit))
        return asked

    def line(self, slots: int) -> str:
        """Return the plan as a sum: weights, LM states beside the sessions, sessions, margin."""
        sessions = slots * self._one_slot
        need = self.need_bytes(slots)
        margin = need - sessions - self._beside_slots()
        beside = {
            "prompts": self.prompts_bytes,
            "renewal": self.renewal_bytes,
            "people's words": self.recognition_bytes,
        }
        kept = "".join(f" + {what} {_size(count)}" for what, count in beside.items() if count)
        slot = f"{_size(self._one_slot)} (CONTEXT={self.context_frames})"
        return (
            f"{self.device}: weights {_size(self.weights_bytes)}{kept} + {slots} sessions of {slot}"
            f" + margin {_size(margin)} = {_size(need)} of {_size(self.free_bytes)} free"
        )

    @property
    def _one_slot(self) -> int:
        return self.slot_bytes + self.context_frames * self.frame_bytes

    def need_bytes(self, slots: int) -> int:
        """Return what so many slots take with all else, margins included."""
        bare = self._beside_slots() + slots * self._one_slot
        return int(bare * (1 + MARGIN_SHARE)) + FIXED_MARGIN_BYTES

    def _beside_slots(self) -> int:
        beside = self.prompts_bytes + self.renewal_bytes + self.recognition_bytes
        return self.weights_bytes + beside

    def _room_for_slots(self) -> int:
        spare = int((self.free_bytes - FIXED_MARGIN_BYTES) / (1 + MARGIN_SHARE))
        return spare - self._beside_slots()

    def _refusal(self, slots: int, fit: int) -> str:
        context = (self._room_for_slots() // slots - self.slot_bytes) // self.frame_bytes
        ways = [f"CAPACITY={fit}"] if fit >= 1 else []
        if SHORTEST_CONTEXT <= context < self.context_frames:
            ways.append(f"CONTEXT={context}")
        advice = " or ".join(ways) or "a smaller or quantized model, or a larger device"
        return (
            f"CAPACITY={slots} with CONTEXT={self.context_frames} needs "
            f"{_size(self.need_bytes(slots))} on {self.device} (weights "
            f"{_size(self.weights_bytes)}, a slot {_size(self._one_slot)}), "
            f"but {_size(self.free_bytes)} is free; what would fit: {advice}"
        )


def _size(count: int) -> str:
    return f"{count / GIB:.2f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"
