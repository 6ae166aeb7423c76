/** The names on the wire that the page uses; the other side of `protocol/wire.py`. */

export const AGENT_NAME = 'moshi';
export const TRANSCRIPTION_TOPIC = 'lk.transcription';
export const CHAT_TOPIC = 'lk.chat';
export const TURN_TOPIC = 'turn';
export const MIND_TOPIC = 'mind';
export const ATTR_SEGMENT_ID = 'lk.segment_id';
export const ATTR_SEGMENT_FINAL = 'lk.transcription_final';
export const ATTR_AGENT_STATE = 'lk.agent.state';
export const ATTR_ON_BEHALF = 'lk.publish_on_behalf';
export const ATTR_PERSONA = 'persona';
export const ATTR_PERSONA_ID = 'persona_id';
export const ATTR_GENERATION = 'generation';
export const ATTR_AGO_MS = 'ago_ms';
export const ATTR_FLOOR = 'floor';
export const ATTR_RECORDING = 'recording';
export const ATTR_RECORD_CONSENT = 'record_consent';
