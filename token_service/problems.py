"""Every problem that HTTP answers with, each with an example of its sentence. Pure data.

For the OpenAPI document. The real sentences name the field, the room or the worker.
"""

from typing import NamedTuple


class Example(NamedTuple):
    """A problem: its status, its code and a sentence."""

    status: int
    code: str
    sentence: str

    @property
    def name(self) -> str:
        """Return its name in the document; a code may come with two statuses."""
        return f"{self.code}_{self.status}"


PROBLEMS = (
    Example(400, "invalid_input", "personas.0: 'cheff' is unknown; choices: moshi, chef, teacher"),
    Example(400, "recording_off", "record: set RECORD_DIR or RECORD_S3_BUCKET."),
    Example(400, "aborted", "The body ended early."),
    Example(401, "unauthorized", "Authorization: invalid or expired token."),
    Example(401, "bad_signature", "Authorization: expected LiveKit's signature of this body."),
    Example(403, "scope_missing", "The scope 'manage' is required."),
    Example(403, "not_yours", "This room belongs to another caller."),
    Example(403, "identity_taken", "This identity belongs to another participant."),
    Example(403, "guests_open_nothing", "A guest link opens no session."),
    Example(403, "ratings_off", "RATINGS is not set: none are taken."),
    Example(403, "not_listed", "AUTH_MODE=open gives strangers no list; expected ?room=…."),
    Example(403, "origin_not_allowed", "Origin: expected this service's own, or CORS_ORIGINS."),
    Example(403, "session_ended", "This session has ended."),
    Example(404, "not_found", "Not Found"),
    Example(404, "session_unknown", "There is no such session."),
    Example(404, "guest_unknown", "This session has no such guest."),
    Example(404, "person_unknown", "This session has no such person."),
    Example(404, "token_unknown", "This session has no such token."),
    Example(404, "persona_unknown", "persona_id='x': choices: 3f2c9a, 81d0e4"),
    Example(404, "recording_unknown", "There is no such recording."),
    Example(405, "method_not_allowed", "Method Not Allowed"),
    Example(408, "request_timeout", "body: expected within 10 seconds"),
    Example(409, "room_in_use", "This room has a session already; a token leads into it."),
    Example(409, "too_many_personas", "A room has at most 14 personas; this one has 14."),
    Example(409, "last_persona", "A session has a persona; end the session instead."),
    Example(409, "not_live", "No persona is in the room. Personas come once a person has joined."),
    Example(409, "moving", "The session moves already."),
    Example(409, "session_runs", "The session is running. End it first."),
    Example(409, "persona_muted", "The chef is muted. Unmute it first."),
    Example(409, "cannot_say", "This model says only the lines that it has learned."),
    Example(413, "too_long", "body: expected at most 262144 bytes"),
    Example(416, "range_beyond", "Range: expected one within 48210 bytes."),
    Example(429, "too_many_requests", "At most 60 per 1 minute. Slow down."),
    Example(500, "failure", "The service failed; its log has the reason."),
    Example(503, "audit_away", "The audit log cannot be written, so changes are refused."),
    Example(503, "busy", "The room was changed meanwhile. Try again."),
    Example(503, "connecting", "The worker connects to LiveKit."),
    Example(503, "draining", "The worker is about to restart."),
    Example(503, "full", "All places are taken at the moment. Try again soon."),
    Example(503, "jwks_away", "The keys of the JWT issuer cannot be fetched."),
    Example(503, "livekit_away", "LiveKit does not answer."),
    Example(503, "livekit_forgot", "LiveKit lists not all participants of this room."),
    Example(503, "loading_model", "The model is still loading."),
    Example(503, "no_answer", "The session's worker does not answer. The command was taken back."),
    Example(503, "no_other_worker", "No other worker with this model can take the session now."),
    Example(503, "no_worker", "No worker is running."),
    Example(503, "persona_absent", "The persona is not in the room."),
    Example(503, "recordings_away", "The storage of recordings does not answer."),
    Example(503, "redis_away", "Redis does not answer."),
    Example(503, "redis_full", "Redis is full, so no new room can open. Try again soon."),
    Example(503, "redis_refuses", "Redis refuses a command: READONLY."),
    Example(503, "room_full", "This room has no place for another person: max_people=2."),
    Example(503, "starting", "The personas are still joining."),
    Example(503, "too_many_lines", "8 lines wait to be said by Chef. Try again later."),
    Example(503, "too_many_personas", "9 personas were asked for; a worker here has room for 6."),
    Example(503, "too_slow", "The model is busy. Try again soon."),
    Example(503, "worker_failed", "The worker failed: no memory for the model."),
    Example(503, "worker_unreached", "A worker does not take this connection."),
    Example(503, "worker_failing", "Conversations fail to start. Try again soon."),
)
