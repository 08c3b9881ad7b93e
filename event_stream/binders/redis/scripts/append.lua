-- Appends one record at an offset that no other record of this partition ever has: the microsecond of Redis' clock, or
-- the one after the last record's offset if that is higher.
-- KEYS: topic, log   ARGV: partition, the number of partitions that chose it, field, value, field, value, ...
-- Returns the offset; false where the destination is missing or has another number of partitions.
local topic = redis.call('HMGET', KEYS[1], 'partitions', 'start:' .. ARGV[1], 'retention_ms', 'trim_at:' .. ARGV[1])
if topic[1] ~= ARGV[2] then return false end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
local least = newest and tonumber(string.match(newest[1], '^%d+')) + 1 or tonumber(topic[2])
local offset = string.format('%.0f', math.max(now, least))
redis.call('XADD', KEYS[2], offset .. '-0', unpack(ARGV, 3))
if topic[3] ~= '' and now >= tonumber(topic[4] or 0) then trim(KEYS[1], KEYS[2], ARGV[1], topic[3], now) end
return offset
