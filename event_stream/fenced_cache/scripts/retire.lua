-- KEYS: record of the shared settings   ARGV: fingerprint, settings, silent_ms, grace_ms
-- Has one's own record run out in `grace_ms`, unless another worker with the same settings renews it by then.
local time = redis.call('TIME')
local seen_ms = time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[3] + ARGV[4]
local record = redis.call('GET', KEYS[1])
if record and string.match(record, '^[^|]*') == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1] .. '|' .. string.format('%.0f', seen_ms) .. '|' .. ARGV[2])
end
