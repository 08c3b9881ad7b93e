-- KEYS: record of the shared settings   ARGV: fingerprint, settings, silent_ms ('' to replace whatever is there)
-- Writes one's own settings, and answers nil; or answers the record of others that were there within `silent_ms`.
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local record = redis.call('GET', KEYS[1])
local fingerprint, seen_ms = string.match(record or '', '^([^|]*)|(%d+)|')
local others = fingerprint and fingerprint ~= ARGV[1]
if others and ARGV[3] ~= '' and now_ms - tonumber(seen_ms) < tonumber(ARGV[3]) then return record end
redis.call('SET', KEYS[1], ARGV[1] .. '|' .. string.format('%.0f', now_ms) .. '|' .. ARGV[2])
