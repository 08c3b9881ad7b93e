-- KEYS: entry, lease   ARGV: lease, kind ('V' or 'A'), version, as_of_ms (and '~representation'), ttl_ms, payload
-- Answers 1 (filled), 0 (the lease is not, or no longer, one's own), -1 (older than what is there; the lease is used up).
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
local held = string.match(redis.call('GETRANGE', KEYS[1], 0, 17), '^[VT]|(%d+)')
if held and tonumber(held) > tonumber(ARGV[3]) then return -1 end
-- The epoch of the lease: the watermark's of this moment may belong to a history in which an eviction has not happened.
local epoch = string.match(ARGV[1], '|(.*)$')
redis.call('SET', KEYS[1], table.concat({ARGV[2], ARGV[3], epoch, ARGV[4], ARGV[6]}, '|'), 'PX', ARGV[5])
return 1
