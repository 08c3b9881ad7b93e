-- Creates a destination, unless it exists.
-- KEYS: topic, log, log, ...   ARGV: retention_ms ('' for ever), 1 to keep what a group has not read, group_retention_ms
-- Returns its number of partitions, which may be another one if it existed.
local there = redis.call('HGET', KEYS[1], 'partitions')
if there then return tonumber(there) end
local time = redis.call('TIME')
-- Above every offset that a log of this name has had before, so that old offsets are out of bounds.
local now = string.format('%.0f', time[1] * 1000000 + time[2])
for i = 2, #KEYS do
  local first = redis.call('XRANGE', KEYS[i], '-', '+', 'COUNT', 1)[1]
  redis.call('HSET', KEYS[1], 'start:' .. i - 2, first and string.match(first[1], '^%d+') or now)
end
redis.call('HSET', KEYS[1], 'partitions', #KEYS - 1, 'retention_ms', ARGV[1], 'keep_unread', ARGV[2],
  'group_retention_ms', ARGV[3])
return #KEYS - 1
