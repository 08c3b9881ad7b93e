-- KEYS: lease, watermark   ARGV: token, ttl_ms   Answers 'token|epoch', or nil where somebody else holds it.
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
local watermark = redis.call('GET', KEYS[2])
local lease = ARGV[1] .. '|' .. (watermark and string.match(watermark, '^([^|]+)|') or '')
redis.call('SET', KEYS[1], lease, 'PX', ARGV[2])
return lease
