-- Hold slots of one worker for a room, for a time, or nothing.
-- KEYS: held places, the line, the line's needs, then the heartbeats of the workers that may be taken
-- ARGV: room, slots, milliseconds to hold
-- Gives the worker's id, or an empty string.
local room, slots, hold_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

local workers, names, largest = {}, {}, 0
for i = 4, #KEYS do
  local text = redis.call('GET', KEYS[i])
  local beat = text and cjson.decode(text)
  if beat and beat.state == 'ready' then
    local hosts = {}
    for hosted, each in pairs(beat.outcomes or {}) do hosts[hosted] = each.outcome == 'hosted' end
    workers[beat.worker_id] = {free = beat.slots_free, hosts = hosts}
    names[#names + 1] = beat.worker_id
    largest = math.max(largest, beat.slots_total or 0, beat.slots_free + beat.slots_used)
  end
end
table.sort(names)

-- What is held counts until its time is over or its room is hosted: then the heartbeat counts it.
local own = nil
local held = redis.call('HGETALL', KEYS[1])
for i = 1, #held, 2 do
  local until_ms, count, name = string.match(held[i + 1], '^(%d+) (%d+) (.*)$')
  local worker = workers[name]
  if tonumber(until_ms) <= now_ms or (worker and worker.hosts[held[i]]) then
    redis.call('HDEL', KEYS[1], held[i])
  elseif held[i] == room then
    own = {name = name, until_ms = tonumber(until_ms)}
  elseif worker then
    worker.free = worker.free - tonumber(count)
  end
end

-- Who holds a place keeps it; everybody else comes after those in the line before them.
local chosen = nil
if own and workers[own.name] and workers[own.name].free >= slots then
  chosen = own.name
else
  for _, other in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
    if other == room then break end
    local need = tonumber(redis.call('HGET', KEYS[3], other) or 0)
    if need <= largest then return '' end
  end
  local most = slots - 1
  for _, name in ipairs(names) do
    if workers[name].free > most then
      chosen, most = name, workers[name].free
    end
  end
end

if not chosen then return '' end
local until_ms = now_ms + hold_ms
if own then until_ms = math.max(until_ms, own.until_ms) end
redis.call('HSET', KEYS[1], room, string.format('%d %d %s', until_ms, slots, chosen))
redis.call('ZREM', KEYS[2], room)
redis.call('HDEL', KEYS[3], room)
return chosen
